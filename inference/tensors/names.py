"""Names that are almost right."""

from collections.abc import Iterable
from difflib import get_close_matches

_LONGEST = 80


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that this one was probably meant to be; None if none is similar."""
    by_folded = {item.casefold()[:_LONGEST]: item for item in known}
    found = get_close_matches(name.casefold()[:_LONGEST], by_folded, n=1, cutoff=0.6)
    return by_folded[found[0]] if found else None
