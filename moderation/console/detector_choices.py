"""Which Models can be detectors, with the labels that their live versions know."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from inference.pipelines.entities import Entities, Grouping, TokenTag
from inference.pipelines.image_classification import ImageClassification
from inference.pipelines.text_classification import TextClassification
from moderation.policies.rules import READS_OF_TASK, split_detector
from registry.catalogue.models import Alias, Model, Version
from registry.traffic.selectors import live_arms, with_live_arms

MOST_MODELS = 500
# Of their labels one is always likely, so a rule that looks for all of them finds something in every content.
_ALTERNATIVES = frozenset({TextClassification.task, ImageClassification.task})


@dataclass(frozen=True, slots=True)
class DetectorChoice:
    """A Model that a rule can ask. `version` is the live one with the largest share; None: no version is live."""

    slug: str
    title: str
    task: str
    reads: Sequence[str]
    version: int | None
    labels: Sequence[str]
    aliases: Sequence[str]


@dataclass(frozen=True, slots=True)
class DraftWarning:
    """Something in a draft that is allowed, and most likely not meant."""

    place: tuple[str | int, ...]
    sentence: str


def detector_choices() -> list[DetectorChoice]:
    """All Models whose task can be a detector, by name; in a fixed number of queries."""
    models = list(with_live_arms(Model.objects.filter(task__in=READS_OF_TASK)).order_by("slug")[:MOST_MODELS])
    live = {
        model.pk: max(arms, key=lambda arm: arm.share).version
        for model in models
        if (arms := live_arms(model))
    }
    configs = {
        (model_id, number): config
        for model_id, number, config in Version.objects.filter(
            model__in=live, number__in=set(live.values())
        ).values_list("model_id", "number", "task_config")
    }
    aliases: dict[int, list[str]] = {}
    for model_id, name in Alias.objects.filter(model__in=models, version__isnull=False).values_list(
        "model_id", "name"
    ):
        aliases.setdefault(model_id, []).append(name)
    return [
        DetectorChoice(
            slug=model.slug,
            title=model.title,
            task=model.task,
            reads=[str(part) for part in READS_OF_TASK[model.task]],
            version=live.get(model.pk),
            labels=labels_of(model.task, configs.get((model.pk, live.get(model.pk, 0)), {})),
            aliases=sorted(aliases.get(model.pk, [])),
        )
        for model in models
    ]


def labels_of(task: str, config: Mapping[str, Any]) -> list[str]:
    """The labels that answers can name. Of entities these are the types, such as PER, and not the tags of tokens; and what
    the configuration's patterns find.
    """
    labels = [str(label) for label in config.get("labels") or []]
    if task != Entities.task:
        return labels
    ignored = set(config.get("ignored") or ["O"])
    is_grouped = config.get("grouping", Grouping.SIMPLE) != Grouping.NONE
    tags = [(label, TokenTag.of(label).type) for label in labels]
    named = [kind if is_grouped else label for label, kind in tags if not {label, kind} & ignored]
    patterns = [str(label) for pattern in config.get("patterns") or [] for label in pattern]
    return list(dict.fromkeys([*named, *patterns]))


def choices_as_json(choices: Sequence[DetectorChoice]) -> list[dict[str, Any]]:
    return [asdict(choice) for choice in choices]


def draft_warnings(content: Mapping[str, Any], choices: Sequence[DetectorChoice]) -> list[DraftWarning]:
    """Labels that the live version does not have, and detectors without a live version."""
    known = {choice.slug: choice for choice in choices}
    return [
        warning
        for place, rule in enumerate(content.get("rules", []))
        if rule.get("kind") == "detector" and rule.get("state") != "off"
        for warning in _warnings(place, rule, known)
    ]


def _warnings(
    place: int, rule: Mapping[str, Any], known: Mapping[str, DetectorChoice]
) -> Iterator[DraftWarning]:
    slug, alias = split_detector(str(rule.get("detector") or ""))
    choice = known.get(slug)
    if choice is None:
        return
    if alias:
        if alias not in choice.aliases and alias != "champion":
            yield DraftWarning(
                ("rules", place, "detector"),
                f"{slug} has no alias {alias}; contents would be sent to review.",
            )
        return
    if choice.version is None:
        yield DraftWarning(
            ("rules", place, "detector"),
            f"{slug} has no live version; until it has one, contents are sent to review.",
        )
        return
    if not rule.get("labels") and choice.task in _ALTERNATIVES and len(choice.labels) > 1:
        yield DraftWarning(
            ("rules", place, "labels"),
            f"No label is chosen, so each label of {slug} counts, also a harmless one: {', '.join(choice.labels[:4])}.",
        )
    for label in rule.get("labels") or []:
        if choice.labels and label not in choice.labels:
            yield DraftWarning(
                ("rules", place, "labels"),
                f"Version {choice.version} of {slug} has no label “{label}”, so this rule never finds it.",
            )
