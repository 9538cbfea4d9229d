"""Checks of what people wrote, in the words of this application."""

import unicodedata
from collections.abc import Iterable

from django.core.exceptions import ValidationError
from django.db import models

from registry.catalogue.models import MAX_TAG, SLUG
from registry.errors import Invalid
from registry.kit.text import MAX_REASON

MAX_TAGS = 50
# Cc: control characters. Cs: halves of a surrogate pair, which no database takes.
_UNWANTED = {"Cc", "Cs"}


def check_row(row: models.Model) -> None:
    """Apply the fields' own rules; the database's constraints come with the write."""
    try:
        row.clean_fields()
    except ValidationError as error:
        sentences = [f"{name}: {' '.join(texts)}" for name, texts in error.message_dict.items()]
        raise Invalid(" ".join(sentences)) from None


def is_plain(text: str) -> bool:
    """Whether the text is one line that every database stores and every page shows."""
    return not any(unicodedata.category(letter) in _UNWANTED for letter in text)


def checked_name(name: str) -> str:
    """Return the name of a Model that is to be made; raise Invalid where it is none."""
    try:
        SLUG(name)
    except ValidationError as error:
        raise Invalid(f"slug: {error.message}") from None
    return name


def checked_reason(reason: str) -> str:
    """Return the reason as it is kept; raise Invalid where there is none."""
    reason = reason.strip()
    if not reason:
        raise Invalid("Say why, in a few words; it is kept with the change.")
    if len(reason) > MAX_REASON or not is_plain(reason):
        raise Invalid(f"The reason must be one line of at most {MAX_REASON} characters.")
    return reason


def checked_tags(tags: Iterable[str]) -> list[str]:
    """Return the tags sorted and each once."""
    found = sorted({tag.strip() for tag in tags})
    if len(found) > MAX_TAGS:
        raise Invalid(f"A Model may carry {MAX_TAGS} tags; these are {len(found)}.")
    for tag in found:
        if not tag or len(tag) > MAX_TAG or not is_plain(tag):
            raise Invalid(f"A tag is one line of 1 to {MAX_TAG} characters; {tag!r} is not.")
    return found
