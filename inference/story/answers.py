"""The chapters about the answer itself: which version gave it, why that one, and with which settings."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from django.db.models import Q
from django.urls import reverse

from inference.serving.request_id import BY_ALIAS, BY_VERSION, ONLY_ARM
from inference.story.chapters import AnsweredRequest, Chapter, ChapterLink
from registry.catalogue.models import AliasMove, ServingSettings
from registry.catalogue.serving_settings import DEFAULTS, ServingValues
from registry.kit.actors import Actor
from registry.kit.admin.facts import settings_in_words, short

_TENSORS_SHOWN = _ALIASES_SHOWN = 8
_SHA_SHOWN = 12


def tell_answer(request: AnsweredRequest, _by: Actor) -> Chapter:
    """Which version answered, and why."""
    version, fields, arm = request.version, request.fields, request.arm
    sentences = [f"Version {version.number} of {request.model} answered.", why_this_version(request)]
    facts: dict[str, str | int | datetime] = {
        "model": request.model.slug,
        "version": version.number,
        "answered": request.at,
        "file": version.artifact.sha256[:_SHA_SHOWN],
        "uploaded by": version.made_by,
        **_tensors_of(version.signature),
        "routing key": "none" if not fields.key_hash else f"yes (hash {fields.key_hash:016x})",
    }
    if fields.arm:
        facts["arm"] = fields.arm
    if arm is not None:
        facts |= {"share": f"{arm.percent:g} %", "buckets of the arm": _spans(arm.buckets)}
    if fields.bucket is not None:
        facts["bucket"] = f"{fields.bucket:,}"
    if fields.row:
        facts["row"] = fields.row
    if version.status != "ready":
        sentences.append(f"The version is {version.status} now.")
    return Chapter(
        "Answer",
        sentences,
        facts,
        links=[
            ChapterLink(
                f"Model {request.model}", reverse("admin:registry_model_change", args=[version.model_id])
            ),
            ChapterLink(
                f"Version {version.number}", reverse("admin:registry_version_change", args=[version.pk])
            ),
        ],
    )


def why_this_version(request: AnsweredRequest) -> str:
    """Repeat the choice that docs/routing.md defines, with this request's numbers."""
    fields, number = request.fields, request.version.number
    if fields.chosen_by == BY_VERSION:
        return f"The caller named version {number}, so the split did not decide."
    if fields.chosen_by == BY_ALIAS:
        return _why_by_alias(request)
    if fields.chosen_by == ONLY_ARM:
        return f"It was the only arm of split {fields.split}, so every request without a version went to it."
    if fields.bucket is not None:
        return _why_by_bucket(request, fields.bucket)
    if not fields.arm:
        return "The caller named a version or an alias, so the split did not decide. The id is too old to say which."
    chance = "by its routing key" if fields.key_hash else "at random, because it had no routing key"
    return f"Split {fields.split} chose arm {fields.arm} {chance}. The id is too old to say which bucket."


def _why_by_alias(request: AnsweredRequest) -> str:
    number = request.version.number
    names = _aliases_then(request)
    if not names:
        return f"The caller named an alias of version {number}. No alias pointed to it at that moment: it had just moved."
    named = " or ".join(f"@{name}" for name in names)
    return f"The caller named {named}, which pointed to version {number}, so the split did not decide."


def _aliases_then(request: AnsweredRequest) -> list[str]:
    then = Q(from_at__lte=request.at) & (Q(to_at=None) | Q(to_at__gt=request.at))
    moves = AliasMove.objects.filter(then, alias__model=request.model, version=request.version)
    return list(moves.order_by("alias__name").values_list("alias__name", flat=True)[:_ALIASES_SHOWN])


def _why_by_bucket(request: AnsweredRequest, bucket: int) -> str:
    fields, arm = request.fields, request.arm
    if fields.key_hash:
        origin = f"Its routing key belongs to bucket {bucket:,} of 10,000"
    else:
        origin = f"It had no routing key and got a random bucket of 10,000: {bucket:,}"
    if arm is None:
        return f"{origin}, which arm {fields.arm} of split {fields.split} owned."
    first, end = next((span for span in arm.buckets if span[0] <= bucket < span[1]), (bucket, bucket + 1))
    owned = f"bucket {first:,}" if end - first == 1 else f"buckets {first:,} to {end - 1:,}"
    return (
        f"{origin}. Arm {fields.arm} of split {fields.split} owned {owned}; its share was {arm.percent:g} %."
    )


def _spans(buckets: Iterable[tuple[int, int]]) -> str:
    return short(", ".join(f"{first:,}–{end - 1:,}" for first, end in buckets))


def _tensors_of(signature: Mapping[str, Any] | None) -> dict[str, str]:
    """Inputs and outputs on one line each."""
    return {
        kind: short(", ".join(_tensor(spec) for spec in (signature or {}).get(kind, [])[:_TENSORS_SHOWN]))
        for kind in ("inputs", "outputs")
        if (signature or {}).get(kind)
    }


def _tensor(spec: Mapping[str, Any]) -> str:
    sizes = " × ".join("any" if size is None else str(size) for size in spec["shape"])
    return f"{spec['name']} {spec['datatype']}{f' ({sizes})' if sizes else ''}"


def tell_settings(request: AnsweredRequest, _by: Actor) -> Chapter:
    """The serving settings that were in force."""
    rows = ServingSettings.objects.filter(version=request.version, created_at__lte=request.at)
    row = rows.order_by("-revision").first()
    if row is None:
        return Chapter(
            "Settings", [f"Version {request.version.number} ran with the default serving settings."]
        )
    values, defaults = ServingValues.from_json(row.values).to_json(), DEFAULTS.to_json()
    changed = {name: value for name, value in values.items() if value != defaults[name]}
    differs = "These settings differ from the defaults:" if changed else "All settings have their defaults."
    return Chapter(
        "Settings",
        [
            f"Revision {row.revision} of its serving settings was in force, by {row.made_by}: {row.reason}",
            differs,
        ],
        {"in force from": row.created_at, **dict(settings_in_words(changed))},
        links=[
            ChapterLink(
                f"Revision {row.revision}", reverse("admin:registry_servingsettings_change", args=[row.pk])
            )
        ],
    )
