"""Proofs for files that a fake engine answers for: no child could run them."""

from inference.checks.models import ProbePass
from inference.engine.backends import ProbeFact
from inference.engine.batch_proof import BatchProof
from inference.engine.warmup import MemoryUse
from inference.serving.plans import session_options
from inference.tensors.samples import EMPTY_SAMPLE

PROVEN_ROWS = 65_536  # more than any test merges
NO_MEMORY = MemoryUse(0, {PROVEN_ROWS: 0}, asked_rows=PROVEN_ROWS)  # the engine measures it


def record_proof(sha256, *, rows=PROVEN_ROWS, code="proven"):
    """Let the file be loaded by a FakeBackend, and so many rows of several requests share a run."""
    fact = ProbeFact(sha256, "fake-1", "FakeExecutionProvider", session_options().digest)
    proof = BatchProof(rows, code, "as the test says", PROVEN_ROWS)
    ProbePass.objects.record(fact, sample=EMPTY_SAMPLE, memory=NO_MEMORY, batches=proof)
    return fact
