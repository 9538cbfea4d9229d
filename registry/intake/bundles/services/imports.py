"""Imports a bundle as a version."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from django.conf import settings
from django.db import transaction

from registry.access.policies import Right
from registry.catalogue import artifacts
from registry.catalogue import services as catalogue
from registry.catalogue.artifacts import StoredFile
from registry.catalogue.models import Model, Version
from registry.catalogue.route_changes import lock_model
from registry.catalogue.serving_settings import ServingValues, checked_values
from registry.catalogue.task_kinds import TASK_KINDS, checked_config, checked_task
from registry.catalogue.validation import checked_name, checked_shapes, checked_training
from registry.errors import Invalid
from registry.intake import parts
from registry.intake.bundles import bundle_file
from registry.intake.bundles.bundle_file import Bundle
from registry.intake.bundles.keys import trusted_keys
from registry.intake.bundles.manifest import (
    EXAMPLES_FILE,
    GOLDEN_FILE,
    MODEL_FILE,
    BundleManifest,
    task_file,
)
from registry.intake.errors import BundleRefused, UploadTooLarge
from registry.intake.examples.models import GoldenSet
from registry.intake.examples.rows import (
    MAX_EXAMPLE_BYTES,
    MAX_ROWS,
    MAX_SET_BYTES,
    checked_examples,
    lines_of,
)
from registry.intake.examples.selectors import current_golden_set
from registry.intake.examples.services import add_examples, put_golden_set
from registry.intake.file_scan.limits import DEFAULT as FILE_LIMITS
from registry.intake.file_scan.sent_files import SentFile, open_file
from registry.intake.policies import check_may_upload
from registry.intake.task_input import ContentsBeside
from registry.kit.actors import Actor
from registry.kit.text import MAX_REASON
from registry.record.audit import record_change

_IMPORT_AGAIN = "Free some space, then import the bundle again."
_MAX_EXAMPLES_FILE = 4 * MAX_EXAMPLE_BYTES  # tolerances count here, but not in what is kept
_MAX_GOLDEN_FILE = MAX_SET_BYTES + MAX_ROWS  # rows as they are stored end in a newline


@dataclass(frozen=True, slots=True)
class ImportedBundle:
    """The version, whether it is new here, and sentences on what else the import did."""

    version: Version
    is_new: bool
    remarks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Belongings:
    """What comes with the files of a bundle, checked by the same rules as what is uploaded."""

    task_config: dict[str, Any]
    task_files: ContentsBeside
    input_shapes: dict[str, list[int]]
    serving: ServingValues
    examples: list[dict[str, Any]]


def import_bundle(
    *, path: Path, slug: str | None = None, replace_golden_set: bool = False, by: Actor
) -> ImportedBundle:
    """Make a bundle the next version of a Model, the one that it names unless `slug` does; it has not been checked yet.

    1. Every byte is compared with what the owner of a trusted key signed; else BundleRefused, and nothing is stored.
    2. What it contains is checked as if it were uploaded. A missing Model is created for the task.
    3. The golden set becomes the Model's if it has none, or with `replace_golden_set`.
    4. One transaction writes the version with its examples and serving settings.

    A version with the same files and configuration is not registered again: it is returned as it is.
    """
    check_may_upload(by)
    with (
        open_file(Path(os.path.realpath(path)), path.name) as file,
        parts.room(_IMPORT_AGAIN),
    ):
        bundle = bundle_file.open_bundle(file, trusted_keys())
        manifest = bundle.manifest
        name = checked_name(slug or manifest.model)
        model = _target(name, manifest, by)
        belongings = _checked(bundle)
        present = _same_version(model, manifest) if model is not None else None
        if model is not None and present is not None:
            remarks = _bring_golden_set(bundle, model, is_wanted=replace_golden_set, by=by)
            return ImportedBundle(present, False, remarks)
        parts.check_space(sum(each.size_bytes for each in manifest.files), "the files of the bundle")
        stored = _store(bundle, belongings)
        if model is None:
            model = catalogue.create_model(slug=name, title=manifest.title, task=manifest.task, by=by)
        remarks = _bring_golden_set(bundle, model, is_wanted=replace_golden_set, by=by)
        return _register(bundle, belongings, model, stored, remarks, by)


def _target(name: str, manifest: BundleManifest, by: Actor) -> Model | None:
    """The Model, if it exists; raise what creating it or adding a version to it would raise."""
    model = Model.objects.filter(slug=name).first()
    by.check(Right.WRITE, model_id=model.pk if model is not None else None)
    if model is None:
        checked_task(manifest.task)
    elif model.task != manifest.task:
        raise Invalid(
            f"{name} has the task {model.task}, but the bundle is {manifest.source}, whose task is {manifest.task}. Import it"
            " into another Model with --model."
        )
    return model


def _checked(bundle: Bundle) -> _Belongings:
    manifest = bundle.manifest
    _check_size(bundle, MODEL_FILE, min(settings.UPLOAD_BYTES, FILE_LIMITS.max_file_bytes))
    _check_size(bundle, EXAMPLES_FILE, _MAX_EXAMPLES_FILE)
    _check_size(bundle, GOLDEN_FILE, _MAX_GOLDEN_FILE)
    _check_metric(manifest)
    checked_training(manifest.origin.get("training", {}))
    spans = [
        SentFile(name, span.descriptor, span.size, span.start)
        for place, name in enumerate(manifest.task_files)
        for span in [bundle.files[task_file(place)]]
    ]
    usual = ServingValues.from_json(TASK_KINDS[manifest.task].serving)
    return _Belongings(
        task_config=checked_config(manifest.task, manifest.task_config, manifest.task_files),
        task_files=ContentsBeside(spans),
        input_shapes=checked_shapes(manifest.input_shapes),
        serving=checked_values(usual, manifest.serving),
        examples=_examples(bundle),
    )


def _check_size(bundle: Bundle, name: str, most: int) -> None:
    file = bundle.manifest.file(name)
    if file is not None and file.size_bytes > most:
        raise UploadTooLarge(
            f"The file {name} of this bundle has {file.size_bytes:,} bytes; this installation accepts at most {most:,}."
        )


def _check_metric(manifest: BundleManifest) -> None:
    metrics = TASK_KINDS[manifest.task].metrics
    if manifest.golden_set is not None and manifest.golden_set.metric not in metrics:
        raise Invalid(
            f"The golden set of this bundle is measured by {manifest.golden_set.metric!r}, which does not fit the task"
            f" {manifest.task} here; use {' or '.join(metrics)}."
        )


def _examples(bundle: Bundle) -> list[dict[str, Any]]:
    if EXAMPLES_FILE not in bundle.files:
        return []
    span = bundle.files[EXAMPLES_FILE]
    try:
        examples = orjson.loads(b"".join(span.read(0, span.size)))
    except orjson.JSONDecodeError as error:
        raise BundleRefused(f"The examples of this bundle are not valid JSON: {error}.") from None
    if not isinstance(examples, list):
        raise BundleRefused("The examples of this bundle are not a list; export the version again.")
    checked_examples(examples)
    return examples


def _same_version(model: Model, manifest: BundleManifest) -> Version | None:
    """The Model's version with the same files and configuration, the oldest if there are more."""
    artifact = manifest.files[0].sha256
    wanted = (manifest.task_config, manifest.sha256_of_task_files(), manifest.input_shapes)
    same_file = Version.objects.select_related("model", "artifact").filter(
        model=model, artifact__sha256=artifact
    )
    for version in same_file.order_by("number"):
        if (version.task_config, version.task_files, version.input_shapes) == wanted:
            return version
    return None


