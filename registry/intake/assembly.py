"""Assembles one artifact from what was sent: a model, a model with weights in other files, or a zip of both."""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from registry.catalogue import artifacts
from registry.catalogue.artifacts import StoredFile
from registry.catalogue.tasks import TASKS, Beside
from registry.errors import Invalid
from registry.intake import parts
from registry.intake.errors import InsufficientStorage
from registry.intake.file_scan import ScanLimits
from registry.intake.file_scan.errors import DataMissing, DataNotNamed, FileRefused, printable
from registry.intake.file_scan.rewrite import Rewrite, missing_sentence, plan_rewrite
from registry.intake.file_scan.scan import check_format
from registry.intake.file_scan.sent_files import SentFile, is_archive, open_file, unpack

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
    """The artifact, its origin, and the class names of a removed ZipMap."""

    file: StoredFile
    origin: dict[str, Any] = field(default_factory=dict)
    labels: tuple[str, ...] = ()


def check_count(files: int) -> None:
    """Refuse more data files than may be sent with a model."""
    if files > MAX_DATA_FILES:
        raise Invalid(
            f"At most {MAX_DATA_FILES} files with weights may be sent with a model; to send more, put everything in a zip."
        )


def assemble(
    model: Sent, data: Sequence[Sent], *, drop_zipmap: bool, keep: Callable[[], StoredFile]
) -> Assembled:
    """Store what was sent as one file; raise FileRefused.

    1. A file that is not an ONNX model is refused immediately, and so is a model without its data files.
    2. `keep` stores a model that needs no changes. Otherwise the new file is written straight into the store, in pieces.

    The files that were sent are neither changed nor removed. The version's check scans the whole artifact.
    """
    check_count(len(data))
    with _planned_rewrite(model.file, [sent.file for sent in data], drop_zipmap) as (rewrite, unpacking):
        changes = [*unpacking, *(rewrite.changes if rewrite is not None else ())]
        if rewrite is None or not changes:
            return Assembled(keep())
        _check_space(rewrite.size)
        origin = {"files": [sent.describe() for sent in (model, *data)], "changes": changes}
        return Assembled(artifacts.store(rewrite.chunks()), origin, rewrite.labels)


def assemble_files(*, model: Path, data: Sequence[Path] = (), drop_zipmap: bool = False) -> Assembled:
    """Store local files as one file; raise FileRefused. Symbolic links are followed: the operator chose them."""
    check_count(len(data))
    with ExitStack() as stack:
        first, *others = [
            Sent(stack.enter_context(open_file(Path(os.path.realpath(path)), path.name)))
            for path in (model, *data)
        ]
        return assemble(
            first,
            others,
            drop_zipmap=drop_zipmap,
            keep=lambda: artifacts.store(first.file.read(0, first.file.size)),
        )


def filled(task: str, config: Mapping[str, Any], beside: Beside) -> Mapping[str, Any]:
    """The task configuration, with what it does not state filled in from what came with the model."""
    return {**TASKS[task].prefill(beside), **config}


@contextmanager
def _planned_rewrite(
    model: SentFile, data: Sequence[SentFile], drop_zipmap: bool
) -> Iterator[tuple[Rewrite | None, list[str]]]:
    """Yield the rewrite (None if the file stays as it is), and what unpacking changed."""
    if not is_archive(model):
        yield _plan(model, data, drop_zipmap), []
        return
    if data:
        raise DataNotNamed("A zip must contain the model and its weights; send no other files with it.")
    with unpack(model, parts.existing_folder(), _LIMITS, _check_space) as out:
        change = f"{printable(out.model.label)} was unpacked from {printable(model.label) or 'the archive'}."
        check_format(out.model.descriptor, _LIMITS)
        rewrite = plan_rewrite(out.model, drop_zipmap=drop_zipmap, limits=_LIMITS)
        rewrite.use(out.data)
        yield rewrite, [change]


def _plan(model: SentFile, data: Sequence[SentFile], drop_zipmap: bool) -> Rewrite | None:
    check_format(model.descriptor, _LIMITS)
    if not data and not drop_zipmap:
        _check_nothing_missing(model)
        return None
    rewrite = plan_rewrite(model, drop_zipmap=drop_zipmap, limits=_LIMITS)
    rewrite.use(data)
    return rewrite


def _check_nothing_missing(model: SentFile) -> None:
    """Refuse a model without its data files. Other faults are left to the check."""
    try:
        locations = plan_rewrite(model, limits=_QUICK).locations
    except FileRefused:
        return
    if locations:
        raise DataMissing(missing_sentence(locations))


def _check_space(size: int) -> None:
    if parts.free_bytes() < size + parts.RESERVE_BYTES:
        raise InsufficientStorage(
            f"The disk has no room for the new file of {size:,} bytes in addition to the files sent. Free some space, then"
            " try again."
        )


def _hash_of(file: SentFile) -> str:
    digest = hashlib.sha256()
    for piece in file.read(0, file.size):
        digest.update(piece)
    return digest.hexdigest()
