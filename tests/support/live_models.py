"""Models with files that answer, brought in through the product's own import."""

import json
from hashlib import sha256
from pathlib import Path

from inference.checks.models import ProbePass
from inference.checks.services import import_version
from inference.engine.backends import ProbeFact, SessionOptions
from inference.engine.batch_proof import BatchProof, prove_batches
from inference.engine.onnx_backend import OnnxBackend
from inference.engine.onnx_file import operators
from inference.serving.plans import session_options
from inference.tensors.samples import EMPTY_SAMPLE
from registry.catalogue import artifacts, services
from registry.catalogue.models import Model, Version
from registry.catalogue.task_kinds import TENSOR
from tests.support.factories import a_model, a_split, an_actor
from tests.support.processes import ROOT
from tests.support.proofs import NO_MEMORY

_NOT_OF_TASK = {"model.onnx", "about.json", "sample.json", "golden.jsonl"}


def import_live(*, slug: str, title: str = "", task: str = TENSOR, **more) -> Version:
    """Import a file as a version of a Model that one person may set live, so that the first is."""
    if not Model.objects.filter(slug=slug).exists():
        a_model(slug, title=title, task=task)
    return import_version(slug=slug, task=task, by=an_actor(), **more)


def put_ready(slug: str, path: Path, *, task: str = TENSOR, **more) -> Version:
    """A version that is ready, without a child that checks the file; it may crash on what a check would try."""
    by, data = an_actor(), path.read_bytes()
    signature, fact, proof = _checked(path, sha256(data).hexdigest(), session_options())
    ProbePass.objects.record(fact, sample=EMPTY_SAMPLE, memory=NO_MEMORY, batches=proof)
    model = Model.objects.filter(slug=slug).first() or a_model(slug, task=task)
    version = services.register_version(model=model, file=artifacts.store([data]), by=by, **more)
    version = services.start_check(version=version, by=by)
    return services.pass_check(version=version, signature=signature, by=by)


def put_live(slug: str, path: Path, **more) -> Version:
    """The same, and live where it is the first: for tests of what comes after checks, and quicker."""
    version = put_ready(slug, path, **more)
    if not version.model.splits.exists():
        a_split(version.model, 100)
    return version


def put_example(name: str, **more) -> Version:
    """One of the examples as a live version, with its task's files."""
    folder = ROOT / "examples" / name
    about = json.loads((folder / "about.json").read_text())
    files = {path.name: path for path in folder.iterdir() if path.name not in _NOT_OF_TASK}
    stored = {file: artifacts.store([path.read_bytes()]).sha256 for file, path in files.items()}
    more = {"task_config": about.get("task_config", {}), **more}
    return put_live(name, folder / "model.onnx", task=about.get("task", TENSOR), task_files=stored, **more)


_found: dict[tuple[str, str], tuple[dict, ProbeFact, BatchProof]] = {}  # by bytes and options


def _checked(path: Path, digest: str, options: SessionOptions) -> tuple[dict, ProbeFact, BatchProof]:
    """What a check would find of these bytes; they are run once."""
    key = (digest, options.digest)
    if key not in _found:
        backend = OnnxBackend()
        session = backend.load(path, options)
        try:
            fact = ProbeFact(digest, backend.runtime_version(), session.provider, options.digest)
            proof = prove_batches(session, operators(path.read_bytes()), max_rows=64)
            _found[key] = session.signature.to_json(), fact, proof
        finally:
            session.close()
    return _found[key]
