"""The part of the page that compares two versions which has both answer the same items, or the same picture."""

from collections.abc import Mapping
from typing import Any

import orjson
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from inference.checks.version_tasks import example_of
from inference.pipelines.pipeline import ItemPipeline
from inference.pipelines.tasks import TASKS
from inference.pipelines.thumbnails import MAX_SIDE
from inference.tensors.samples import EMPTY_SAMPLE
from inference.try_it.panels import golden_bodies
from inference.try_it.picture_form import picture_form
from registry.access.policies import Right
from registry.catalogue.models import Model, Version
from registry.intake.examples.selectors import current_golden_set
from registry.kit.admin.theme import actor

_ITEMS = 5
_PICTURES = 8
_LABELS = {"top_k": 3}
_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "text-classification": _LABELS,
    "tabular-classification": _LABELS,
    "entities": {"offset_unit": "utf16"},  # as JavaScript counts
}


def draw_answers(request: HttpRequest, left: Version, right: Version) -> SafeString | str:
    """Items, and a button that sends them to both versions. Nothing for tensors, or if one of the two cannot answer."""
    kind = TASKS[left.model.task]
    if not issubclass(kind, ItemPipeline) or not left.is_servable or not right.is_servable:
        return ""
    if not actor(request).may(Right.PREDICT, model_id=left.model_id):
        return ""
    context = {"left": left, "right": right}
    if kind.reads_files:
        return render_to_string(
            "admin/inference/compare_pictures.html",
            {**context, "picture": picture_form(right), **_golden_pictures(left.model)},
            request,
        )
    bodies = golden_bodies(left.model, _ITEMS) or [example_of(right, EMPTY_SAMPLE)]
    items = [kind.golden.shown(body) for body in bodies]
    return render_to_string(
        "admin/inference/compare_items.html",
        {
            **context,
            "items": items,
            "body": orjson.dumps({**kind.joined_body(bodies), **_OPTIONS.get(kind.task, {})}).decode(),
            "noun": kind.one,
        },
        request,
    )


def _golden_pictures(model: Model) -> dict[str, Any]:
    """The first rows of the Model's golden set."""
    golden_set = current_golden_set(model)
    if golden_set is None:
        return {}
    return {
        "golden_set": golden_set.pk,
        "golden_rows": range(1, min(_PICTURES, golden_set.rows) + 1),
        "longest_side": MAX_SIDE,
    }
