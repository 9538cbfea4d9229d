"""Errors of pipelines.

BadTaskConfig               the configuration of a version's task is wrong, or does not fit its file
└── BadTokenizer            the tokenizer's file cannot be used
InferenceError
├── InvalidInput
│   ├── InvalidText         it is not Unicode, or not text
│   ├── TextTooLong         it has more tokens than the model reads, and the version refuses to cut texts
│   ├── InvalidPicture      it is damaged, cut off or empty
│   ├── UnsupportedPicture  it has another format
│   ├── PictureTooLarge     it has more bytes, pixels or frames than the version accepts
│   └── UnusableOutput      the model answered it with NaN or infinity
└── PatternTimedOut         a regular expression of the version takes too long on this text
"""

from inference.tensors.errors import InferenceError, InvalidInput


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


class PatternTimedOut(InferenceError):
    """A regular expression of the version takes too long on this text."""

    code = "pattern_timed_out"


class InvalidPicture(InvalidInput):
    """The picture cannot be read."""

    code = "invalid_picture"


class UnsupportedPicture(InvalidInput):
    """The picture has a format that is not accepted."""

    code = "unsupported_picture"


class PictureTooLarge(InvalidInput):
    """The picture has more bytes, pixels or frames than this version accepts."""

    code = "picture_too_large"


class UnusableOutput(InvalidInput):
    """The model answered this input with numbers that cannot be read, such as NaN or infinity."""

    code = "invalid_output"
    pointer = "#/outputs"
