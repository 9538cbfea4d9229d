"""What is known about a file and a way of loading it: that it loads, and how many rows of different requests share a run."""

import threading
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from pathlib import Path
from typing import Any

from django.conf import settings

from inference.checks.item_rows import longest_sample, proof_rows
from inference.checks.models import ProbePass
from inference.checks.probe import KnownInputs, probe
from inference.checks.trial import Trial, TrialFailed
from inference.checks.version_tasks import pipeline_of
from inference.engine.backends import ProbeFact, SessionOptions
from inference.engine.batch_proof import NO_ROW_AXIS, BatchProof
from inference.engine.errors import NotProbed, StillLoading
from inference.engine.warmup import MemoryUse
from inference.pipelines.pipeline import Pipeline
from inference.tensors.arrays import Tensors
from inference.tensors.errors import InferenceError
from inference.tensors.samples import EMPTY_SAMPLE, Sample
from registry.catalogue import artifacts
from registry.catalogue.models import Version
from registry.catalogue.serving_settings import ServingValues
from registry.errors import RoundhouseError
from registry.intake.examples.rows import GoldenRow
from registry.intake.examples.selectors import current_golden_set, examples_of, read_golden_rows
from registry.kit.compute_lock import compute_lock

_PACKAGES = ("onnxruntime-gpu", "onnxruntime")
_NOT_STARTED = "not_started"
WARM_UP_S = 120.0  # for the whole ladder
_SMALL_BATCH_BYTES = 1 << 20
_UNMEASURED = MemoryUse(0, {1: 0}, asked_rows=0)  # the process that loads the file then measures it
_GOLDEN_ROWS, _GOLDEN_BYTES = 16, 8 << 20


@dataclass(frozen=True, slots=True)
class Proof:
    """What a child has measured about a file, for one way of loading it."""

    fact: ProbeFact
    sample: Sample
    memory: MemoryUse
    batches: BatchProof


def most_rows(values: ServingValues, memory: MemoryUse) -> int:
    """The largest batch that the settings and the memory of this host allow."""
    return memory.most_rows(values.max_batch_rows, batch_memory_bytes(values))


def merged_rows(values: ServingValues, batches: BatchProof, memory: MemoryUse | None = None) -> int:
    """How many rows of different requests may share a run: as proven, unless a setting overrides it."""
    if values.merging == "never" or batches.code == NO_ROW_AXIS:
        return 1
    most = most_rows(values, memory) if memory is not None else values.max_batch_rows
    return most if values.merging == "always" else min(most, batches.rows)


def known_merged_rows(values: ServingValues, *, sha256: str, options: SessionOptions) -> int:
    """Like `merged_rows`, from saved results for the installed runtime; 1 if there are none."""
    found = ProbePass.objects.found_for(sha256=sha256, runtime_version=runtime_version(), options=options)
    if found is None or found.found_batches is None:
        return 1
    return merged_rows(values, found.found_batches, found.found_memory)


def known_footprint_bytes(values: ServingValues, *, sha256: str, options: SessionOptions) -> int | None:
    """Memory that the version uses with its current settings; None if not measured with the installed runtime."""
    found = ProbePass.objects.found_for(sha256=sha256, runtime_version=runtime_version(), options=options)
    if found is None or found.found_memory is None or found.found_batches is None:
        return None
    return found.found_memory.footprint_bytes(warmed_rows(values, found.found_batches, found.found_memory))


def known_sample(sha256: str) -> Sample:
    """The sample on which a file last ran, however it was loaded."""
    row = ProbePass.objects.newest(sha256)
    return (row.found_sample if row is not None else None) or EMPTY_SAMPLE


def known_memory(sha256: str) -> MemoryUse:
    """The memory that a file last used, however it was loaded."""
    row = ProbePass.objects.newest(sha256)
    return (row.found_memory if row is not None else None) or _UNMEASURED


def batch_bytes(memory: MemoryUse, rows: int) -> int:
    """The most bytes of input in a merged run: as many as were measured, because free axes may be longer in practice.

    Small inputs may always merge: their memory use does not depend on their size.
    """
    return max(_SMALL_BATCH_BYTES, memory.row_bytes * rows)


def warmed_rows(values: ServingValues, batches: BatchProof, memory: MemoryUse) -> int:
    """The largest batch to warm up, including what the proof allows, so that merging can be turned on without reloading."""
    return max(merged_rows(values, batches, memory), min(most_rows(values, memory), batches.rows))


def runtime_version() -> str:
    """The version of the installed ONNX Runtime. Read from the package, so that the checking process need not load it."""
    for name in _PACKAGES:
        with suppress(PackageNotFoundError):
            return version(name)
    return "unknown"


def batch_proof_of(trial: Trial, *, max_rows: int, examples: Tensors | None) -> BatchProof:
    """Run the proof in a trial. If the file fails there or kills its process, each request runs alone."""
    try:
        return trial.prove_batches(max_rows=max_rows, examples=examples)
    except TrialFailed as error:
        return BatchProof(1, error.code, str(error), max_rows)


def known_inputs(version: Version) -> KnownInputs:
    """What the owner has provided: input sizes, and examples of the version or from the Model's golden set."""
    return KnownInputs(_given_examples(version), version.input_shapes)


def _given_examples(version: Version) -> list[Mapping[str, Any]]:
    """Inputs as people wrote them. The golden step reports a damaged golden set."""
    examples = [example.inputs for example in examples_of(version)]
    golden_set = None if examples else current_golden_set(version.model)
    if golden_set is None:
        return examples
    with suppress(OSError, RoundhouseError):
        return [row.inputs for row in _first_rows(read_golden_rows(golden_set))]
    return []


