"""Checks of a version before it serves. Its file runs in disposable child processes, which do not load Django."""
