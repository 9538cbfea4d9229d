"""The tasks of the library for the registry's versions: which there are, and the pipeline of a version."""

from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from inference.checks.golden_rows import METRICS, ROW_CHECKS, ROW_EXAMPLES, TENSOR_ROW
from inference.pipelines.errors import BadTaskConfig
from inference.pipelines.pipeline import FilesBeside, ItemPipeline, Pipeline
from inference.pipelines.tasks import TASKS
from inference.tensors.signature import Signature
from registry.catalogue import artifacts
from registry.catalogue.errors import InvalidTaskConfig
from registry.catalogue.models import Version
from registry.catalogue.task_kinds import Beside, Task


def registered_tasks() -> dict[str, Task]:
    """All tasks, as the registry knows them."""
    return {
        name: Task(
            kind.title,
            partial(_check, name),
            partial(_prefill, name),
            kind.kept_files,
            metrics=tuple(METRICS[name]),
            check_row=ROW_CHECKS.get(name),
            golden_row=ROW_EXAMPLES.get(name, TENSOR_ROW),
        )
        for name, kind in TASKS.items()
    }


def pipeline_of(version: Version, signature: Signature | None = None) -> Pipeline:
    """The version's pipeline. Raises BadTaskConfig, or ArtifactMissing. `signature`: if the row has none yet."""
    files = {name: path.read_bytes() for name, path in task_paths(version).items()}
    found = signature or Signature.from_json(version.signature or {})
    pipeline = TASKS[version.model.task](version.task_config, files, found)
    if not version.may_pad and isinstance(pipeline, ItemPipeline):
        pipeline.forbid_padding()
    return pipeline


def callers_signatures(version: Version) -> tuple[Signature, ...]:
    """What callers may send and get as tensors: items, if the task has them, or the model's own tensors.

    Reads no files. The version must have been checked.
    """
    own, task = Signature.from_json(version.signature or {}), TASKS[version.model.task]
    return (task.items_of(version.task_config), own) if issubclass(task, ItemPipeline) else (own,)


def task_paths(version: Version) -> dict[str, Path]:
    """Where the files of the version's task are. Raises ArtifactMissing."""
    return {name: artifacts.path_of(sha256) for name, sha256 in version.task_files.items()}


def _check(task: str, config: Mapping[str, Any], files: Collection[str]) -> None:
    try:
        TASKS[task].check_config(config, files)
    except BadTaskConfig as error:
        raise in_registry(error) from None


def _prefill(task: str, beside: Beside) -> Mapping[str, Any]:
    try:
        return TASKS[task].prefill(FilesBeside(beside.files, beside.labels))
    except BadTaskConfig as error:
        raise in_registry(error) from None


def in_registry(error: BadTaskConfig) -> InvalidTaskConfig:
    return InvalidTaskConfig(str(error), field=error.field)
