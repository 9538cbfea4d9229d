"""Assembles a version's files from what was sent: a model, its weights in other files, files of its task, or a zip of all."""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from registry.catalogue import artifacts
from registry.catalogue.artifacts import StoredFile
from registry.catalogue.task_kinds import FilesBesideModel
from registry.errors import Invalid
from registry.intake import parts
from registry.intake.file_scan import ScanLimits
from registry.intake.file_scan.declarations import read_declaration
from registry.intake.file_scan.embeddings import are_embeddings, model_of_embeddings
from registry.intake.file_scan.errors import (
    ArchiveRefused,
    DataMissing,
    DataNotNamed,
    FileRefused,
    printable,
    quote_name,
)
from registry.intake.file_scan.rewrite import Rewrite, missing_sentence, plan_rewrite
from registry.intake.file_scan.scan import check_format
from registry.intake.file_scan.sent_files import SentFile, is_archive, is_bundle, open_file, unpack
from registry.intake.source_formats import (
    AS_RECOGNISED,
    RequestedFormat,
    SourceFormat,
    checked_options,
    format_of,
    is_source,
)
from registry.intake.task_input import (
    ContentsBeside,
    TaskSuggestion,
    is_beside,
    read_task_input,
    suggest_task,
)

MAX_DATA_FILES = 32  # with a model; send more in a zip
_LIMITS = ScanLimits()
_QUICK = ScanLimits(
    max_fields=2_000_000
)  # for finding weights in other files; larger models are left to the check


@dataclass(frozen=True, slots=True)
class Sent:
    """A file that was sent, and its SHA-256 if known."""

    file: SentFile
    sha256: str = ""

    def describe(self) -> dict[str, Any]:
        sha256 = self.sha256 or _hash_of(self.file)
        return {"name": printable(self.file.label), "sha256": sha256, "size_bytes": self.file.size}


@dataclass(frozen=True, slots=True)
class Assembled:
    """The artifact and its origin, the version's task configuration, and the files that its task needs, by SHA-256."""

    file: StoredFile
    origin: dict[str, Any]
    task_config: dict[str, Any]
    task_files: dict[str, str]
    source_format: str = ""
    source_options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RequestedTask:
    """The Model's task, and what the caller states of its configuration."""

    name: str
    config: Mapping[str, Any]


def check_count(files: int) -> None:
    """Refuse more data files than may be sent with a model."""
    if files > MAX_DATA_FILES:
        raise Invalid(
            f"At most {MAX_DATA_FILES} other files may be sent with a model; to send more, put everything in a zip."
        )


def assemble(
    model: Sent,
    others: Sequence[Sent],
    *,
    task: RequestedTask,
    drop_zipmap: bool,
    source: RequestedFormat = AS_RECOGNISED,
    keep: Callable[[], StoredFile],
) -> Assembled:
    """Store what was sent: the model as one file, and the files that its task needs; raise FileRefused or Invalid.

    1. A file that is neither an ONNX model nor in a format that is converted here is refused immediately, and so is a model
       without its data files. A file to convert is stored as it is.
    2. The task configuration is filled in from the files beside the model, and checked.
    3. Only then is anything stored. `keep` stores a model that needs no changes; otherwise the new file is written
       straight into the store, in pieces.

    The files that were sent are neither changed nor removed. The version's check scans the whole artifact.
    """
    check_count(len(others))
    if (other := format_of(model.file, source)) is not None:
        return _assemble_source(other, model, others, task, source, keep)
    with _planned(model.file, [sent.file for sent in others], drop_zipmap) as plan:
        found = read_task_input(task.name, task.config, plan.declared())
        task_files = {name: artifacts.store(plan.beside.pieces(name)).sha256 for name in found.kept}
        changes = [*plan.changes, *found.changes]
        origin = {"files": [sent.describe() for sent in (model, *others)], "changes": changes}
        return Assembled(_store(plan, keep), origin if changes else {}, found.config, task_files)


def _assemble_source(
    found: SourceFormat,
    model: Sent,
    others: Sequence[Sent],
    task: RequestedTask,
    source: RequestedFormat,
    keep: Callable[[], StoredFile],
) -> Assembled:
    for sent in others:
        if not is_beside(sent.file, ()):
            raise DataNotNamed(
                f"{quote_name(sent.file.label)} is neither part of a {found.label} nor of its task; leave it out."
            )
    beside = ContentsBeside([sent.file for sent in others])
    options = checked_options(found, source.options)
    read = read_task_input(task.name, task.config, FilesBesideModel(beside))
    task_files = {name: artifacts.store(beside.pieces(name)).sha256 for name in read.kept}
    origin = {"files": [sent.describe() for sent in (model, *others)], "changes": [*read.changes]}
    return Assembled(keep(), origin, read.config, task_files, found.name, options)


