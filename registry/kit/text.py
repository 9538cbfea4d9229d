"""Text that people and programs send: how long it may be, and which characters are kept."""

import unicodedata

from registry.errors import Invalid

MAX_REASON = 500
# Control characters can forge log lines; direction marks can make one name look like another.
_INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}


def checked_line(text: str, *, what: str, longest: int, may_be_empty: bool = False) -> str:
    """Return the text stripped; raise Invalid if it is empty, too long or has invisible characters."""
    text = text.strip()
    if not text and not may_be_empty:
        raise Invalid(f"Enter a {what}.")
    if len(text) > longest:
        raise Invalid(f"The {what} has {len(text)} characters; the maximum is {longest}.")
    if any(unicodedata.category(character) in _INVISIBLE for character in text):
        raise Invalid(f"The {what} contains invisible characters; remove them.")
    return text


def storable(text: str, longest: int) -> str:
    """Cut the text to the column's length, and replace what no database stores: NUL and lone surrogates."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")[:longest]
