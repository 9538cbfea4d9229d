"""Draws the panel: an editor with an example request, or instructions if no request can be sent yet."""

from typing import Any

import orjson
from django.conf import settings
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.safestring import SafeString

from inference.checks.proofs import known_sample
from inference.checks.version_tasks import example_of
from inference.doors.rest.signature import examples_of_items, examples_of_tensors
from inference.pipelines.pipeline import ItemPipeline
from inference.pipelines.tasks import TASKS
from inference.tensors.signature import Signature
from inference.try_it.picture_form import picture_form
from registry.access.policies import Right
from registry.catalogue.models import Model, Version
from registry.catalogue.selectors import current_serving
from registry.catalogue.transitions import Status
from registry.errors import ArtifactMissing
from registry.intake.examples.selectors import current_golden_set, golden_rows_numbered
from registry.kit.admin.theme import actor
from registry.traffic.models import Hold
from registry.traffic.selectors import live_arms, open_holds

_LONGEST = 8_000  # bytes of a row


def draw_for_model(request: HttpRequest, model: Model) -> SafeString:
    """Send as a caller would: the split and the routing key decide which version answers."""
    arms = live_arms(model)
    version = None
    if arms:
        widest = max(arms, key=lambda arm: arm.share)
        version = model.versions.select_related("artifact").get(number=widest.version)
    return _draw(
        request,
        model,
        version,
        is_by_number=False,
        arms=arms,
        ready=model.versions.filter(status=Status.READY).first() if version is None else None,
        address=reverse("try-model", args=[model.pk]),
        public_path=f"models/{model.slug}/predict",
    )


def draw_for_version(request: HttpRequest, version: Version) -> SafeString:
    """Send to this version by its number, ignoring the split."""
    return _draw(
        request,
        version.model,
        version,
        is_by_number=True,
        address=reverse("try-version", args=[version.pk]),
        public_path=f"models/{version.model.slug}/versions/{version.number}/predict",
    )


def _draw(
    request: HttpRequest, model: Model, version: Version | None, *, public_path: str, **more: Any
) -> SafeString:
    context = {
        "model": model,
        "version": version,
        "stopped": open_holds(model).get(Hold.Kind.STOPPED),
        "examples": json_examples(version),
        "picture": picture_form(version) if version is not None else None,
        "item": _item_fields(model),
        "takes_null": version is not None and current_serving(version.pk).allow_non_finite,
        "may_send": actor(request).may(Right.PREDICT, model_id=model.pk),
        "public_url": f"{settings.PUBLIC_URL}/api/v1/{public_path}",
        **more,
    }
    return render_to_string("admin/inference/try_it.html", context, request)


def _item_fields(model: Model) -> dict[str, Any]:
    """The fields of a request with items; empty for tensors."""
    kind = TASKS[model.task]
    if not issubclass(kind, ItemPipeline):
        return {}
    return {"one": kind.one, "several": kind.several, "options": list(kind.options)}


def json_examples(version: Version | None) -> dict[str, str]:
    """Request bodies as JSON, by format; the binary one is left out, because it cannot be typed."""
    if version is None or version.signature is None:
        return {}
    sample = known_sample(version.artifact.sha256)
    kind = TASKS[version.model.task]
    if issubclass(kind, ItemPipeline):
        bodies = [] if kind.reads_files else golden_bodies(version.model, 1)
        examples = examples_of_items(kind, bodies[0] if bodies else example_of(version, sample))
    else:
        examples = examples_of_tensors(Signature.from_json(version.signature), sample)
    return {name: orjson.dumps(body).decode() for name, body in examples.items() if name != "binary"}


def golden_bodies(model: Model, most: int) -> list[dict[str, Any]]:
    """Requests with one item that people know: the inputs of the first rows of the Model's golden set, if they are short."""
    golden_set = current_golden_set(model)
    if golden_set is None:
        return []
    try:
        rows = golden_rows_numbered(golden_set, range(1, most + 1))
    except (ArtifactMissing, OSError):
        return []
    return [row.inputs for row in rows.values() if row.bytes <= _LONGEST]
