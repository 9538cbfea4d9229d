"""Makes one artifact of what somebody sent: a model, a model with its weights in other files, or a zip of both."""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from registry.catalogue import artifacts
from registry.catalogue.artifacts import StoredFile
from registry.catalogue.models import Task
from registry.errors import Invalid
from registry.intake import parts
from registry.intake.errors import InsufficientStorage
from registry.intake.gate import GateLimits
from registry.intake.gate.archives import is_archive, unpacked
from registry.intake.gate.errors import DataMissing, DataNotNamed, GateRefused
from registry.intake.gate.first_look import look_at
from registry.intake.gate.rewriting import Rewriting, missing_sentence, plan_rewriting
from registry.intake.gate.sent_files import SentFile, opened
from registry.intake.gate.wording import printable

MOST_DATA_FILES = 32  # beside a model; more come in a zip
_LIMITS = GateLimits()
_QUICK = GateLimits(max_fields=2_000_000)  # a look for weights in other files; what has more, the check reads


@dataclass(frozen=True, slots=True)
class Sent:
    """A file that came, and its SHA-256 where that is known."""

    file: SentFile
    sha256: str = ""

    def describe(self) -> dict[str, Any]:
        sha256 = self.sha256 or _hash_of(self.file)
        return {"name": printable(self.file.label), "sha256": sha256, "size_bytes": self.file.size}


@dataclass(frozen=True, slots=True)
class Assembled:
    """The artifact, where it comes from, and the names of classes that a removed ZipMap had."""

    file: StoredFile
    origin: dict[str, Any] = field(default_factory=dict)
    labels: tuple[str, ...] = ()


def check_count(files: int) -> None:
    """Refuse more data files than may come beside a model."""
    if files > MOST_DATA_FILES:
        raise Invalid(
            f"At most {MOST_DATA_FILES} files with weights come beside a model; put more of them, and the model, into one zip."
        )


def assemble(
    model: Sent, data: Sequence[Sent], *, drop_zipmap: bool, keep: Callable[[], StoredFile]
) -> Assembled:
    """Store what was sent as one file; raise GateRefused.

    1. What is no ONNX model is refused at a look. What lies in other files must have come along.
    2. A model that stays as it is is kept by `keep`. Else the new file is written straight into the store, in pieces.

    Nothing that was sent is changed or removed. The whole of the file is read by the version's check.
    """
    check_count(len(data))
    with _planned(model.file, [each.file for each in data], drop_zipmap) as (plan, unpacking):
        changes = [*unpacking, *(plan.changes if plan is not None else ())]
        if plan is None or not changes:
            return Assembled(keep())
        _check_space(plan.size)
        origin = {"files": [each.describe() for each in (model, *data)], "changes": changes}
        return Assembled(artifacts.store(plan.chunks()), origin, plan.labels)


def assemble_files(*, model: Path, data: Sequence[Path] = (), drop_zipmap: bool = False) -> Assembled:
    """Store files of this machine as one file; raise GateRefused. Links are followed: somebody named them here."""
    check_count(len(data))
    with ExitStack() as stack:
        first, *others = [
            Sent(stack.enter_context(opened(Path(os.path.realpath(path)), path.name)))
            for path in (model, *data)
        ]
        return assemble(first, others, drop_zipmap=drop_zipmap, keep=lambda: _copied(first.file))


def with_labels(task: str, config: Mapping[str, Any], labels: Sequence[str]) -> Mapping[str, Any]:
    """Give a classification the labels that its file brought, unless somebody gave others."""
    if task != Task.CLASSIFICATION or not labels or config.get("labels"):
        return config
    return {"scores": "probabilities", **config, "labels": list(labels)}


def _copied(file: SentFile) -> StoredFile:
    return artifacts.store(file.read(0, file.size))


@contextmanager
def _planned(
    model: SentFile, data: Sequence[SentFile], drop_zipmap: bool
) -> Iterator[tuple[Rewriting | None, list[str]]]:
    """Give the plan, None where the file stays as it is, and what unpacking it changed."""
    if not is_archive(model):
        yield _plan(model, data, drop_zipmap), []
        return
    if data:
        raise DataNotNamed("A zip holds the model with its weights; send no other files beside it.")
    with unpacked(model, parts.made_folder(), _LIMITS, _check_space) as out:
        taken = f"{printable(out.model.label)} was taken out of {printable(model.label) or 'the archive'}."
        look_at(out.model.descriptor, _LIMITS)
        plan = plan_rewriting(out.model, drop_zipmap=drop_zipmap, limits=_LIMITS)
        plan.use(out.data)
        yield plan, [taken]


def _plan(model: SentFile, data: Sequence[SentFile], drop_zipmap: bool) -> Rewriting | None:
    look_at(model.descriptor, _LIMITS)
    if not data and not drop_zipmap:
        _check_nothing_missing(model)
        return None
    plan = plan_rewriting(model, drop_zipmap=drop_zipmap, limits=_LIMITS)
    plan.use(data)
    return plan


def _check_nothing_missing(model: SentFile) -> None:
    """Refuse a model that came without its weights. What else is wrong with it, its check says."""
    try:
        locations = plan_rewriting(model, limits=_QUICK).locations
    except GateRefused:
        return
    if locations:
        raise DataMissing(missing_sentence(locations))


def _check_space(size: int) -> None:
    if parts.free_bytes() < size + parts.RESERVE_BYTES:
        raise InsufficientStorage(
            f"The disk has no room for the new file of {size:,} bytes beside those that were sent. Free some space, then"
            " try again."
        )


def _hash_of(file: SentFile) -> str:
    digest = hashlib.sha256()
    for piece in file.read(0, file.size):
        digest.update(piece)
    return digest.hexdigest()
