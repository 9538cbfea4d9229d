"""The part of the page that compares two versions which has both answer the same texts, or the same picture."""

from typing import Any

from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from inference.checks.version_tasks import example_of
from inference.pipelines.pipeline import ItemPipeline
from inference.pipelines.tasks import TASKS
from inference.pipelines.thumbnails import MAX_SIDE
from inference.tensors.samples import EMPTY_SAMPLE
from inference.try_it.picture_form import picture_form
from registry.access.policies import Right
from registry.catalogue.models import Model, Version
from registry.errors import ArtifactMissing
from registry.intake.examples.selectors import current_golden_set, golden_rows_numbered
from registry.kit.admin.theme import actor

_TEXTS, _LONGEST = 5, 2_000  # characters
_PICTURES = 8


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
    if kind.one != "text":
        return ""
    return render_to_string(
        "admin/inference/compare_texts.html",
        {
            **context,
            "texts": _golden_texts(left.model) or [str(example_of(right, EMPTY_SAMPLE)["text"])],
            "has_spans": "offset_unit" in kind.options,
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


def _golden_texts(model: Model) -> list[str]:
    """The first texts of the Model's golden set."""
    golden_set = current_golden_set(model)
    if golden_set is None:
        return []
    try:
        rows = golden_rows_numbered(golden_set, range(1, _TEXTS + 1))
    except (ArtifactMissing, OSError):
        return []
    texts = [row.inputs.get("text") for row in rows.values()]
    return [text for text in texts if isinstance(text, str) and 0 < len(text) <= _LONGEST]
