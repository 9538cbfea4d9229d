"""Checks of a version before it serves. Its file runs in disposable children, which know no Django."""
