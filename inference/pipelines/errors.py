"""Errors of pipelines.

BadTaskConfig               the configuration of a version's task is wrong, or does not fit its file
└── BadTokenizer            the tokenizer's file cannot be used
PipelineError
├── InvalidItem             the request is not one of this task
│   ├── TooManyItems
│   ├── InvalidText         it is not Unicode, or not text
│   ├── TextTooLong         it has more tokens than the model reads, and the version refuses to cut texts
│   ├── InvalidPicture      it is damaged, cut off or empty
│   ├── UnsupportedPicture  it has another format
│   └── PictureTooLarge     it has more bytes, pixels or frames than the version accepts
├── UnusableOutput          the model answered with NaN or infinity
└── PatternTimedOut         a regular expression of the version takes too long on this text
"""

from typing import ClassVar


class PipelineError(Exception):
    """The request cannot be turned into inputs, or the outputs into an answer."""

    code: ClassVar[str] = "pipeline_error"

    def __init__(self, message: str | None = None, *, field: str = "") -> None:
        self.field = field  # of the request
        super().__init__(message or type(self).__doc__ or self.code)


class InvalidItem(PipelineError):
    """The request is not one of this task."""

    code = "invalid_item"


class TooManyItems(InvalidItem):
    """The request has more items than are answered at once."""

    code = "too_many_items"


class BadTaskConfig(Exception):
    """The task configuration cannot be used; `field` says where."""

    def __init__(self, message: str, *, field: str) -> None:
        self.field = field
        super().__init__(message)


class BadTokenizer(BadTaskConfig):
    """The tokenizer's file cannot be used."""

    def __init__(self, message: str, *, field: str = "tokenizer") -> None:
        super().__init__(message, field=field)


class InvalidText(InvalidItem):
    """The text cannot be read."""

    code = "invalid_text"


class TextTooLong(InvalidItem):
    """The text has more tokens than the model reads."""

    code = "text_too_long"


class PatternTimedOut(PipelineError):
    """A regular expression of the version takes too long on this text."""

    code = "pattern_timed_out"


class InvalidPicture(InvalidItem):
    """The picture cannot be read."""

    code = "invalid_picture"


class UnsupportedPicture(InvalidItem):
    """The picture has a format that is not accepted."""

    code = "unsupported_picture"


class PictureTooLarge(InvalidItem):
    """The picture has more bytes, pixels or frames than this version accepts."""

    code = "picture_too_large"


class UnusableOutput(PipelineError):
    """The model answered this input with numbers that cannot be read, such as NaN or infinity."""

    code = "invalid_output"
