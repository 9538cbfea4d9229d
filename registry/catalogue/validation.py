"""Checks of user input, with messages that explain what is wrong."""

import unicodedata
from collections.abc import Iterable, Mapping
from math import prod
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models

from registry.catalogue.models import MAX_TAG, SLUG
from registry.errors import Invalid, StaleState
from registry.kit.text import MAX_REASON

MAX_TAGS = 50
MAX_INPUTS, MAX_AXES, MAX_NAME = 100, 64, 4096
MAX_ELEMENTS = 2**28  # of one input: a gibibyte of 32-bit numbers
# Cc: control characters. Cs: halves of a surrogate pair, which no database stores.
_UNWANTED = {"Cc", "Cs"}

Shapes = dict[str, list[int]]


def check_row(row: models.Model) -> None:
    """Apply the fields' validators; the database checks constraints on write."""
    try:
        row.clean_fields()
    except ValidationError as error:
        sentences = [f"{name}: {' '.join(texts)}" for name, texts in error.message_dict.items()]
        raise Invalid(" ".join(sentences)) from None


def is_plain(text: str) -> bool:
    """Whether the text is one line that every database can store and every page can show."""
    return not any(unicodedata.category(letter) in _UNWANTED for letter in text)


def checked_name(name: str) -> str:
    """Return a new Model's name; raise Invalid if it is not valid."""
    try:
        SLUG(name)
    except ValidationError as error:
        raise Invalid(f"slug: {error.message}") from None
    return name


def checked_reason(reason: str) -> str:
    """Return the reason, stripped; raise Invalid if it is empty or too long."""
    reason = reason.strip()
    if not reason:
        raise Invalid("Give a reason in a few words; it is stored with the change.")
    if len(reason) > MAX_REASON or not is_plain(reason):
        raise Invalid(f"The reason must be one line of at most {MAX_REASON} characters.")
    return reason


def check_revision(subject: object, present: int, expected: int | None) -> None:
    """Raise StaleState if the caller read an older revision than the current one."""
    if expected is not None and present != expected:
        raise StaleState(f"{subject} has changed since you read it; reload and try again.")


def checked_tags(tags: Iterable[str]) -> list[str]:
    """Return the tags sorted, without duplicates."""
    names = sorted({tag.strip() for tag in tags})
    if len(names) > MAX_TAGS:
        raise Invalid(f"A Model may have at most {MAX_TAGS} tags; got {len(names)}.")
    for tag in names:
        if not tag or len(tag) > MAX_TAG or not is_plain(tag):
            raise Invalid(f"A tag must be one line of 1 to {MAX_TAG} characters; {tag!r} is not.")
    return names


def checked_shapes(shapes: Mapping[str, Any]) -> Shapes:
    """Return input shapes by name; raise Invalid naming the input that is wrong. Does not read the file."""
    if len(shapes) > MAX_INPUTS:
        raise Invalid(f"Give shapes for at most {MAX_INPUTS} inputs; got {len(shapes):,}.")
    return {_checked_input(name): _checked_shape(name, shape) for name, shape in shapes.items()}


def read_shapes(lines: Iterable[str]) -> Shapes:
    """Parse lines such as `images=1,3,320,320`, one input per line."""
    shapes: dict[str, Any] = {}
    for line in filter(None, map(str.strip, lines)):
        name, equals, sizes = line.rpartition("=")
        if not equals or not name.strip():
            raise Invalid(f"Write a shape as name=1,3,320,320; got {line[:80]!r}.")
        if name.strip() in shapes:
            raise Invalid(f"The shape of {name.strip()[:80]!r} is given twice.")
        shapes[name.strip()] = [_parse_size(size, line) for size in sizes.split(",")] if sizes.strip() else []
    return checked_shapes(shapes)


def _parse_size(text: str, line: str) -> int:
    text = text.strip()
    if not (text.isascii() and text.isdigit()) or len(text) > 10:
        raise Invalid(f"A shape is a list of whole numbers, as in images=1,3,320,320; got {line[:80]!r}.")
    return int(text)


def _checked_input(name: Any) -> str:
    if not isinstance(name, str) or not 1 <= len(name) <= MAX_NAME or "\0" in name:
        raise Invalid("Shapes must be keyed by input name.")
    return name


def _checked_shape(name: str, shape: Any) -> list[int]:
    is_shape = isinstance(shape, (list, tuple)) and all(type(size) is int and size >= 1 for size in shape)
    if not is_shape or len(shape) > MAX_AXES:
        raise Invalid(
            f"The shape of {name[:80]!r} must be a list of positive whole numbers, such as [1, 3, 320, 320];"
            f" got {str(shape)[:80]}."
        )
    if prod(shape) > MAX_ELEMENTS:
        raise Invalid(
            f"The shape of {name[:80]!r} has {prod(shape):,} elements; a check allows at most {MAX_ELEMENTS:,}."
        )
    return list(shape)
