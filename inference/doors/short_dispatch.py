"""DRF views for predictions: the usual authentication, permissions and throttles, and nothing else of DRF's.

Negotiation, parsers, renderers and format suffixes cost more than a small model does, and stock clients send no reliable
Accept or Content-Type.
"""

from functools import cache
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from rest_framework.request import Request
from rest_framework.views import APIView

from inference.doors.entry import HttpDoor, ModelRequest, predict
from inference.doors.memory import MemoryHolding, memory
from inference.doors.wire import read_exactly
from inference.engine.loop import complete
from inference.serving import runtime


class ShortDispatch(APIView):
    """A view that answers POST with a finished HttpResponse."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.method != "POST":
            return super().dispatch(request, *args, **kwargs)
        self.headers: dict[str, str] = {}
        self.request = Request(request, authenticators=self.get_authenticators())
        try:
            self.request._authenticate()  # type: ignore[attr-defined]  # `request.user` does the same with more steps
            self.check_permissions(self.request)
            self.check_throttles(self.request)
            response: HttpResponseBase = self.post(self.request, *args, **kwargs)
        except Exception as error:  # noqa: BLE001 (as DRF does: the handler raises what it does not know)
            response = self.handle_exception(error)
        stale_s = max(runtime.stale_s(), getattr(request, "stale_s", 0))
        request.stale_s = stale_s  # type: ignore[attr-defined]  # the middleware adds the header, as the loop does for its answers
        return response

    def get_authenticators(self) -> list[Any]:
        return _instances(tuple(self.authentication_classes))

    def get_permissions(self) -> list[Any]:
        return _instances(tuple(self.permission_classes))

    def post(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        raise NotImplementedError


@cache
def _instances(kinds: tuple[type, ...]) -> list[Any]:
    """The same objects for all requests: they keep no state."""
    return [kind() for kind in kinds]


def answer_from_view(door: HttpDoor, request: Request, model_request: ModelRequest) -> HttpResponse:
    """The door's answer, from the thread of a view."""
    incoming = _ReceivedRequest(request._request)
    try:
        reply = complete(predict(door, request._request.META, incoming, model_request))
        return HttpResponse(reply.body, headers=dict(reply.headers))
    finally:
        incoming.holding.end()


class _ReceivedRequest:
    """A request whose body has arrived already, in memory or in a file."""

    def __init__(self, request: HttpRequest) -> None:
        self._request = request
        self.holding = MemoryHolding(memory)

    async def receive(self, length: int) -> bytes:
        self.holding.add(length)
        return read_exactly(self._request.read, length)

    async def hold(self, nbytes: int) -> None:
        self.holding.add(nbytes)
