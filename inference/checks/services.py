"""Imports files and bundles as checked versions, and checks versions again after an upgrade of the runtime."""

import os
import socket
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from django.db import transaction

from inference.checks.proofs import runtime_version
from inference.checks.runner import check_version, run_checks
from inference.checks.steps.base import OptionsFor
from inference.engine.backends import SessionOptions
from inference.errors import ProbeFailed
from registry.catalogue import services as catalogue
from registry.catalogue.models import Model, Version
from registry.catalogue.route_changes import lock_model
from registry.catalogue.serving_settings import DEFAULTS, checked_values
from registry.catalogue.task_kinds import TENSOR, checked_task
from registry.catalogue.transitions import Status
from registry.catalogue.validation import checked_name, checked_shapes, checked_training
from registry.errors import Invalid
from registry.intake.assembly import RequestedTask, assemble_files
from registry.intake.bundles.services import ImportedBundle, import_bundle
from registry.intake.checklist.models import CheckLine
from registry.intake.checklist.selectors import LOST_AT_MOST, lost_runs
from registry.intake.source_formats import AS_RECOGNISED, RequestedFormat, check_shapes_stated
from registry.kit.actors import Actor
from registry.record.leases import claim, release
from registry.traffic.assignment import WHOLE
from registry.traffic.models import Arm
from registry.traffic.selectors import has_been_split
from registry.traffic.services import set_or_ask
from registry.traffic.transitions import Status as SplitStatus

_RECHECK = "recheck-runtime"
_RECHECK_LEASE_S = 3600.0  # longer than the longest check


def import_version(
    *,
    slug: str,
    path: Path,
    data: Sequence[Path] = (),
    options: SessionOptions,
    title: str = "",
    notes: str = "",
    task: str | None = None,
    task_config: Mapping[str, Any] | None = None,
    input_shapes: Mapping[str, Any] | None = None,
    drop_zipmap: bool = False,
    source: RequestedFormat = AS_RECOGNISED,
    training: Mapping[str, Any] | None = None,
    serving: Mapping[str, Any] | None = None,
    go_live: bool | None = None,
    by: Actor,
) -> Version:
    """Store a file, register it as the next version of a Model, and run its checklist at once.

    A missing Model is created for the task, plain tensors by default. With `go_live` a version that passes goes live; by
    default only if the Model was never live. If the Model needs a second person's approval, this requests it instead. A
    file that is not an ONNX model or lacks its data files, and a configuration that its task refuses, are refused before
    anything is created. A version that fails its check stays listed, with the reason. `serving`: the settings that differ
    from the defaults.
    """
    requested = RequestedTask(_check_target(slug, task, input_shapes), task_config or {})
    checked_training(training or {})
    checked_values(DEFAULTS, serving or {})
    assembled = assemble_files(
        model=path, others=data, task=requested, drop_zipmap=drop_zipmap, source=source
    )
    check_shapes_stated(assembled.source_format, input_shapes or {})
    with transaction.atomic():
        model = Model.objects.filter(slug=slug).first()
        if model is None:
            model = catalogue.create_model(slug=slug, title=title, task=requested.name, by=by)
        version = catalogue.register_version(
            model=model,
            file=assembled.file,
            task_config=assembled.task_config,
            task_files=assembled.task_files,
            input_shapes=input_shapes,
            origin=assembled.origin,
            training=training,
            source_format=assembled.source_format,
            source_options=assembled.source_options,
            notes=notes,
            by=by,
        )
        if serving:
            catalogue.change_serving(version=version, changes=serving, reason="imported", by=by)
    # If the live version must be measured too, it uses the same options: they do not change its answers.
    run = run_checks(version_id=version.pk, options_for=lambda _: options, by=by)
    checked = Version.objects.select_related("model", "artifact").get(pk=version.pk)
    if not checked.is_servable:
        raise ProbeFailed(f"{path.name} was refused: {run.reason}")
    with transaction.atomic():
        was_split = has_been_split(lock_model(model))
        if go_live if go_live is not None else not was_split:
            set_or_ask(model=model, arms={checked: WHOLE}, reason="imported", by=by)
    return checked


def import_checked_bundle(
    *,
    path: Path,
    slug: str | None = None,
    replace_golden_set: bool = False,
    options: SessionOptions,
    by: Actor,
) -> ImportedBundle:
    """Import a bundle, and run the checklist of the version at once: what the source found out decides nothing here.

    A version that was checked before stays as it is. None goes live. One that fails its check stays listed.
    """
    imported = import_bundle(path=path, slug=slug, replace_golden_set=replace_golden_set, by=by)
    version = imported.version
    if version.status != Status.UPLOADED:
        return imported
    run = run_checks(version_id=version.pk, options_for=lambda _: options, by=by)
    checked = Version.objects.select_related("model", "artifact").get(pk=version.pk)
    if not checked.is_servable:
        raise ProbeFailed(f"{checked} was imported, but did not pass its checks: {run.reason}")
    return replace(imported, version=checked)


def _check_target(slug: str, task: str | None, input_shapes: Mapping[str, Any] | None) -> str:
    """Fail before a file is read if the request would be refused anyway; return the Model's task."""
    checked_shapes(input_shapes or {})
    model = Model.objects.filter(slug=checked_name(slug)).first()
    if model is None:
        return checked_task(task or TENSOR)
    if task not in {None, model.task}:
        raise Invalid(f"{slug} has the task {model.task}, which cannot be changed to {task}.")
    return model.task


def recheck_runtime(*, options_for: OptionsFor, by: Actor) -> int:
    """Check live versions again if they were checked with another runtime or are now loaded with other options.

    One version at a time, and in one worker at a time: a check takes cores and memory that serving needs.
    """
    holder = f"{socket.gethostname()}:{os.getpid()}:{threading.get_ident()}"
    done = 0
    for version_id in _live_version_ids():
        if not claim(_RECHECK, holder=holder, for_s=_RECHECK_LEASE_S):
            return done
        try:
            if _is_due(version_id, options_for):
                done += check_version(version_id=version_id, options_for=options_for, by=by) is not None
        finally:
            release(_RECHECK, holder=holder)
    return done


def _live_version_ids() -> list[int]:
    """Ready versions in a current split."""
    live = Arm.objects.filter(split__status=SplitStatus.CURRENT, version__status=Status.READY)
    return list(live.order_by("version_id").values_list("version_id", flat=True).distinct())


def _is_due(version_id: int, options_for: OptionsFor) -> bool:
    """Whether no check has probed this version with the current runtime and options.

    Serving processes make proofs of their own, so a proof does not mean that the examples or golden set ran. A version
    that failed its probe is not due again: that was reported, and nothing has changed since. Neither is one whose check
    has killed several workers.
    """
    version = Version.objects.get(pk=version_id)
    if lost_runs(version).filter(runtime_version=runtime_version()).count() >= LOST_AT_MOST:
        return False
    return not CheckLine.objects.filter(
        run__version=version_id,
        run__runtime_version=runtime_version(),
        step="probe",
        facts__options_digest=options_for(version_id).digest,
    ).exists()
