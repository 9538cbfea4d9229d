"""Errors of conversion, as values that its callers turn into refusals of uploads and failures of checks."""


class ConversionRefused(Exception):
    """The file was not converted.

    `code`: not_installed, not_confined, not_started, refused, failed, memory, timed_out or crashed.
    """

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)
