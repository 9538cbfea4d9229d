"""What is known of a file and a way of loading it: that it loads, and how many rows of different requests share a run."""

import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from inference.checks.answers.examples import example_rows
from inference.checks.memory import batch_memory_bytes
from inference.checks.models import ProbePass
from inference.checks.probe import KnownInputs, probe
from inference.checks.trial import Trial, TrialFailed
from inference.engine.backends import SessionOptions, Tensors
from inference.engine.batch_proof import NO_ROW_AXIS, BatchProof
from inference.engine.errors import NotProbed, StillLoading
from inference.engine.probed import ProbeFact
from inference.engine.samples import NOTHING_SAID, Sample
from inference.engine.warmup import MemoryUse
from inference.tensors.signature import Signature
from registry.catalogue import artifacts
from registry.catalogue.models import Version
from registry.catalogue.serving_settings import ServingValues
from registry.errors import RoundhouseError
from registry.intake.examples.selectors import current_golden_set, examples_of, read_golden_rows
from registry.kit.compute_lock import compute_lock

_PACKAGES = ("onnxruntime-gpu", "onnxruntime")
_NOT_STARTED = "not_started"
WARM_UP_S = 120.0  # for the whole ladder
_SMALL_BATCH = 1 << 20
_UNMEASURED = MemoryUse(0, {1: 0}, asked_rows=0)  # the process that loads it measures it then
_GOLDEN_ROWS = 16


@dataclass(frozen=True, slots=True)
class Proof:
    """What a child has found of a file, for one way of loading it."""

    fact: ProbeFact
    sample: Sample
    memory: MemoryUse
    batches: BatchProof


def most_rows(values: ServingValues, memory: MemoryUse) -> int:
    """The largest batch that these settings and the memory here allow."""
    return memory.most_rows(values.max_batch_rows, batch_memory_bytes(values))


def merged_rows(values: ServingValues, batches: BatchProof, memory: MemoryUse | None = None) -> int:
    """How many rows of different requests may share a run: as proven, unless a person has decided otherwise."""
    if values.merging == "never" or batches.code == NO_ROW_AXIS:
        return 1
    most = most_rows(values, memory) if memory is not None else values.max_batch_rows
    return most if values.merging == "always" else min(most, batches.rows)


def known_merged_rows(values: ServingValues, *, sha256: str, options: SessionOptions) -> int:
    """The same from what has been found with the installed runtime; 1 where nothing has."""
    found = ProbePass.objects.found_for(sha256=sha256, runtime_version=runtime_version(), options=options)
    if found is None or found.found_batches is None:
        return 1
    return merged_rows(values, found.found_batches, found.found_memory)


def known_footprint_bytes(values: ServingValues, *, sha256: str, options: SessionOptions) -> int | None:
    """The memory that the version takes with its current settings; None if the installed runtime has not measured it."""
    found = ProbePass.objects.found_for(sha256=sha256, runtime_version=runtime_version(), options=options)
    if found is None or found.found_memory is None or found.found_batches is None:
        return None
    return found.found_memory.footprint_bytes(warmed_rows(values, found.found_batches, found.found_memory))


def known_sample(sha256: str) -> Sample:
    """On what a file last ran, however it was loaded."""
    row = ProbePass.objects.newest(sha256)
    return (row.found_sample if row is not None else None) or NOTHING_SAID


def known_memory(sha256: str) -> MemoryUse:
    """What a file last took, however it was loaded."""
    row = ProbePass.objects.newest(sha256)
    return (row.found_memory if row is not None else None) or _UNMEASURED


def batch_bytes(memory: MemoryUse, rows: int) -> int:
    """How large the inputs of a merged run may be: as large as those that were measured, for free axes may be longer in use.

    Small ones may always merge: what they take is not in their size.
    """
    return max(_SMALL_BATCH, memory.row_bytes * rows)


def warmed_rows(values: ServingValues, batches: BatchProof, memory: MemoryUse) -> int:
    """The largest batch that is warmed: what may be merged again when a person says so, for to end merging costs no load."""
    return max(merged_rows(values, batches, memory), min(most_rows(values, memory), batches.rows))


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


def known_inputs(version: Version) -> KnownInputs:
    """What the version's owner has given: the sizes of its inputs, and examples of its own or the Model's golden set."""
    return KnownInputs(given_examples(version), version.input_shapes)


def given_examples(version: Version) -> list[Mapping[str, Any]]:
    """Inputs as people wrote them; a damaged golden set is told where it is measured."""
    examples = [example.inputs for example in examples_of(version)]
    golden_set = None if examples else current_golden_set(version.model)
    if golden_set is None:
        return examples
    with suppress(OSError, RoundhouseError):
        return [row.inputs for row in islice(read_golden_rows(golden_set), _GOLDEN_ROWS)]
    return []


