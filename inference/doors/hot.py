"""The addresses of predictions, found without Django's long list of patterns: thousands are asked for each second."""

import re
from collections.abc import Callable
from typing import Any, NamedTuple, cast

from django.http import HttpResponse
from django.views import View

from inference.doors.oip import http
from inference.doors.rest import views
from inference.doors.rest.predicting import Asked, predict
from inference.doors.wire import Environ, Read, Reply
from registry.access.key_ring import Principal


class Hot(NamedTuple):
    """An address, resolved: the DRF view for it, and the function that the view and the front door share."""

    view: Callable[..., HttpResponse]
    kwargs: dict[str, Any]
    answer: Callable[..., Reply]  # of environment, body reader, principal and kwargs
    say: Callable[[HttpResponse], HttpResponse]  # an API problem, as this door says it


_PREDICT = re.compile(r"/api/v1/models/([^/@]+)(?:/versions/([0-9]{1,18})|@([^/]+))?/predict")
_INFER = re.compile(r"/v2/models/([^/]+)(?:/versions/([^/]+))?/infer/?")


def _as_view(kind: type[View]) -> Callable[..., HttpResponse]:
    return cast("Callable[..., HttpResponse]", kind.as_view())


_live, _numbered, _named, _infer = map(
    _as_view, (views.PredictView, views.PredictVersionView, views.PredictAliasView, http.InferView)
)


def resolve(path: str) -> Hot | None:
    """Find a prediction's address; everything else is Django's to find."""
    if found := _PREDICT.fullmatch(path):
        model, version, alias = found.groups()
        if version is not None:
            return Hot(_numbered, {"model": model, "version": int(version)}, _predict, _as_it_is)
        if alias is not None:
            return Hot(_named, {"model": model, "alias": alias}, _predict, _as_it_is)
        return Hot(_live, {"model": model}, _predict, _as_it_is)
    if found := _INFER.fullmatch(path):
        model, version = found.groups()
        return Hot(_infer, {"model": model, "version": version or ""}, http.infer, http.as_oip)
    return None


def _predict(
    environ: Environ,
    read: Read,
    *,
    by: Principal,
    model: str,
    version: int | None = None,
    alias: str | None = None,
) -> Reply:
    return predict(environ, read, Asked(by, model, version, alias))


def _as_it_is(problem: HttpResponse) -> HttpResponse:
    return problem
