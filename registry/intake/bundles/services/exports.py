"""Exports a version as a bundle."""

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO

import orjson
from django.conf import settings
from django.db import transaction

from registry.access.policies import Right
from registry.catalogue import artifacts
from registry.catalogue.artifacts import read_chunks
from registry.catalogue.errors import hash_mismatch
from registry.catalogue.models import Version
from registry.catalogue.serving_settings import ServingValues
from registry.errors import Conflict, Invalid
from registry.intake import parts
from registry.intake.bundles import bundle_file
from registry.intake.bundles.keys import own_key
from registry.intake.bundles.manifest import (
    EXAMPLES_FILE,
    GOLDEN_FILE,
    MAX_TASK_FILES,
    MODEL_FILE,
    BundledFile,
    BundledGoldenSet,
    BundleManifest,
    file_names,
    task_file,
)
from registry.intake.checklist.selectors import newest_run
from registry.intake.examples.models import GoldenSet
from registry.intake.examples.selectors import current_golden_set, examples_of
from registry.kit.actors import Actor
from registry.record.audit import record_change

_EXPORT_AGAIN = "Free some space, then export the version again."


def bundle_name(version: Version) -> str:
    """The bundle's file name, built from a slug and a number only."""
    return f"{version.model.slug}-v{version.number}.roundhouse"


def make_bundle(*, version: Version, by: Actor) -> IO[bytes]:
    """The version's bundle, in a file that is gone when it is closed. Every file in it is compared with its hash."""
    _check_may_export(version, by)
    with parts.room(_EXPORT_AGAIN):
        file = tempfile.TemporaryFile(dir=parts.existing_folder())  # noqa: SIM115 (the caller closes it)
        try:
            _write(file, version, check_space=parts.check_space)
        except BaseException:
            file.close()
            raise
    file.seek(0)
    return file


def export_bundle(*, version: Version, path: Path, by: Actor) -> Path:
    """Write the version's bundle to a path, or into a folder under its own name; whole or not at all."""
    _check_may_export(version, by)
    target = path / bundle_name(version) if path.is_dir() else path
    if target.exists():
        raise Conflict(f"{target} already exists; remove it first or choose another path.")
    if not target.parent.is_dir():
        raise Invalid(f"There is no folder {target.parent}; create it first.")
    with (
        parts.room(_EXPORT_AGAIN),
        tempfile.NamedTemporaryFile(dir=target.parent, prefix=".bundle-", delete=False) as file,
    ):
        scratch = Path(file.name)
        try:
            _write(file, version)
            file.flush()
            os.fsync(file.fileno())
            with transaction.atomic():
                after = {
                    "sha256": version.artifact.sha256,
                    "key": own_key().id,
                    "path": str(target.absolute()),
                }
                record_change(action="export_bundle", subject=version, before=None, after=after, by=by)
            os.replace(scratch, target)  # last, so that no file exists without its record
        finally:
            scratch.unlink(missing_ok=True)
    return target


def _check_may_export(version: Version, by: Actor) -> None:
    by.check(Right.READ, model_id=version.model_id)
    by.check(Right.DOWNLOAD, model_id=version.model_id)
    if version.awaits_conversion:
        raise Conflict(
            f"{version} has not been converted to ONNX yet; wait for its check, or repair what kept it from converting."
        )


def _write(
    file: IO[bytes], version: Version, *, check_space: Callable[[int, str], object] | None = None
) -> None:
    """`check_space`: for a file on the disk that holds the database, too."""
    key = own_key()
    golden_set = current_golden_set(version.model)
    examples = _examples_file(version)
    task_files = sorted(version.task_files)
    if len(task_files) > MAX_TASK_FILES:
        raise Invalid(f"{version} has {len(task_files):,} task files; a bundle has at most {MAX_TASK_FILES}.")
    stored = {MODEL_FILE: version.artifact.sha256}
    stored |= {task_file(place): version.task_files[name] for place, name in enumerate(task_files)}
    if golden_set is not None:
        stored[GOLDEN_FILE] = golden_set.sha256
    contents: dict[str, Iterable[bytes]] = {name: _stored_content(sha256) for name, sha256 in stored.items()}
    files = {
        name: BundledFile(name, sha256, artifacts.path_of(sha256).stat().st_size)
        for name, sha256 in stored.items()
    }
    if examples:
        contents[EXAMPLES_FILE] = [examples]
        files[EXAMPLES_FILE] = BundledFile(EXAMPLES_FILE, hashlib.sha256(examples).hexdigest(), len(examples))
    if check_space is not None:
        check_space(sum(each.size_bytes for each in files.values()), "the bundle")
    names = file_names(len(task_files), has_examples=bool(examples), has_golden_set=golden_set is not None)
    manifest = _manifest(version, [files[name] for name in names], task_files, golden_set)
    bundle_file.write_bundle(file, manifest, contents, key)


def _manifest(
    version: Version, files: Iterable[BundledFile], task_files: Iterable[str], golden_set: GoldenSet | None
) -> BundleManifest:
    model, run = version.model, newest_run(version)
    serving = version.serving_settings.get(is_current=True)
    return BundleManifest(
        files=tuple(files),
        model=model.slug,
        title=model.title,
        task=model.task,
        number=version.number,
        task_config=version.task_config,
        task_files=tuple(task_files),
        input_shapes=version.input_shapes,
        serving=ServingValues.from_json(serving.values).to_json(),
        origin=version.origin,
        notes=version.notes,
        golden_set=BundledGoldenSet(golden_set.metric, golden_set.floor, golden_set.margin)
        if golden_set is not None
        else None,
        installation=settings.PUBLIC_URL,
        signature=version.signature,
        preprocessing=version.preprocessing,
        check={
            "state": run.state,
            "reason": run.reason,
            "runtime": run.runtime_version,
            "steps": {line.step: line.state for line in run.lines.all()},
        }
        if run is not None
        else None,
    )


def _examples_file(version: Version) -> bytes:
    """Nothing if it has none."""
    examples = [
        {
            "inputs": example.inputs,
            "expected": example.expected,
            "atol": example.atol,
            "rtol": example.rtol,
        }
        for example in examples_of(version)
    ]
    return orjson.dumps(examples) if examples else b""


def _stored_content(sha256: str) -> Iterator[bytes]:
    digest = hashlib.sha256()
    with artifacts.path_of(sha256).open("rb") as file:
        for piece in read_chunks(file):
            digest.update(piece)
            yield piece
    if digest.hexdigest() != sha256:
        raise hash_mismatch(sha256[:12])