def suggest(model: SentFile, others: Sequence[SentFile], *, task: str) -> TaskSuggestion:
    """What these files state of a task's configuration; raise what `assemble` would. Nothing is stored.

    Numbers and ids of embeddings state nothing, and are not read.
    """
    check_count(len(others))
    if is_source(model):
        return suggest_task(
            task, FilesBesideModel(ContentsBeside([file for file in others if is_beside(file, ())]))
        )
    with _planned(model, others, drop_zipmap=False, is_outline=True) as plan:
        return suggest_task(task, plan.declared())


def assemble_files(
    *,
    model: Path,
    others: Sequence[Path] = (),
    task: RequestedTask,
    drop_zipmap: bool = False,
    source: RequestedFormat = AS_RECOGNISED,
) -> Assembled:
    """Store local files as one; raise FileRefused or Invalid. Symbolic links are followed: the operator chose them."""
    check_count(len(others))
    with ExitStack() as stack:
        first, *rest = [
            Sent(stack.enter_context(open_file(Path(os.path.realpath(path)), path.name)))
            for path in (model, *others)
        ]
        return assemble(
            first,
            rest,
            task=task,
            drop_zipmap=drop_zipmap,
            source=source,
            keep=lambda: artifacts.store(first.file.read(0, first.file.size)),
        )


def weights_named(model: Path) -> Sequence[str]:
    """The names of the files with weights that a local model file names; faults are left to those who import it."""
    with open_file(Path(os.path.realpath(model)), model.name) as file:
        return _quick_locations(file)


@dataclass(frozen=True, slots=True)
class _Plan:
    """How the artifact is made, and the files beside it. Without a rewrite the model stays as it is."""

    model: SentFile
    rewrite: Rewrite | None
    beside: ContentsBeside
    unpacking: Sequence[str] = ()  # what it changed

    @property
    def changes(self) -> list[str]:
        return [*self.unpacking, *(self.rewrite.changes if self.rewrite is not None else ())]

    def declared(self) -> FilesBesideModel:
        """All that the task may learn from what was sent."""
        labels = self.rewrite.labels if self.rewrite is not None else ()
        return FilesBesideModel(self.beside, labels, read_declaration(self.model))


def _store(plan: _Plan, keep: Callable[[], StoredFile]) -> StoredFile:
    if plan.rewrite is None or not plan.changes:
        return keep()
    _check_space(plan.rewrite.size)
    return artifacts.store(plan.rewrite.chunks())


@contextmanager
def _planned(
    model: SentFile, others: Sequence[SentFile], drop_zipmap: bool, *, is_outline: bool = False
) -> Iterator[_Plan]:
    """Raises TaskFileRefused, too."""
    if not is_archive(model):
        yield _plan(model, others, drop_zipmap)
        return
    if is_bundle(model):
        raise ArchiveRefused(
            "This is a bundle of another installation, which is not uploaded: whoever administers this one imports it with"
            " manage.py import_version (docs/bundles.md)."
        )
    is_npz = are_embeddings(model)
    if others:
        raise DataNotNamed(
            f"{quote_name(model.label)} contains all embeddings and ids; send no other files with it."
            if is_npz
            else "A zip must contain the model and everything beside it; send no other files with it."
        )
    if is_npz:
        folder = parts.existing_folder()
        with model_of_embeddings(model, folder, _LIMITS, _check_space, is_outline=is_outline) as made:
            yield _planned_rewrite(made.unpacked.model, made.unpacked.others, drop_zipmap, [made.change])
        return
    with unpack(model, parts.existing_folder(), _LIMITS, _check_space) as out:
        change = f"{printable(out.model.label)} was unpacked from {printable(model.label) or 'the archive'}."
        check_format(out.model.descriptor, _LIMITS)
        yield _planned_rewrite(out.model, out.others, drop_zipmap, [change])


def _plan(model: SentFile, others: Sequence[SentFile], drop_zipmap: bool) -> _Plan:
    check_format(model.descriptor, _LIMITS)
    if not drop_zipmap and all(is_beside(file, ()) for file in others):
        named = _quick_locations(model)
        if not named:
            return _Plan(model, None, ContentsBeside(others))
        if not set(named) & {file.label for file in others}:
            raise DataMissing(missing_sentence(named))
    return _planned_rewrite(model, others, drop_zipmap)


def _planned_rewrite(
    model: SentFile, others: Sequence[SentFile], drop_zipmap: bool, unpacking: Sequence[str] = ()
) -> _Plan:
    rewrite = plan_rewrite(model, drop_zipmap=drop_zipmap, limits=_LIMITS)
    beside = [file for file in others if is_beside(file, rewrite.locations)]
    rewrite.use([file for file in others if not is_beside(file, rewrite.locations)])
    return _Plan(model, rewrite, ContentsBeside(beside), unpacking)


def _quick_locations(model: SentFile) -> Sequence[str]:
    """The data files that the model names. Other faults are left to the check."""
    try:
        return plan_rewrite(model, limits=_QUICK).locations
    except FileRefused:
        return ()


def _check_space(size: int) -> None:
    parts.check_space(size, "the new file, in addition to those sent,")


def _hash_of(file: SentFile) -> str:
    digest = hashlib.sha256()
    for piece in file.read(0, file.size):
        digest.update(piece)
    return digest.hexdigest()
