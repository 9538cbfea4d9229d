"""A prediction with a new API key, as a command that works: the right host, a live Model that the key reaches, a valid body."""

import shlex

from django.conf import settings

from inference.pipelines.tasks import ITEM_TASKS
from inference.try_it.panels import json_examples
from registry.access.key_examples import KeyExample
from registry.access.models import ApiKey
from registry.access.policies import Right, rights_of_scopes
from registry.catalogue.models import Model
from registry.errors import ArtifactMissing
from registry.traffic.models import Hold, Split
from registry.traffic.selectors import live_arms, with_live_arms
from registry.traffic.transitions import Status

_ONE_ITEM = tuple(task.one for task in ITEM_TASKS)
_MODELS_TRIED = 5  # a Model whose request is too large to type has no example


def predict_example(key: ApiKey, text: str) -> KeyExample | None:
    if Right.PREDICT not in rights_of_scopes(frozenset(key.scopes)):
        return None
    for model in _callable_models(key):
        arm = max(live_arms(model), key=lambda arm: arm.share)
        try:
            examples = json_examples(model.versions.select_related("artifact").get(number=arm.version))
        except ArtifactMissing:  # of its task; the key, which is shown only once, must be shown all the same
            continue
        body = next(
            (examples[form] for form in (*_ONE_ITEM, "features", "instances", "inputs") if form in examples),
            None,
        )
        if body is not None:
            return KeyExample(
                "rh-key-predict", f"Predict with {model.slug}, with curl", _command(model, text, body)
            )
    return None


def _callable_models(key: ApiKey) -> list[Model]:
    """The first Models that answer this key now."""
    stopped = Hold.objects.filter(kind=Hold.Kind.STOPPED, to_at=None).values("model")
    live = Split.objects.filter(status=Status.CURRENT).values("model")
    models = Model.objects.filter(pk__in=live).exclude(pk__in=stopped).order_by("slug")
    if not key.all_models:
        models = models.filter(pk__in=key.only_models.values("pk"))
    return list(with_live_arms(models)[:_MODELS_TRIED])


def _command(model: Model, text: str, body: str) -> str:
    parts = [
        f"curl {settings.PUBLIC_URL}/api/v1/models/{model.slug}/predict",
        f"-H {shlex.quote(f'Authorization: Bearer {text}')}",
        "-H 'Content-Type: application/json'",
        f"-d {shlex.quote(body)}",
    ]
    return " \\\n  ".join(parts)
