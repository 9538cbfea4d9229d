"""The id of a request that failed, or that is no prediction: a prediction's own id says more."""

import re
import uuid
from typing import Any

_USABLE = re.compile(r"[A-Za-z0-9_.:-]{1,64}")


def new_id(offered: str) -> str:
    """The caller's own id where it is harmless in logs, else one of ours."""
    return offered if _USABLE.fullmatch(offered) else uuid.uuid4().hex


def id_for(request: Any) -> str:
    """The request's id, made when somebody first asks: most predictions never need it."""
    known: str | None = getattr(request, "request_id", None)
    if known is None:
        known = request.request_id = new_id(request.META.get("HTTP_X_REQUEST_ID", ""))
    return known
