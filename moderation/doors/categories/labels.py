"""The labels of detectors: of those in this process's memory for requests, of live versions in the database for people."""

from collections.abc import Iterable, Mapping
from typing import Any

from inference.pipelines.entities import Entities, entity_types
from inference.serving import runtime
from moderation.policies.models import Policy
from moderation.policies.rules import DetectorRule, read_rules, split_detector
from registry.catalogue.models import Version
from registry.traffic.models import Arm
from registry.traffic.transitions import Status


def labels_in_memory(detector: str) -> tuple[str, ...] | None:
    """The labels of the versions that answer for a detector now; None if one of them is not in memory."""
    serving, (model, alias) = runtime.current(), split_detector(detector)
    route = serving.table.routes.get(model) if serving is not None else None
    if serving is None or route is None:
        return None
    owners = route.owners if not alias else [route.versions.get(route.aliases.get(alias, 0))]
    pipelines = [serving.known_pipeline(one) if one is not None else None for one in owners]
    labels: dict[str, None] = {}
    for pipeline in pipelines:
        if pipeline is None:
            return None
        found = pipeline.found_labels if isinstance(pipeline, Entities) else getattr(pipeline, "labels", ())
        labels |= dict.fromkeys(found)
    return tuple(labels) if pipelines else None


def labels_for_people() -> Mapping[str, list[str]]:
    """The labels of each detector of the published policies, as its live versions have them."""
    detectors = sorted(_detectors_of_policies())
    by_model = _labels_of_live_versions({split_detector(name)[0] for name in detectors})
    return {name: by_model.get(split_detector(name)[0], []) for name in detectors}


def _detectors_of_policies() -> set[str]:
    contents = Policy.objects.filter(retired_at=None, current__isnull=False).values_list(
        "current__content", flat=True
    )
    rules = [rule for content in contents for rule in read_rules(content).active]
    return {rule.detector for rule in rules if isinstance(rule, DetectorRule)}


def _labels_of_live_versions(models: Iterable[str]) -> dict[str, list[str]]:
    live = Arm.objects.filter(split__model__slug__in=models, split__status=Status.CURRENT).values("version")
    found: dict[str, dict[str, None]] = {}
    for slug, task, config in Version.objects.filter(pk__in=live).values_list(
        "model__slug", "model__task", "task_config"
    ):
        found.setdefault(slug, {}).update(dict.fromkeys(_labels_of(task, config)))
    return {slug: list(labels) for slug, labels in found.items()}


def _labels_of(task: str, config: Mapping[str, Any]) -> list[str]:
    labels = list(config.get("labels") or [])
    if task != Entities.task:
        return labels
    patterns = [label for pair in config.get("patterns") or [] for label in pair]
    return entity_types(labels, config.get("ignored"), patterns)
