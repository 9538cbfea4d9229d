"""What a version says about its answers, checked against the Model's task."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from registry.catalogue.models import Task
from registry.catalogue.validation import is_plain
from registry.errors import Invalid

MAX_LABELS, MAX_LABEL = 100_000, 200
SCORES = ("logits", "probabilities")
Config = dict[str, Any]


def checked_config(task: str, config: Mapping[str, Any]) -> Config:
    """Return the configuration as it is stored; raise Invalid naming the field that is wrong."""
    return _CHECKS[Task(task)](config)


def _tensor(config: Mapping[str, Any]) -> Config:
    _refuse_others(config, known=())
    return {}


def _classification(config: Mapping[str, Any]) -> Config:
    _refuse_others(config, known=("labels", "scores"))
    scores = config.get("scores")
    if scores not in SCORES:
        raise Invalid(f"`scores` says what the model gives out: {' or '.join(SCORES)}; got {scores!r}.")
    return {"labels": _labels(config.get("labels")), "scores": scores}


def _labels(labels: Any) -> list[str]:
    if not isinstance(labels, list) or not 1 <= len(labels) <= MAX_LABELS:
        raise Invalid(f"`labels` must list 1 to {MAX_LABELS:,} names, in the order of the model's scores.")
    for position, label in enumerate(labels):
        if not isinstance(label, str) or not label.strip() or len(label) > MAX_LABEL or not is_plain(label):
            raise Invalid(f"`labels` entry {position} must be one line of 1 to {MAX_LABEL} characters.")
    if twice := next((label for label, times in Counter(labels).items() if times > 1), None):
        raise Invalid(f"`labels` names {twice!r} twice; every score needs a name of its own.")
    return labels


def _refuse_others(config: Mapping[str, Any], *, known: tuple[str, ...]) -> None:
    if others := sorted(str(name) for name in config.keys() - set(known)):
        allowed = f"only {', '.join(known)}" if known else "nothing"
        raise Invalid(f"The task configuration may hold {allowed} for this task; remove {', '.join(others)}.")


_CHECKS: dict[Task, Callable[[Mapping[str, Any]], Config]] = {
    Task.TENSOR: _tensor,
    Task.CLASSIFICATION: _classification,
}
