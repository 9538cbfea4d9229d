"""What is known of a file and a way of loading it: that it loads, and how many rows of different requests share a run."""

import threading
from collections.abc import Iterable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from pathlib import Path

import numpy as np

from inference.checks.answers.examples import example_rows
from inference.checks.models import ProbePass
from inference.checks.probe import probe
from inference.checks.trial import Trial, TrialFailed
from inference.engine.backends import SessionOptions, Tensors
from inference.engine.batch_proof import NO_ROW_AXIS, BatchProof
from inference.engine.errors import NotProbed, StillLoading
from inference.engine.probed import ProbeFact
from inference.engine.signature import Signature
from registry.catalogue import artifacts
from registry.catalogue.models import Version
from registry.catalogue.serving_settings import ServingValues
from registry.errors import RoundhouseError
from registry.intake.examples.selectors import current_golden_set, examples_of, read_golden_rows

_PACKAGES = ("onnxruntime-gpu", "onnxruntime")
_NOT_STARTED = "not_started"
_GOLDEN_ROWS = 16


@dataclass(frozen=True, slots=True)
class Proof:
    """A file's passed probe and its batch proof, for one way of loading it."""

    fact: ProbeFact
    batches: BatchProof


def merged_rows(values: ServingValues, proof: BatchProof) -> int:
    """How many rows of different requests may share a run: as proven, unless a person has decided otherwise."""
    if values.merging == "never" or proof.code == NO_ROW_AXIS:
        return 1
    return values.max_batch_rows if values.merging == "always" else min(values.max_batch_rows, proof.rows)


def known_merged_rows(values: ServingValues, *, sha256: str, options: SessionOptions) -> int:
    """The same from what has been proven with the installed runtime; 1 where nothing has."""
    fact = ProbePass.objects.fact_for(sha256=sha256, runtime_version=runtime_version(), options=options)
    proof = ProbePass.objects.batch_proof_for(fact) if fact is not None else None
    return merged_rows(values, proof or BatchProof(1, "", ""))


def runtime_version() -> str:
    """The installed ONNX Runtime's. Asked of the package: the process that checks need not load it."""
    for name in _PACKAGES:
        with suppress(PackageNotFoundError):
            return version(name)
    return "unknown"


def batch_proof_of(trial: Trial, *, max_rows: int, examples: Tensors | None) -> BatchProof:
    """Run the proof in a trial; a file that fails it there, or ends its process, runs every request by itself."""
    try:
        return trial.prove_batches(max_rows=max_rows, examples=examples)
    except TrialFailed as error:
        return BatchProof(1, error.code, str(error), max_rows)


def rows_to_try(version: Version, signature: Signature) -> dict[str, np.ndarray] | None:
    """Rows that the version's owner has given, which a model tells apart better than made-up ones."""
    if not signature.has_row_axis:
        return None
    rows = example_rows(signature, [example.inputs for example in examples_of(version)])
    golden_set = None if rows is not None else current_golden_set(version.model)
    if golden_set is None:
        return rows
    with suppress(OSError, RoundhouseError):  # a damaged golden set is told where it is measured
        rows = example_rows(
            signature, [row.inputs for row in islice(read_golden_rows(golden_set), _GOLDEN_ROWS)]
        )
    return rows


class Proofs:
    """Proofs that a process needs; one that nobody has made yet is made once for all callers, in a child.

    There is none after an upgrade of the runtime, or when the options or the largest batch changed.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._making: dict[tuple[str, str, str], Future[Proof]] = {}

    def get(
        self,
        version_id: int,
        *,
        sha256: str,
        options: SessionOptions,
        runtime_version: str,
        max_rows: int,
        timeout_s: float,
    ) -> Proof:
        """The proof, waited for until `timeout_s`; raises NotProbed where the file is refused, or StillLoading."""
        fact = ProbePass.objects.fact_for(sha256=sha256, runtime_version=runtime_version, options=options)
        batches = ProbePass.objects.batch_proof_for(fact) if fact is not None else None
        if fact is not None and batches is not None and batches.asked_rows >= max_rows:
            return Proof(fact, batches)
        version = Version.objects.select_related("model").get(pk=version_id)
        known = Signature.from_json(version.signature) if version.signature else None
        rows = rows_to_try(version, known) if known is not None else None
        key = (sha256, runtime_version, options.digest)
        with self._lock:
            making = self._making.get(key)
            if making is None:
                making = self._making[key] = Future()
                order = (making, artifacts.path_of(sha256), options, fact, max_rows, rows)
                threading.Thread(target=self._make, args=order, name="proof", daemon=True).start()
        try:
            proof = making.result(max(0.0, timeout_s))
        except TimeoutError:
            raise StillLoading from None
        finally:
            if making.done():
                with self._lock:
                    self._making.pop(key, None)
        keep(proof)
        return proof

    def outdated(self, proofs: Iterable[Proof]) -> set[Proof]:
        """Of these, the ones that a later check has found otherwise: examples came, or the machine was quieter."""
        given = {proof.fact: proof for proof in proofs}
        rows = ProbePass.objects.filter(sha256__in={fact.sha256 for fact in given}, batches__isnull=False)
        found = {row.fact: BatchProof.from_json(row.batches) for row in rows if row.batches}
        return {proof for fact, proof in given.items() if found.get(fact, proof.batches) != proof.batches}

    def _make(
        self,
        making: "Future[Proof]",
        path: Path,
        options: SessionOptions,
        fact: ProbeFact | None,
        max_rows: int,
        rows: Tensors | None,
    ) -> None:
        """In a thread that asks no database: whoever waits for it keeps what it found."""
        try:
            making.set_result(_proof_of(path, options, fact, max_rows, rows))
        except BaseException as error:  # noqa: BLE001  it is raised where it is waited for
            making.set_exception(error)


def keep(proof: Proof) -> None:
    """Write a proof down; that a child could not be started says nothing of the file."""
    is_known = proof.batches.code != _NOT_STARTED
    ProbePass.objects.record(proof.fact, proof.batches if is_known else None)


def _proof_of(
    path: Path, options: SessionOptions, fact: ProbeFact | None, max_rows: int, rows: Tensors | None
) -> Proof:
    if fact is None:
        result = probe(path, options)
        if result.fact is None:
            raise NotProbed(f"The version was refused by the load probe: {result.message}")
        fact = result.fact
    try:
        with Trial(path, replace(options, expected_sha256=fact.sha256)) as trial:
            return Proof(fact, batch_proof_of(trial, max_rows=max_rows, examples=rows))
    except TrialFailed as error:
        return Proof(fact, BatchProof(1, error.code, str(error), max_rows))
    except OSError as error:
        return Proof(fact, BatchProof(1, _NOT_STARTED, f"Its child could not be started ({error.strerror})."))
