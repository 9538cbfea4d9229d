"""Checks of user input, with messages that explain what is wrong."""

import unicodedata
from collections.abc import Callable, Iterable, Mapping
from math import isfinite, prod
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.db import models

from registry.catalogue.models import MAX_TAG, SLUG
from registry.errors import Invalid, StaleState
from registry.kit.text import MAX_REASON

MAX_TAGS = 50
MAX_INPUTS, MAX_AXES, MAX_NAME = 100, 64, 4096
MAX_ELEMENTS = 2**28  # of one input: a gibibyte of 32-bit numbers
# Of a training record.
MAX_RUN_URL, MAX_COMMIT, MAX_DATA_SET = 1_000, 100, 500
MAX_TRAINING_ITEMS = 50  # metrics, and tags
MAX_METRIC_NAME, MAX_TAG_VALUE = 250, 500
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


TrainingRecord = dict[str, Any]
_TEXTS = {"run_url": MAX_RUN_URL, "git_commit": MAX_COMMIT, "data_set": MAX_DATA_SET}
TRAINING_FIELDS = (*_TEXTS, "metrics", "tags")


def checked_training(record: Mapping[str, Any]) -> TrainingRecord:
    """Return where a version comes from, without what is empty; raise Invalid naming the field that is wrong."""
    if not isinstance(record, Mapping):
        raise Invalid('The training record must be a JSON object, such as {"git_commit": "4f2c1e9"}.')
    if unknown := sorted(str(name)[:80] for name in record.keys() - set(TRAINING_FIELDS)):
        raise Invalid(
            f"A training record has no field {', '.join(unknown[:5])}; its fields are {', '.join(TRAINING_FIELDS)}."
        )
    checked = {name: _checked_text(name, record.get(name) or "", most) for name, most in _TEXTS.items()}
    _check_run_url(checked["run_url"])
    metrics = _checked_items("metrics", record.get("metrics") or {}, _checked_metric)
    tags = _checked_items("tags", record.get("tags") or {}, _checked_value)
    return {name: value for name, value in {**checked, "metrics": metrics, "tags": tags}.items() if value}


def _checked_text(name: str, value: Any, most: int) -> str:
    if not isinstance(value, str) or len(value) > most or not is_plain(value):
        raise Invalid(f"`{name}` of the training record must be one line of at most {most:,} characters.")
    return value.strip()


def _check_run_url(url: str) -> None:
    """Pages show it as a link: no other scheme may get there."""
    try:
        parts = urlsplit(url)
        is_link = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.username is None
    except ValueError:
        is_link = False
    if url and (not is_link or any(letter.isspace() for letter in url)):
        raise Invalid(
            "`run_url` of the training record must start with http:// or https://, and have a host and no user name."
        )


def _checked_items(field: str, items: Any, check: Callable[[str, Any], Any]) -> dict[str, Any]:
    if not isinstance(items, Mapping):
        raise Invalid(f"`{field}` of the training record must be a JSON object.")
    if len(items) > MAX_TRAINING_ITEMS:
        raise Invalid(
            f"A training record may have at most {MAX_TRAINING_ITEMS} {field}; got {len(items):,}. Leave some out."
        )
    for name in items:
        if not isinstance(name, str) or not 1 <= len(name) <= MAX_METRIC_NAME or not is_plain(name):
            raise Invalid(
                f"A name in `{field}` of the training record must be one line of 1 to {MAX_METRIC_NAME} characters."
            )
    return {name: check(name, value) for name, value in items.items()}


def _checked_metric(name: str, value: Any) -> int | float:
    if type(value) is int and abs(value) < 2**53:  # above that, JSON libraries disagree
        return value
    if type(value) is float and isfinite(value):
        return value
    raise Invalid(f"The metric {name[:80]!r} of the training record must be a finite number.")


def _checked_value(name: str, value: Any) -> str:
    if not isinstance(value, str) or len(value) > MAX_TAG_VALUE or not is_plain(value):
        raise Invalid(
            f"The tag {name[:80]!r} of the training record must be one line of at most {MAX_TAG_VALUE} characters."
        )
    return value