def rows_to_try(signature: Signature, examples: Iterable[Mapping[str, Any]]) -> dict[str, np.ndarray] | None:
    """Rows of the examples, which a model tells apart better than made-up ones."""
    return example_rows(signature, examples) if signature.has_row_axis else None


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
        values: ServingValues,
        timeout_s: float,
    ) -> Proof:
        """The proof, waited for until `timeout_s`; raises NotProbed where the file is refused, or StillLoading."""
        row = ProbePass.objects.found_for(sha256=sha256, runtime_version=runtime_version, options=options)
        limit_bytes = batch_memory_bytes(values)
        found = _Found.of(row, values.max_batch_rows, limit_bytes)
        if (proof := found.proof) is not None:
            return proof
        version = Version.objects.select_related("model").get(pk=version_id)
        order = _Order(
            artifacts.path_of(sha256),
            options,
            known_inputs(version),
            values.max_batch_rows,
            limit_bytes,
            values.soft_limit_s,
        )
        key = (sha256, runtime_version, options.digest)
        with self._lock:
            making = self._making.get(key)
            if making is None:
                making = self._making[key] = Future()
                threading.Thread(
                    target=self._make, args=(making, order, found), name="proof", daemon=True
                ).start()
        try:
            with compute_lock.released():
                proof = making.result(max(0.0, timeout_s))
        except TimeoutError:
            raise StillLoading from None
        finally:
            if making.done():
                with self._lock:
                    self._making.pop(key, None)
        keep(proof)
        return proof

    def outdated(self, proofs: Iterable[Proof]) -> set[ProbeFact]:
        """Of these, what a later check has found otherwise: examples came, or the machine was quieter."""
        given = {proof.fact: proof for proof in proofs}
        rows = ProbePass.objects.filter(sha256__in={fact.sha256 for fact in given}, batches__isnull=False)
        return {row.fact for row in rows if row.fact in given and _is_other(row, given[row.fact])}

    def _make(self, making: "Future[Proof]", order: "_Order", found: "_Found") -> None:
        """In a thread that asks no database: whoever waits for it keeps what it found."""
        try:
            making.set_result(_proof_of(order, found))
        except BaseException as error:  # noqa: BLE001  it is raised where it is waited for
            making.set_exception(error)


@dataclass(frozen=True, slots=True)
class _Order:
    """What is to be found out, of which file."""

    path: Path
    options: SessionOptions
    known: KnownInputs
    max_rows: int
    limit_bytes: int
    soft_limit_s: float


@dataclass(frozen=True, slots=True)
class _Found:
    """What is known already and still holds for this largest batch and this much memory."""

    fact: ProbeFact | None = None
    sample: Sample | None = None
    memory: MemoryUse | None = None
    batches: BatchProof | None = None

    @classmethod
    def of(cls, row: ProbePass | None, max_rows: int, limit_bytes: int) -> "_Found":
        if row is None or row.found_sample is None:
            return cls()
        memory, batches = row.found_memory, row.found_batches
        if memory is None or not memory.covers(max_rows, limit_bytes):
            return cls(row.fact, row.found_sample)
        if batches is not None and batches.asked_rows < memory.most_rows(max_rows, limit_bytes):
            batches = None
        return cls(row.fact, row.found_sample, memory, batches)

    @property
    def proof(self) -> Proof | None:
        if self.fact is None or self.sample is None or self.memory is None or self.batches is None:
            return None
        return Proof(self.fact, self.sample, self.memory, self.batches)


def keep(proof: Proof) -> None:
    """Write a proof down; that a child could not be started says nothing of the file."""
    if proof.batches.code == _NOT_STARTED:
        ProbePass.objects.record(proof.fact, sample=proof.sample)
    else:
        ProbePass.objects.record(proof.fact, sample=proof.sample, memory=proof.memory, batches=proof.batches)


def _is_other(row: ProbePass, proof: Proof) -> bool:
    found = (row.found_sample, row.found_memory, row.found_batches)
    return any(one is not None for one in found) and found != (proof.sample, proof.memory, proof.batches)


def _proof_of(order: _Order, found: _Found) -> Proof:
    fact, sample = found.fact, found.sample
    if fact is None or sample is None:
        result = probe(order.path, order.options, order.known)
        if result.fact is None:
            raise NotProbed(f"The version was refused by the load probe: {result.message}")
        fact, sample = result.fact, result.sample
    try:
        with Trial(order.path, replace(order.options, expected_sha256=fact.sha256), sample=sample) as trial:
            memory = (
                found.memory
                or trial.warm_up(
                    max_batch=order.max_rows,
                    limit_bytes=order.limit_bytes,
                    soft_limit_s=order.soft_limit_s,
                    time_limit_s=WARM_UP_S,
                ).memory
            )
            rows = memory.most_rows(order.max_rows, order.limit_bytes)
            examples = rows_to_try(trial.signature, order.known.examples)
            return Proof(fact, sample, memory, batch_proof_of(trial, max_rows=rows, examples=examples))
    except TrialFailed as error:
        raise NotProbed(f"The version was refused by its warm-up: {error}") from None
    except OSError as error:
        reason = f"Its child could not be started ({error.strerror})."
        return Proof(fact, sample, _UNMEASURED, BatchProof(1, _NOT_STARTED, reason))
