"""Imports what was found elsewhere: each file becomes a version through the same checks as any other."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from inference.checks.services import import_version
from inference.engine.backends import SessionOptions
from inference.pipelines.plain import PlainClassification
from inference.scratch import ScratchFolder
from inference.sources.mlflow import MlflowServer, MlflowVersion
from inference.sources.triton import FoundModel, FoundVersion, hashes_of
from registry.catalogue.models import MAX_TITLE, Model, Version
from registry.catalogue.serving_settings import DEFAULTS, ServingValues
from registry.catalogue.task_kinds import TENSOR
from registry.catalogue.transitions import Status
from registry.errors import RoundhouseError
from registry.kit.actors import Actor

# By the SHA-256 of each of their files: a model with weights beside it may stay the same while these change.
KnownFiles = Mapping[frozenset[str], Version]
OptionsOf = Callable[[ServingValues], SessionOptions]


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """What would be done for a model of a repository, and the settings that would be lost, as sentences."""

    found: FoundModel
    is_new: bool
    task: str
    task_config: dict[str, Any]
    lost: Sequence[str]

    def preview(self) -> "list[ImportLine]":
        """What would become of each version. What only its import finds out is not known yet."""
        if self.found.refused:
            return [ImportLine(self.found.name, None, self.found.refused, is_refused=True)]
        known = _known_files(self.found.slug)
        return [
            _skipped(self.found, version, known)
            or ImportLine(self.found.name, version.number, "would be imported")
            for version in self.found.versions
        ]


@dataclass(frozen=True, slots=True)
class ImportLine:
    """What became of one version of a repository, or of a whole model that was refused."""

    name: str
    number: int | None
    result: str
    is_refused: bool = False


def plan_import(found: FoundModel, *, scores: str = "") -> ImportPlan:
    """Decide on the task: a Model keeps its own, and its new versions the task configuration of the newest one.

    A new Model whose repository has labels is a classification if it is known what its `scores` are, which Triton does
    not state.
    """
    model = Model.objects.filter(slug=found.slug).first()
    if model is None:
        return _plan_new(found, scores)
    newest = model.versions.order_by("-number").first()
    config = dict(newest.task_config) if newest is not None else {}
    if not found.labels:
        return ImportPlan(found, False, model.task, config, found.lost)
    if "labels" not in config:
        lost = f"label_filename: the Model {model.slug}, whose task is {model.task}, has no labels."
        return ImportPlan(found, False, model.task, config, [*found.lost, lost])
    return ImportPlan(found, False, model.task, {**config, "labels": list(found.labels)}, found.lost)


def _plan_new(found: FoundModel, scores: str) -> ImportPlan:
    if not found.labels:
        return ImportPlan(found, True, TENSOR, {}, found.lost)
    if not scores:
        lost = (
            "label_filename: Triton does not state what the scores are; add --scores logits or --scores probabilities to"
            " import it as a classification."
        )
        return ImportPlan(found, True, TENSOR, {}, [*found.lost, lost])
    config = {"labels": list(found.labels), "scores": scores}
    return ImportPlan(found, True, PlainClassification.task, config, found.lost)


def import_model_of_repository(*, plan: ImportPlan, options_of: OptionsOf, by: Actor) -> list[ImportLine]:
    """Import the versions in order, but not those whose file the Model has. A version that is refused stops no other.

    Only the last one goes live, or is requested, and only if the Model was never live.
    """
    if plan.found.refused:
        return plan.preview()
    known = _known_files(plan.found.slug)
    last = plan.found.versions[-1]
    return [
        _skipped(plan.found, version, known)
        or _import_one(plan, version, None if version is last else False, options_of, by)
        for version in plan.found.versions
    ]


def _skipped(found: FoundModel, version: FoundVersion, known: KnownFiles) -> ImportLine | None:
    if (same := known.get(version.sha256s)) is None:
        return None
    if same.status == Status.FAILED:
        result = f"version {same.number} has this file, and did not pass its checks: {same.failure}"
        return ImportLine(found.name, version.number, result, is_refused=True)
    return ImportLine(found.name, version.number, f"skipped: version {same.number} has this file")


def import_registered_version(
    *,
    server: MlflowServer,
    found: MlflowVersion,
    slug: str,
    task: str | None = None,
    task_config: Mapping[str, Any] | None = None,
    options: SessionOptions,
    go_live: bool | None = None,
    by: Actor,
) -> tuple[Version, bool]:
    """Fetch a version of an MLflow server and import it, with where it comes from; return it, and whether it is new.

    A file that the Model has is not imported again. Without a task configuration, an existing Model's newest one is taken.
    """
    newest = Version.objects.filter(model__slug=slug).order_by("-number").first()
    config = task_config or (newest.task_config if newest is not None else {})
    with ScratchFolder("mlflow") as folder:
        model, weights = server.download(found, folder, most=settings.UPLOAD_BYTES)
        if (same := _known_files(slug).get(hashes_of(model, *weights))) is not None:
            return same, False
        version = import_version(
            slug=slug,
            path=model,
            data=weights,
            options=options,
            title=found.name[:MAX_TITLE] if found.name != slug else "",
            task=task,
            task_config=config,
            training=found.training,
            go_live=go_live,
            by=by,
        )
    return version, True


def _known_files(slug: str) -> KnownFiles:
    """The Model's versions by the SHA-256 of their file, and of all files that were sent if they became one."""
    known: dict[frozenset[str], Version] = {}
    for version in Version.objects.filter(model__slug=slug).select_related("artifact").order_by("number"):
        known[frozenset([version.artifact.sha256])] = version
        if sent := version.origin.get("files"):
            known[frozenset(file["sha256"] for file in sent)] = version
    return known


def _import_one(
    plan: ImportPlan, version: FoundVersion, go_live: bool | None, options_of: OptionsOf, by: Actor
) -> ImportLine:
    found = plan.found
    try:
        imported = import_version(
            slug=found.slug,
            path=version.file,
            data=version.weights,
            options=options_of(ServingValues.from_json({**DEFAULTS.to_json(), **found.serving})),
            title=found.name[:MAX_TITLE] if found.name != found.slug else "",
            task=plan.task,
            task_config=plan.task_config,
            training={"tags": {"triton.model": found.name, "triton.version": str(version.number)}},
            serving=found.serving,
            go_live=go_live,
            by=by,
        )
    except (RoundhouseError, OSError) as error:
        return ImportLine(found.name, version.number, str(error), is_refused=True)
    return ImportLine(found.name, version.number, f"imported as version {imported.number}")
