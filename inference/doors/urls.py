"""Addresses of predictions: for Django, and for the event loop, for which Django's list of patterns is too slow."""

import re
from typing import NamedTuple

from django.urls import path

from inference.doors.entry import HttpDoor
from inference.doors.hugging_face.door import HUGGING_FACE
from inference.doors.oip.door import OIP
from inference.doors.rest import api
from inference.doors.rest.door import REST
from inference.doors.rest.task_door import ONE_ROW, TASK_DOORS

_MODEL, _VERSION, _ALIAS = (
    "models/<str:model>",
    "models/<str:model>/versions/<int:version>",
    "models/<str:model>@<str:alias>",
)

urlpatterns = [
    path("classify", api.ClassifyView.as_view(), name="classify"),
    path("detect", api.DetectView.as_view(), name="detect"),
    path("entities", api.EntitiesView.as_view(), name="entities"),
    path("rank", api.RankView.as_view(), name="rank"),
    path("recommend", api.RecommendView.as_view(), name="recommend"),
    path(f"{_ALIAS}/predict", api.PredictAliasView.as_view(), name="predict-alias"),
    path(f"{_VERSION}/predict", api.PredictVersionView.as_view(), name="predict-version"),
    path(f"{_MODEL}/predict", api.PredictView.as_view(), name="predict"),
    path("client.py", api.ClientFileView.as_view(), name="client-file"),
    path(f"{_ALIAS}/schema", api.SignatureOfAliasView.as_view(), name="schema-of-alias"),
    path(f"{_VERSION}/schema", api.SignatureOfVersionView.as_view(), name="schema-of-version"),
    path(f"{_MODEL}/schema", api.SignatureView.as_view(), name="schema-of-model"),
]

_WHO = "models/([^/@]+)(?:/versions/([0-9]{1,18})|@([^/]+))?"
_PREDICT = re.compile(f"/api/v1/{_WHO}/predict")
_HUGGING_FACE = re.compile(f"/hf/{_WHO}")
_TASK = re.compile(rf"/api/v1/({'|'.join(TASK_DOORS)})")
_INFER = re.compile(r"/v2/models/([^/]+)(?:/versions/([^/]+))?/infer/?")


class PredictionAddress(NamedTuple):
    """The parts of a prediction's address; a missing part is empty."""

    door: HttpDoor
    model: str = ""
    version: str = ""
    alias: str = ""


def resolve_prediction(path: str) -> PredictionAddress | None:
    """The parts of a prediction's address; None for all others, which Django resolves."""
    if match := _PREDICT.fullmatch(path):
        return PredictionAddress(REST, match[1], match[2] or "", match[3] or "")
    if match := _INFER.fullmatch(path):
        return PredictionAddress(OIP, match[1], match[2] or "")
    if match := _TASK.fullmatch(path):
        return PredictionAddress(TASK_DOORS[match[1]])
    if path == "/predict":
        return PredictionAddress(ONE_ROW)
    if match := _HUGGING_FACE.fullmatch(path):
        return PredictionAddress(HUGGING_FACE, match[1], match[2] or "", match[3] or "")
    return None


def door_below(path: str) -> HttpDoor | None:
    """The door whose format an error has at any address below the door's own; None: it is an API problem."""
    return next(
        (door for prefix, door in (("/v2/", OIP), ("/hf/", HUGGING_FACE)) if path.startswith(prefix)), None
    )
