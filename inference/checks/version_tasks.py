"""The tasks of the library for the registry's versions: which there are, and the pipeline of a version."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

from inference.pipelines.errors import BadTaskConfig, InvalidItem
from inference.pipelines.pipeline import EXAMPLE_BYTES, FilesBeside, ItemPipeline, Pipeline
from inference.pipelines.tasks import TASKS
from inference.tensors.samples import Sample
from inference.tensors.signature import Signature, TensorSpec
from registry.catalogue import artifacts
from registry.catalogue.errors import InvalidTaskConfig
from registry.catalogue.models import Version
from registry.catalogue.task_kinds import FilesBesideModel, TaskKind
from registry.errors import Invalid
from registry.kit.declarations import DeclaredTensor

# By ONNX's number
_DATATYPES = {
    1: "FP32", 2: "UINT8", 3: "INT8", 4: "UINT16", 5: "INT16", 6: "INT32", 7: "INT64", 8: "BYTES", 9: "BOOL",
    10: "FP16", 11: "FP64", 12: "UINT32", 13: "UINT64",
}  # fmt: skip


def registered_tasks() -> dict[str, TaskKind]:
    """All tasks, as the registry knows them."""
    return {
        name: TaskKind(
            kind.title,
            partial(_check, name),
            partial(_prefill, name),
            partial(_is_stated, name),
            kind.asked,
            kind.kept_files,
            metrics=tuple(kind.golden.metrics),
            check_row=partial(_check_row, kind.golden.check) if kind.golden.check is not None else None,
            golden_row=kind.golden.example,
            has_pictures=kind.golden.has_pictures,
            serving=kind.serving,
            choices=kind.choices,
        )
        for name, kind in TASKS.items()
    }


def pipeline_of(version: Version, signature: Signature | None = None) -> Pipeline:
    """The version's pipeline. Raises BadTaskConfig, or ArtifactMissing. `signature`: if the row has none yet."""
    files = {name: path.read_bytes() for name, path in task_paths(version).items()}
    found = signature or Signature.from_json(version.signature or {})
    pipeline = TASKS[version.model.task](version.task_config, files, found)
    if not version.may_pad:
        pipeline.forbid_padding()
    return pipeline


def callers_signatures(version: Version) -> tuple[Signature, ...]:
    """What callers may send and get as tensors: items, if the task has them, or the model's own tensors.

    Reads no files. The version must have been checked.
    """
    own, task = Signature.from_json(version.signature or {}), TASKS[version.model.task]
    return (*task.signatures_of(version.task_config, own), own) if issubclass(task, ItemPipeline) else (own,)


def example_of(version: Version, sample: Sample) -> dict[str, Any]:
    """The body of a request with one item, for a task that has items. `sample`: a row on which the model has run."""
    task = cast("type[ItemPipeline[Any]]", TASKS[version.model.task])
    signature = Signature.from_json(version.signature or {})
    return task.example_of(version.task_config, _TaskFileHeads(version), signature, sample)


class _TaskFileHeads(Mapping[str, bytes]):
    """How the files of a version's task begin; each is read when it is asked for. Raises ArtifactMissing then."""

    def __init__(self, version: Version) -> None:
        self._names = version.task_files

    def __getitem__(self, name: str) -> bytes:
        with artifacts.path_of(self._names[name]).open("rb") as file:
            return file.read(EXAMPLE_BYTES)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def task_paths(version: Version) -> dict[str, Path]:
    """Where the files of the version's task are. Raises ArtifactMissing."""
    return {name: artifacts.path_of(sha256) for name, sha256 in version.task_files.items()}


def _check_row(
    check: Callable[[Mapping[str, Any], Any], None], inputs: Mapping[str, Any], label: Any
) -> None:
    try:
        check(inputs, label)
    except InvalidItem as error:
        raise Invalid(str(error)) from None


def _check(task: str, config: Mapping[str, Any], files: Collection[str]) -> None:
    try:
        TASKS[task].check_config(config, files)
    except BadTaskConfig as error:
        raise in_registry(error) from None


def _prefill(task: str, beside: FilesBesideModel) -> Mapping[str, Any]:
    try:
        return TASKS[task].prefill(_beside(beside))
    except BadTaskConfig as error:
        raise in_registry(error) from None


def _is_stated(task: str, beside: FilesBesideModel) -> bool:
    return TASKS[task].is_stated(_beside(beside))


def _beside(sent: FilesBesideModel) -> FilesBeside:
    declared = sent.declared
    signature = Signature(_specs(declared.inputs), _specs(declared.outputs))
    return FilesBeside(sent.files, sent.labels, declared.metadata, signature)


def _specs(tensors: Sequence[DeclaredTensor]) -> tuple[TensorSpec, ...]:
    """Those of types that the engine knows."""
    return tuple(
        TensorSpec(
            tensor.name, _DATATYPES[tensor.element_type], tensor.shape or (), any_rank=tensor.shape is None
        )
        for tensor in tensors
        if tensor.element_type in _DATATYPES
    )


def in_registry(error: BadTaskConfig) -> InvalidTaskConfig:
    return InvalidTaskConfig(str(error), field=error.field)
