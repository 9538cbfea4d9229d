"""The views that receive the panel's requests: the REST door's own functions, with a session instead of an API key."""

from contextlib import nullcontext

from django.contrib import admin
from django.http import HttpResponse
from django.urls import path
from rest_framework.authentication import SessionAuthentication
from rest_framework.request import Request

from inference.doors.entry import ShortDispatch, answer_from_view
from inference.doors.errors import UnsupportedBody
from inference.doors.request_counts import counted
from inference.doors.rest.door import DRY_RUN, REST
from inference.doors.wire import check_length
from inference.pipelines.pictures import MAX_BYTES as MAX_PICTURE_BYTES
from inference.serving.calls import ModelRequest
from registry.access.key_ring import Principal
from registry.access.policies import Right
from registry.catalogue.models import Model, Version
from registry.errors import NotFound
from registry.kit.actors import Actor, in_scope
from registry.kit.api import HasRight
from registry.kit.api.requests import actor_of

MAX_BYTES = 2**20


class PageAuthentication(SessionAuthentication):
    """A session, with the CSRF token in a header."""

    def enforce_csrf(self, request: Request) -> None:
        # Use Django's request: DRF's looks for the token in the body first, so the door could not read the body.
        super().enforce_csrf(request._request)  # type: ignore[arg-type]


class _TryView(ShortDispatch):
    """Answers with or without `?dry_run=1`. Session and CSRF token are checked before any row is read."""

    schema = None  # for the admin page only; programs use the API
    authentication_classes = [PageAuthentication]
    permission_classes = [HasRight(Right.PREDICT)]

    def answer(self, request: Request, model: Model, version: int | None = None) -> HttpResponse:
        plain = request._request
        asked = ModelRequest(principal_of(actor_of(request)), model.slug, version)
        door = DRY_RUN if plain.GET.get("dry_run") in {"1", "true"} else REST
        with counted(asked) if door.is_counted else nullcontext():
            check_length(plain.META.get("CONTENT_LENGTH") or "", _longest_body(plain.content_type or ""))
        return answer_from_view(door, request, asked)


def _longest_body(content_type: str) -> int:
    if content_type == "application/json":
        return MAX_BYTES
    if content_type.startswith("image/"):
        return MAX_PICTURE_BYTES
    raise UnsupportedBody("Send application/json, or a picture as image/*. The API accepts other types too.")


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
    """A person as a caller of the doors: one scope, no key, no tenant, and the Models that they may see."""
    may_call_any = Right.PREDICT_UNAPPROVED in by.rights
    scope = "predict.unapproved" if may_call_any else "predict"
    return Principal(
        key_id=-(
            by.user_id or 0
        ),  # no key has a negative id; an id per person gives each a fair share of the process
        name=by.name,
        tenant_id=0,
        tenant="",
        scopes=frozenset({scope}),
        models=by.models,
        expires_at=None,
    )


_view = admin.site.admin_view
# Included before the admin's own URLs, which end with a catch-all.
urlpatterns = [
    path("registry/model/<int:pk>/try/", _view(TryModelView.as_view()), name="try-model"),
    path("registry/version/<int:pk>/try/", _view(TryVersionView.as_view()), name="try-version"),
]
