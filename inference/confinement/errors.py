"""Errors of confinement."""


class NotConfined(Exception):
    """This host cannot confine a process; the message says what is missing."""
