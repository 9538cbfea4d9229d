"""Says in the answer how old the routes are that it came from, while the database does not confirm them."""

from rest_framework.request import Request

from inference.serving import runtime


def tell(request: Request) -> None:
    """Leave the age where the middleware that writes the header looks; the caller's key may be older still."""
    plain = request._request
    age_s = max(runtime.stale_s(), getattr(plain, "stale_s", 0))
    plain.stale_s = age_s  # type: ignore[attr-defined]
