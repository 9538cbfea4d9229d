"""What the panel sends to: the REST door's own functions, with a session where that has a key."""

from django.http import HttpResponse
from rest_framework.authentication import SessionAuthentication
from rest_framework.request import Request

from inference.doors.entry import ModelRequest, ShortDispatch, answer_from_view
from inference.doors.errors import UnsupportedBody
from inference.doors.rest.door import DRY_RUN, REST
from inference.doors.wire import check_length
from registry.access.key_ring import Principal
from registry.access.models import KeyScope
from registry.access.policies import Right
from registry.catalogue.models import Model, Version
from registry.errors import NotFound
from registry.kit.actors import Actor
from registry.kit.api import HasRight
from registry.kit.api.permissions import actor_of
from registry.kit.scope import in_scope

MAX_BYTES = 2**20


class PageAuthentication(SessionAuthentication):
    """A session with its CSRF token, which the page sends as a header."""

    def enforce_csrf(self, request: Request) -> None:
        # Of the plain request: DRF's own looks for the token in the body first, and would read away what the door reads.
        super().enforce_csrf(request._request)  # type: ignore[arg-type]


class _TryView(ShortDispatch):
    """One address, `?dry_run=1` or not. Session and CSRF token are checked before anything is looked up."""

    schema = None  # the console's; programs have the API
    authentication_classes = [PageAuthentication]
    permission_classes = [HasRight(Right.PREDICT)]

    def answer(self, request: Request, model: Model, version: int | None = None) -> HttpResponse:
        plain = request._request
        if plain.content_type != "application/json":
            raise UnsupportedBody("Send application/json; the API reads other bodies too.")
        check_length(plain.META.get("CONTENT_LENGTH") or "", MAX_BYTES)
        asked = ModelRequest(principal_of(actor_of(request)), model.slug, version)
        is_dry = plain.GET.get("dry_run") in {"1", "true"}
        return answer_from_view(DRY_RUN if is_dry else REST, request, asked)


class TryModelView(_TryView):
    def post(self, request: Request, pk: int) -> HttpResponse:
        models = in_scope(Model.objects.all(), actor_of(request), model="pk", right=Right.PREDICT)
        model = models.filter(pk=pk).first()
        if model is None:
            raise NotFound("There is no such Model, or you may not see it.")
        return self.answer(request, model)


class TryVersionView(_TryView):
    def post(self, request: Request, pk: int) -> HttpResponse:
        versions = in_scope(Version.objects.select_related("model"), actor_of(request), right=Right.PREDICT)
        version = versions.filter(pk=pk).first()
        if version is None:
            raise NotFound("There is no such version, or you may not see it.")
        return self.answer(request, version.model, version.number)


def principal_of(by: Actor) -> Principal:
    """A person as the doors see a caller: with one scope, no key, no tenant, and the reach that is theirs."""
    may_ask_any = Right.PREDICT_UNAPPROVED in by.rights
    scope = KeyScope.PREDICT_UNAPPROVED if may_ask_any else KeyScope.PREDICT
    return Principal(
        key_id=-(
            by.user_id or 0
        ),  # nobody's key; a number of their own gives each person a share of a crowded process
        name=by.name,
        tenant_id=0,
        tenant="",
        scopes=frozenset({scope}),
        models=by.models,
        expires_at=None,
    )
