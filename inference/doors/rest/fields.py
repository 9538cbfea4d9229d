"""The fields of a body: each is read, or the request is refused. A misspelt `version` must not be answered by another."""

from collections.abc import Iterable, Mapping, Sequence

from inference.doors.rest.errors import UnknownField
from inference.doors.wire import pointer_to
from inference.serving.routes import Route
from registry.catalogue.models import KeySource

# What the Celery door reads from the body, or a caller may expect there, and where a request over HTTP says it.
SAID_ELSEWHERE = {
    "model": "the address names the Model",
    "version": "put the number into the address, /api/v1/models/{slug}/versions/NUMBER/predict",
    "alias": "put the alias into the address, /api/v1/models/{slug}@ALIAS/predict",
    "routing_key": "send it in the header X-Routing-Key",
    "within_s": "send the header X-Deadline-Ms, in milliseconds",
    "dry_run": "add ?dry_run=1 to the address",
}
_NOTHING: Mapping[str, str] = {}


def routing_fields(route: Route) -> tuple[str, ...]:
    """The field that the Model takes its routing key from, if it takes it from one."""
    return (route.key_field,) if route.key_source == KeySource.FIELD else ()


def check_fields(
    given: Iterable[str], read: Sequence[str], *, slug: str = "", elsewhere: Mapping[str, str] = _NOTHING
) -> None:
    """Raise UnknownField unless each field is one of those that are read; `elsewhere` has advice by field."""
    for name in given:
        if name not in read:
            raise _unknown(name, read, elsewhere.get(name, "").format(slug=slug))


def _unknown(name: str, read: Sequence[str], advice: str) -> UnknownField:
    if not advice:
        *others, last = (f"`{field}`" for field in read)
        names = f"{', '.join(others)} and {last} are" if others else f"{last} is"
        advice = f"only {names}. Remove or rename it"
    text = f"Field {name[:80]!r} is not read from the body: {advice}. Nothing was run."
    return UnknownField(text, pointer=pointer_to(name[:80]))
