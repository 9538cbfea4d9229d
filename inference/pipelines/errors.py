"""Errors of pipelines.

BadTaskConfig               the configuration of a version's task is wrong, or does not fit its file
└── BadTokenizer            the tokenizer's file cannot be used
InvalidInput
├── InvalidText             it is not Unicode, or not text
├── UnusableOutput          the model answered it with NaN or infinity
└── TextTooLong             it has more tokens than the model reads, and the version refuses to cut texts
"""

from inference.tensors.errors import InvalidInput


class BadTaskConfig(Exception):
    """The task configuration cannot be used; `field` says where."""

    def __init__(self, message: str, *, field: str) -> None:
        self.field = field
        super().__init__(message)


class BadTokenizer(BadTaskConfig):
    """The tokenizer's file cannot be used."""

    def __init__(self, message: str, *, field: str = "tokenizer") -> None:
        super().__init__(message, field=field)


class InvalidText(InvalidInput):
    """The text cannot be read."""

    code = "invalid_text"


class TextTooLong(InvalidInput):
    """The text has more tokens than the model reads."""

    code = "text_too_long"


class UnusableOutput(InvalidInput):
    """The model answered this input with numbers that cannot be read, such as NaN or infinity."""

    code = "invalid_output"
    pointer = "#/outputs"
