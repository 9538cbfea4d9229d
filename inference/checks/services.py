"""Verbs of checks: bring a file in as a version that is known to load, and prove it again where that is needed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.db import transaction

from inference.checks.models import ProbePass
from inference.checks.probe import ProbeResult, probe
from inference.engine.backends import SessionOptions
from inference.engine.errors import NotProbed
from inference.engine.probed import ProbeFact
from inference.errors import ProbeFailed
from registry.catalogue import artifacts
from registry.catalogue import services as catalogue
from registry.catalogue.models import Model, Task, Version
from registry.errors import Invalid
from registry.record.actors import Actor
from registry.traffic.assignment import WHOLE
from registry.traffic.services import set_split

_CHUNK = 2**20


def import_version(
    *,
    slug: str,
    path: Path,
    options: SessionOptions,
    title: str = "",
    notes: str = "",
    task: str | None = None,
    task_config: Mapping[str, Any] | None = None,
    go_live: bool = False,
    by: Actor,
) -> Version:
    """Store a file, load it in a disposable child, and register it as the next version of a Model.

    The Model is made if there is none, for the task, which is plain tensors unless said. Its first version goes live;
    a later one only with `go_live`.
    """
    with path.open("rb") as source:
        file = artifacts.store(iter(lambda: source.read(_CHUNK), b""))
    result = probe(artifacts.path_of(file.sha256), options)
    if result.signature is None:
        raise ProbeFailed(f"{path.name} was refused: {result.message}")
    with transaction.atomic():
        _record(result)
        model = Model.objects.filter(slug=slug).first()
        if model is None:
            model = catalogue.create_model(
                slug=slug, title=title, notes=notes, task=task or Task.TENSOR, by=by
            )
        elif task not in {None, model.task}:
            raise Invalid(f"{slug} is for the task {model.task}, which never changes; leave {task} out.")
        version = catalogue.register_version(model=model, file=file, task_config=task_config, by=by)
        version = catalogue.start_check(version=version, by=by)
        version = catalogue.pass_check(version=version, signature=result.signature.to_json(), by=by)
        if go_live or version.number == 1:
            set_split(model=model, arms={version: WHOLE}, reason="imported", by=by)
    return version


def prove(*, sha256: str, options: SessionOptions, runtime_version: str) -> ProbeFact:
    """Give the proof that this file loads here with these options; probe it now if there is none yet.

    There is none after an upgrade of the runtime, or when the options changed.
    """
    passed = ProbePass.objects.filter(
        sha256=sha256, runtime_version=runtime_version, options_digest=options.digest
    ).first()
    if passed is not None:
        return ProbeFact(sha256, passed.runtime_version, passed.provider, passed.options_digest)
    result = probe(artifacts.path_of(sha256), options)
    if result.fact is None:
        raise NotProbed(f"The version was refused by the load probe: {result.message}")
    _record(result)
    return result.fact


def _record(result: ProbeResult) -> None:
    fact = result.fact
    if fact is not None:
        ProbePass.objects.update_or_create(
            sha256=fact.sha256,
            runtime_version=fact.runtime_version,
            options_digest=fact.options_digest,
            defaults={"provider": fact.provider},
        )