def _store(bundle: Bundle, belongings: _Belongings) -> StoredFile:
    """Store the model and the files of its task. They are hashed again: the bundle may have changed since it was read."""
    expected = {file.name: file for file in bundle.manifest.files}
    for place, name in enumerate(bundle.manifest.task_files):
        stored = artifacts.store(belongings.task_files.pieces(name))
        bundle_file.refuse_if_altered(expected[task_file(place)], stored)
    span = bundle.files[MODEL_FILE]
    stored = artifacts.store(span.read(0, span.size))
    bundle_file.refuse_if_altered(expected[MODEL_FILE], stored)
    return stored


def _bring_golden_set(bundle: Bundle, model: Model, *, is_wanted: bool, by: Actor) -> tuple[str, ...]:
    """Make the bundle's golden set the Model's, unless another is there: it judges all of the Model's versions."""
    manifest, span = bundle.manifest, bundle.files.get(GOLDEN_FILE)
    golden_set = manifest.golden_set
    if golden_set is None or span is None:
        return ()
    present = current_golden_set(model)
    if present is not None and _is_same(present, manifest):
        return ()
    if present is not None and not is_wanted:
        return (
            f"{model.slug} keeps its own golden set; import the bundle with --replace-golden-set to use that of the bundle.",
        )
    pieces = span.read(0, span.size)
    put = put_golden_set(
        model=model,
        lines=lines_of(pieces, has_pictures=TASK_KINDS[model.task].has_pictures),
        metric=golden_set.metric,
        floor=golden_set.floor,
        margin=golden_set.margin,
        reason=f"imported with {manifest.source}"[:MAX_REASON],
        by=by,
    )
    return (f"{put} is that of the bundle, with {put.rows:,} rows.",)


def _is_same(present: GoldenSet, manifest: BundleManifest) -> bool:
    golden_set, file = manifest.golden_set, manifest.file(GOLDEN_FILE)
    if golden_set is None or file is None:
        return False
    return (present.sha256, present.metric, present.floor, present.margin) == (
        file.sha256, golden_set.metric, golden_set.floor, golden_set.margin,
    )  # fmt: skip


@transaction.atomic
def _register(
    bundle: Bundle,
    belongings: _Belongings,
    model: Model,
    stored: StoredFile,
    remarks: tuple[str, ...],
    by: Actor,
) -> ImportedBundle:
    manifest = bundle.manifest
    model = lock_model(model)
    if (present := _same_version(model, manifest)) is not None:  # imported at the same moment
        return ImportedBundle(present, False, remarks)
    version = catalogue.register_version(
        model=model,
        file=stored,
        task_config=belongings.task_config,
        task_files=manifest.sha256_of_task_files(),
        input_shapes=belongings.input_shapes,
        origin=manifest.lineage(bundle.key.name),
        notes=manifest.notes,
        by=by,
    )
    if belongings.examples:
        add_examples(version=version, examples=belongings.examples, by=by)
    _apply_serving(version, belongings.serving, manifest, by)
    record_change(
        action="import_bundle",
        subject=version,
        before=None,
        after={
            "model": manifest.model,
            "version": manifest.number,
            "installation": manifest.installation,
            "bundle_key": f"{bundle.key.name} ({bundle.key.id})",
            "sha256": stored.sha256,
        },
        by=by,
    )
    return ImportedBundle(version, True, remarks)


def _apply_serving(version: Version, wanted: ServingValues, manifest: BundleManifest, by: Actor) -> None:
    registered = version.serving_settings.get(is_current=True).values
    values = wanted.to_json()
    changes: Mapping[str, Any] = {
        name: value for name, value in values.items() if registered.get(name) != value
    }
    if changes:
        reason = f"imported with {manifest.source}"[:MAX_REASON]
        catalogue.change_serving(version=version, changes=changes, reason=reason, by=by)
