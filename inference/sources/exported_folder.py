"""A folder as Hugging Face's exporters write it: model.onnx, or onnx/model.onnx, beside config.json and tokenizer.json."""

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from registry.catalogue.models import Model
from registry.catalogue.task_kinds import TASK_KINDS, kept_endings
from registry.errors import Invalid
from registry.intake.assembly import suggest, weights_named
from registry.intake.file_scan.errors import printable
from registry.intake.file_scan.sent_files import SentFile, open_file

_SUBFOLDER = "onnx"
_MOST_FILES = 1_000  # that are looked at
_MAX_CONFIG_BYTES = 4 << 20
# They fill in a task configuration.
_STATING = ("config.json", "tokenizer_config.json", "preprocessor_config.json")
# By the class of Hugging Face's library that the model belongs to, as the upload page tells tasks.
_TASKS = {
    "ForSequenceClassification": "text-classification",
    "ForTokenClassification": "entities",
    "ForImageClassification": "image-classification",
    "ForObjectDetection": "object-detection",
}


@dataclass(frozen=True, slots=True)
class ExportedFolder:
    """The model of a folder, its task, and the files that belong to it."""

    model: Path
    files: Sequence[Path]
    task: str | None  # None: of an existing Model, or none that the folder states
    guessed_by: str = ""  # what says so


def read_folder(folder: Path, *, slug: str, task: str | None, onnx: str = "") -> ExportedFolder:
    """Pick the model, and what its task needs; raise Invalid if the folder does not tell which file it is.

    `onnx`: which of several files. Without a task, an existing Model has its own, and for a new one the folder's is taken.
    """
    model = _chosen(folder, onnx)
    beside = _beside(folder, model)
    known = Model.objects.filter(slug=slug).values_list("task", flat=True).first()
    guessed, by = ("", "") if task or known else _guess(model, beside)
    needed = _needed(beside, task or known or guessed)
    weights = [model.with_name(name) for name in weights_named(model)]
    return ExportedFolder(model, [*weights, *needed], task or guessed or None, by)


def _chosen(folder: Path, onnx: str) -> Path:
    found = sorted(path for path in _files(folder) if path.suffix == ".onnx")
    names = [str(path.relative_to(folder)) for path in found]
    if onnx:
        if onnx not in names:
            raise Invalid(f"{folder} has no ONNX file {onnx}; it has {_listed(names) or 'none'}.")
        return folder / onnx
    if not found:
        raise Invalid(
            f"{folder} has no ONNX file, and neither has a folder {_SUBFOLDER} in it. Export the model as ONNX first, for example"
            " with optimum-cli export onnx."
        )
    if len(found) > 1:
        raise Invalid(f"{folder} has several ONNX files: {_listed(names)}. Name one with --onnx.")
    return found[0]


def _files(folder: Path) -> Iterator[Path]:
    inner = folder / _SUBFOLDER
    entries = chain(folder.iterdir(), inner.iterdir() if inner.is_dir() else ())
    return (path for path in islice(entries, _MOST_FILES) if path.is_file())


def _beside(folder: Path, model: Path) -> list[Path]:
    """Files by name; one next to the model counts before one of the same name above it."""
    return list(
        {path.name: path for place in (folder, model.parent) for path in sorted(place.iterdir())}.values()
    )


def _needed(beside: Sequence[Path], task: str) -> list[Path]:
    """What fills in the configuration, and what the version keeps; tensors and plain scores need no files."""
    if not task or not (TASK_KINDS[task].kept_files or task.startswith(("image-", "object-", "tabular-"))):
        return []
    endings = tuple(kept_endings())
    return [
        path for path in beside if path.is_file() and (path.name in _STATING or path.name.endswith(endings))
    ]


def _guess(model: Path, beside: Sequence[Path]) -> tuple[str, str]:
    if task := _task_of_config(next((path for path in beside if path.name == "config.json"), None)):
        return task, "config.json"
    with ExitStack() as stack:
        first, *others = [_opened(path, stack) for path in (model, *_needed(beside, "text-classification"))]
        try:
            task = suggest(first, others, task="").task
        except Invalid:  # what is wrong is told when it is imported
            return "", ""
    return task, "the file itself" if task else ""


def _opened(path: Path, stack: ExitStack) -> SentFile:
    return stack.enter_context(open_file(path.resolve(), path.name))


def _task_of_config(path: Path | None) -> str:
    if path is None or path.stat().st_size > _MAX_CONFIG_BYTES:
        return ""
    try:
        architecture = json.loads(path.read_bytes())["architectures"][0]
    except (ValueError, RecursionError, KeyError, IndexError, TypeError):
        return ""
    return next((task for end, task in _TASKS.items() if str(architecture).endswith(end)), "")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(printable(name) for name in names[:20])
