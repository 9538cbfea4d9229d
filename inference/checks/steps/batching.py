"""The step that shows up to how many rows of different requests may share a run."""

from inference.checks.models import ProbePass
from inference.checks.proofs import batch_proof_of, most_rows, rows_to_try
from inference.checks.steps.findings import Found, StepFailed
from inference.checks.steps.subject import Subject
from inference.checks.trial import TrialFailed
from inference.engine.batch_proof import BatchProof

# What is no fault of a model that was made for one request at a time.
_AS_IT_SHOULD_BE = frozenset({"proven", "no_row_axis", "batches_of_one"})
_ADVICE = {
    "not_shown": "Give the version examples whose answers differ, or the Model a golden set, and check it again.",
    "failed": "Give the version examples on which it runs, and check it again.",
    "out_of_time": "Check it again when the machine is quiet, or give it more threads.",
    "dynamic_quantization": "Quantize it statically if its requests should share runs.",
}
_ANY_ADVICE = (
    "It answers rightly as it is, one request at a time. For a higher rate, export it so that each row of the first axis"
    " is answered by itself."
)


def prove_batches(subject: Subject) -> Found:
    """Prove it anew, with the version's examples where it has some, and keep the proof; it never fails a version."""
    if subject.signature is None or subject.fact is None or subject.memory is None:
        raise AssertionError("the steps before this one pass only with these")
    asked = most_rows(subject.serving, subject.memory)
    try:
        rows = rows_to_try(subject.signature, subject.known.examples)
        proof = batch_proof_of(subject.trial(), max_rows=asked, examples=rows)
    except TrialFailed as error:  # it does not load any more: what was proven says nothing
        raise StepFailed(
            error.code, f"{subject.version} could not be loaded again: {error}", "Check it again."
        ) from None
    ProbePass.objects.record(subject.fact, batches=proof)
    facts = {"rows": proof.rows, "asked_rows": proof.asked_rows, "merging": subject.serving.merging}
    if proof.code in _AS_IT_SHOULD_BE:
        return Found(facts, reason=proof.reason)
    return Found(facts, proof.code, _told(proof), _ADVICE.get(proof.code, _ANY_ADVICE))


def _told(proof: BatchProof) -> str:
    return f"{proof.reason} So each request runs by itself."
