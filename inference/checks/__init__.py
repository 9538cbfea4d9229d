"""Checks of a file before it serves: in a disposable child, without Django."""
