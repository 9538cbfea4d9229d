"""ETag and If-Match: whoever changes a row says which state of it they have seen."""

import hashlib
import re

from django.db.models import Model as Row
from rest_framework.request import Request

from registry.errors import StalePrecondition

_TAG = re.compile(r'(?:W/)?"[^"]*"')
_REVISION_FIELDS = ("revision", "changed_at")


def etag_of(row: Row) -> str:
    """Make the tag of a row's state from its `revision`, else its `changed_at`, else all of its columns."""
    field = next((name for name in _REVISION_FIELDS if hasattr(row, name)), None)
    columns = [getattr(row, f.attname) for f in row._meta.concrete_fields]
    state = repr(getattr(row, field) if field else columns)
    digest = hashlib.sha256(f"{row._meta.label}:{row.pk}:{state}".encode()).hexdigest()
    return f'"{digest[:20]}"'


def check_if_match(request: Request, tag: str) -> None:
    """Raise StalePrecondition when the caller names a state that is no longer the present one."""
    wanted = request.headers.get("If-Match")
    if wanted is None or wanted.strip() == "*":
        return
    if tag not in _TAG.findall(wanted):
        raise StalePrecondition(
            f"This has changed since you read it (its ETag is now {tag}); read it again, then repeat your change."
        )


def is_unchanged(request: Request, tag: str) -> bool:
    """Whether the caller's copy (If-None-Match) is the present state."""
    known = request.headers.get("If-None-Match", "")
    return known.strip() == "*" or tag in [found.removeprefix("W/") for found in _TAG.findall(known)]
