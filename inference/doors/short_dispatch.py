"""DRF views for predictions: authentication, permissions and throttles as everywhere, and nothing else of DRF's.

Negotiation, parsers, renderers and format suffixes cost more than a small model does, and stock clients send no
Accept and no Content-Type that could be believed.
"""

from functools import cache
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from rest_framework.request import Request
from rest_framework.views import APIView

from inference.doors.asking import Asked
from inference.doors.http_door import HttpDoor, predict
from inference.doors.memory import Holding, memory
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
            self.request._authenticate()  # type: ignore[attr-defined]  # `request.user` does it by a longer way
            self.check_permissions(self.request)
            self.check_throttles(self.request)
            response: HttpResponseBase = self.post(self.request, *args, **kwargs)
        except Exception as error:  # noqa: BLE001 (DRF's own way: the handler knows what it does not know)
            response = self.handle_exception(error)
        stale_s = max(runtime.stale_s(), getattr(request, "stale_s", 0))
        request.stale_s = stale_s  # type: ignore[attr-defined]  # as the loop says it of its answers
        return response

    def get_authenticators(self) -> list[Any]:
        return _made(tuple(self.authentication_classes))

    def get_permissions(self) -> list[Any]:
        return _made(tuple(self.permission_classes))

    def post(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        raise NotImplementedError


@cache
def _made(kinds: tuple[type, ...]) -> list[Any]:
    """One of each for all requests: they keep nothing between two calls."""
    return [kind() for kind in kinds]


def answered(door: HttpDoor, request: Request, asked: Asked) -> HttpResponse:
    """What the door answers, from the thread of a view."""
    incoming = _InThread(request._request)
    try:
        reply = complete(predict(door, request._request.META, incoming, asked))
        return HttpResponse(reply.body, headers=dict(reply.headers))
    finally:
        incoming.holding.end()


class _InThread:
    """A request whose body is here already, in memory or in a file."""

    def __init__(self, request: HttpRequest) -> None:
        self._request = request
        self.holding = Holding(memory)

    async def receive(self, length: int) -> bytes:
        self.holding.add(length)
        return read_exactly(self._request.read, length)

    async def hold(self, nbytes: int) -> None:
        self.holding.add(nbytes)
