"""Models with files that answer, brought in through the product's own import, whose checks run once for each file."""

import hashlib
from pathlib import Path

from inference.checks.models import ProbePass
from inference.checks.services import import_version
from inference.engine.backends import SessionOptions
from inference.engine.batch_proof import BatchProof
from registry.catalogue import artifacts
from registry.catalogue import services as catalogue
from registry.catalogue.models import Model, Task, Version
from registry.traffic.selectors import has_been_split
from tests.support.factories import a_model, a_split, an_actor

# By file and options: the signature that the checks found, and the rows that they left.
_checked: dict[tuple[str, str], tuple[dict, list[ProbePass]]] = {}


def import_live(
    *,
    slug: str,
    path: Path,
    options: SessionOptions,
    title: str = "",
    task: str = Task.TENSOR,
    task_config=None,
) -> Version:
    """Import a file as a version of a Model that one person may set live, so that the first is."""
    model = Model.objects.filter(slug=slug).first() or a_model(slug, title=title, task=task)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    if (known := _checked.get((sha256, options.digest))) is not None:
        return _register_checked(model, path, *known, task_config)
    version = import_version(
        slug=slug, path=path, options=options, task=task, task_config=task_config, by=an_actor()
    )
    _checked[sha256, options.digest] = version.signature, list(ProbePass.objects.filter(sha256=sha256))
    return version


def _register_checked(model, path, signature, passes, task_config) -> Version:
    by = an_actor()
    with path.open("rb") as source:
        file = artifacts.store(artifacts.read_chunks(source))
    version = catalogue.register_version(model=model, file=file, task_config=task_config, by=by)
    version = catalogue.pass_check(
        version=catalogue.start_check(version=version, by=by), signature=signature, by=by
    )
    for row in passes:
        ProbePass.objects.record(row.fact, BatchProof.from_json(row.batches))
    if not has_been_split(model):
        a_split(model, 100, versions=[version])
    return Version.objects.select_related("model", "artifact").get(pk=version.pk)
