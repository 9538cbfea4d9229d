"""The Range header of a request for one stretch of a file (RFC 9110, 14.2)."""

import re

from registry.catalogue.errors import RangeNotSatisfiable

_ONE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})", re.IGNORECASE)


def wanted_range(header: str, size: int) -> range | None:
    """Return the bytes asked for; None for all of them, as for what is no range or several: those may be ignored."""
    form = _ONE.fullmatch(header.strip())
    if form is None or not (form[1] or form[2]):
        return None
    if not form[1]:  # the last so many
        start, stop = max(0, size - int(form[2])), size
    else:
        start, stop = int(form[1]), min(size, int(form[2]) + 1) if form[2] else size
        if form[2] and int(form[2]) < start:
            return None
    if start >= size:
        raise RangeNotSatisfiable(
            f"The file has {size:,} bytes, and none where this range begins.", size_bytes=size
        )
    return range(start, stop)