def _first_rows(rows: Iterable[GoldenRow]) -> Iterator[GoldenRow]:
    """The first rows of a golden set, fewer if they are large; at least one."""
    held = 0
    for place, row in enumerate(islice(rows, _GOLDEN_ROWS)):
        held += row.bytes
        if place and held > _GOLDEN_BYTES:
            break
        yield row


def _checked_pipeline(version: Version) -> Pipeline | None:
    """The task of a version whose files its check has read in a child; None if it has none or they are not there."""
    if version.signature is None:
        return None
    with suppress(InferenceError, RoundhouseError, OSError):
        return pipeline_of(version)
    return None


class Proofs:
    """Proofs that a process needs. A missing one is made in a child, once for all callers.

    A proof is missing after a runtime upgrade, and when the options or the largest batch have changed.
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
        """Wait up to `timeout_s` for the proof; raises NotProbed if the file is refused, or StillLoading."""
        row = ProbePass.objects.found_for(sha256=sha256, runtime_version=runtime_version, options=options)
        limit_bytes = batch_memory_bytes(values)
        known = _KnownParts.of(row, values.max_batch_rows, limit_bytes)
        if (proof := known.proof) is not None:
            return proof
        version = Version.objects.select_related("model").get(pk=version_id)
        order = _ProofOrder(
            artifacts.path_of(sha256),
            options,
            known_inputs(version),
            _checked_pipeline(version),
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
                    target=self._make, args=(making, order, known), name="proof", daemon=True
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
        """Return facts of proofs that a later check measured differently, with new examples or on a quieter machine."""
        by_fact = {proof.fact: proof for proof in proofs}
        rows = ProbePass.objects.filter(sha256__in={fact.sha256 for fact in by_fact}, batches__isnull=False)
        return {row.fact for row in rows if row.fact in by_fact and _differs(row, by_fact[row.fact])}

    def _make(self, making: "Future[Proof]", order: "_ProofOrder", known: "_KnownParts") -> None:
        """Runs in a thread without database access. The callers that wait for it save the proof."""
        try:
            making.set_result(_make_proof(order, known))
        except BaseException as error:  # noqa: BLE001  raised in the callers that wait
            making.set_exception(error)


@dataclass(frozen=True, slots=True)
class _ProofOrder:
    """What to measure, and for which file."""

    path: Path
    options: SessionOptions
    known: KnownInputs
    pipeline: Pipeline | None
    max_rows: int
    limit_bytes: int
    soft_limit_s: float


@dataclass(frozen=True, slots=True)
class _KnownParts:
    """What is already known and still valid for this largest batch and memory limit."""

    fact: ProbeFact | None = None
    sample: Sample | None = None
    memory: MemoryUse | None = None
    batches: BatchProof | None = None

    @classmethod
    def of(cls, row: ProbePass | None, max_rows: int, limit_bytes: int) -> "_KnownParts":
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
    """Save a proof. If its child could not be started, save only the sample; the rest was not measured."""
    if proof.batches.code == _NOT_STARTED:
        ProbePass.objects.record(proof.fact, sample=proof.sample)
    else:
        ProbePass.objects.record(proof.fact, sample=proof.sample, memory=proof.memory, batches=proof.batches)


def _differs(row: ProbePass, proof: Proof) -> bool:
    measured = (row.found_sample, row.found_memory, row.found_batches)
    return any(part is not None for part in measured) and measured != (
        proof.sample,
        proof.memory,
        proof.batches,
    )


def _make_proof(order: _ProofOrder, known: _KnownParts) -> Proof:
    fact, sample = known.fact, known.sample
    if fact is None or sample is None:
        result = probe(order.path, order.options, order.known)
        if result.fact is None:
            raise NotProbed(f"The version did not pass the load probe: {result.message}")
        fact, sample = result.fact, result.sample
    try:
        with Trial(order.path, replace(order.options, expected_sha256=fact.sha256), sample=sample) as trial:
            memory = known.memory
            if memory is None:
                _, memory = trial.warm_up(
                    max_batch=order.max_rows,
                    limit_bytes=order.limit_bytes,
                    soft_limit_s=order.soft_limit_s,
                    time_limit_s=WARM_UP_S,
                    sample=longest_sample(order.pipeline, trial.signature),
                )
            rows = memory.most_rows(order.max_rows, order.limit_bytes)
            examples = proof_rows(order.pipeline, trial.signature, order.known.examples)
            return Proof(fact, sample, memory, batch_proof_of(trial, max_rows=rows, examples=examples))
    except TrialFailed as error:
        raise NotProbed(f"The version did not pass its warm-up: {error}") from None
    except OSError as error:
        reason = f"Its child process could not be started ({error.strerror})."
        return Proof(fact, sample, _UNMEASURED, BatchProof(1, _NOT_STARTED, reason))


_BATCH_PART = (
    8  # the batches of one version may take an eighth of an engine's share, unless its settings say otherwise
)


def engine_count() -> int:
    """How many engines share this host's memory: the worker's, and those of the web processes if they run versions."""
    return 1 if settings.EXECUTOR == "workers" else settings.WEB_PROCESSES + 1


def share_bytes() -> int:
    """Memory that one engine may hold."""
    return int(settings.SESSION_MEMORY_BYTES) // engine_count()


def batch_memory_bytes(values: ServingValues) -> int:
    """Memory that runs of the version's largest batch may use in addition to the loaded file."""
    return values.batch_memory_bytes or share_bytes() // _BATCH_PART
