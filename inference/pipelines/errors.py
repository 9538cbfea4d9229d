"""Errors of pipelines.

InferenceError
├── BadTaskConfig               the configuration of a version's task is wrong, or does not fit its file
│   └── BadTokenizer            the tokenizer's file cannot be used
├── UnusableOutput              the model answered with NaN or infinity, or not with a row for each row
└── InvalidInput
    ├── PatternTimedOut         the regular expressions of the version take too long on these texts
    └── InvalidItem             the request is not one of this task
        ├── TooManyItems
        ├── UnknownUser         the version has nothing about this user
        ├── ItemNotFetched      it is named by a URL that is not fetched, or gave nothing
        ├── InvalidText         it is not Unicode, or not text
        ├── TextTooLong         it is more than is read at once, or more than the model reads and the version refuses to cut texts
        ├── InvalidPicture      it is damaged, cut off or empty
        ├── UnsupportedPicture  it has another format
        └── PictureTooLarge     it has more bytes, pixels or frames than the version accepts
"""

import re

from inference.tensors.errors import InferenceError, InvalidInput

_PLACE = re.compile(r"\[(\d+)\]$")


class BadTaskConfig(InferenceError):
    """The task configuration cannot be used; `field` says where."""

    code = "bad_task_config"

    def __init__(self, message: str | None = None, *, field: str = "") -> None:
        self.field = field
        super().__init__(message)


class BadTokenizer(BadTaskConfig):
    """The tokenizer's file cannot be used."""

    code = "bad_tokenizer"

    def __init__(self, message: str | None = None, *, field: str = "tokenizer") -> None:
        super().__init__(message, field=field)


class UnusableOutput(InferenceError):
    """The model answered this input with numbers that cannot be read, such as NaN or infinity."""

    code = "unusable_output"


class InvalidItem(InvalidInput):
    """The request is not one of this task."""

    code = "invalid_item"

    def __init__(self, message: str | None = None, *, field: str = "") -> None:
        super().__init__(message, field=field)
        self.pointer = f"#/{field}" if field else ""

    @property
    def place(self) -> int | None:
        """Which item of a list it is about; None if it is not about one of several."""
        found = _PLACE.search(self.field)
        return int(found[1]) if found else None


class TooManyItems(InvalidItem):
    """The request has more items than are answered at once."""

    code = "too_many_items"


class UnknownUser(InvalidItem):
    """The version knows no user with this id."""

    code = "unknown_user"


class ItemNotFetched(InvalidItem):
    """What the URL names could not be fetched, or is not fetched by this server."""

    code = "item_not_fetched"


class InvalidText(InvalidItem):
    """The text cannot be read."""

    code = "invalid_text"


class TextTooLong(InvalidItem):
    """The text has more tokens than the model reads, or the texts of a request are together too long."""

    code = "text_too_long"


class PatternTimedOut(InvalidInput):
    """The regular expressions of the version take too long on the texts of this request."""

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
