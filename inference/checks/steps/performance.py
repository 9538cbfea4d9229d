"""The steps that run batches: how fast they are, how much memory they take, and whether requests may share them."""

from inference.checks.item_rows import longest_sample, proof_rows
from inference.checks.models import ProbePass
from inference.checks.proofs import WARM_UP_S, batch_memory_bytes, batch_proof_of, most_rows
from inference.checks.steps.base import CheckContext, StepFailed, StepPassed
from inference.checks.steps.task import (
    check_length,
    check_vocabulary,
    padding_is_harmless,
)
from inference.checks.trial import TrialFailed
from inference.engine.warmup import MemoryUse

_WARM_UP_ADVICE = (
    "Run the file repeatedly where it was exported; fix it, and upload it as the next version. If the machine was busy"
    " or short of memory, check this version again."
)
# Normal for a model that was made for one request at a time.
_AS_EXPECTED = frozenset({"proven", "no_row_axis", "batches_of_one"})
_BATCHING_ADVICE = {
    "not_shown": "Give the version examples whose answers differ, or the Model a golden set, and check it again.",
    "failed": "Give the version examples that it can run, and check it again.",
    "out_of_time": "Check it again when the machine is less busy, or give it more threads.",
    "dynamic_quantization": "Quantize it statically if its requests should share runs.",
}
_NO_PADDING = (
    " It was not shown that padding leaves its answers unchanged, so each text runs at its own length, and fewer requests"
    " share runs."
    " Export it with an input `attention_mask` to change that."
)
_OTHER_BATCHING_ADVICE = (
    "Its answers are correct, but each request runs alone. For more throughput, export it so that each row of the first"
    " axis gets its own answer."
)


def warm_up(context: CheckContext) -> StepPassed:
    """Run every batch size that may be served, as a serving process does before it answers.

    This runs in the trial's child, not in an engine of this process: a batch of 64 can hang, grow or crash where the
    probe's single row did not, and a worker that hangs can check nothing else. A batch that fails or takes too much memory
    limits the version's batches; only a single row must run.
    """
    if context.signature is None or context.fact is None:
        raise AssertionError("the probe sets them when it passes")
    serving, limit_bytes = context.serving, batch_memory_bytes(context.serving)
    try:
        check_vocabulary(context)
        profile, memory = context.trial().warm_up(
            max_batch=serving.max_batch_rows,
            limit_bytes=limit_bytes,
            soft_limit_s=serving.soft_limit_s,
            time_limit_s=WARM_UP_S,
            sample=longest_sample(context.pipeline, context.signature),
        )
    except TrialFailed as error:
        check_length(context, error)
        raise StepFailed(
            "warm_up_failed" if error.code in {"run_failed", "load_failed"} else error.code,
            f"{context.version} did not pass its warm-up: {error}",
            _WARM_UP_ADVICE,
            {"max_batch_rows": serving.max_batch_rows},
        ) from None
    ProbePass.objects.record(context.fact, memory=memory)
    context.memory = memory
    rows = most_rows(serving, memory)
    facts = {
        "profile": [[rows, round(seconds * 1000, 3)] for rows, seconds in sorted(profile.items())],
        "footprint_bytes": memory.footprint_bytes(rows),
        "max_batch_rows": serving.max_batch_rows,
        "largest_batch": rows,
        "batch_memory_bytes": limit_bytes,
    }
    return StepPassed(facts, reason=_why_not_larger(memory, rows, limit_bytes))


def prove_batches(context: CheckContext) -> StepPassed:
    """Prove batches again, with the version's examples if it has some, and keep the proof. This step never fails a version.

    For texts it also finds out whether rows of different lengths may be filled up to one width.
    """
    if context.signature is None or context.fact is None or context.memory is None:
        raise AssertionError("the earlier steps set these when they pass")
    try:
        context.may_pad = padding_is_harmless(context)
        proof = batch_proof_of(
            context.trial(),
            max_rows=most_rows(context.serving, context.memory),
            examples=proof_rows(context.pipeline, context.signature, context.known.examples),
        )
    except TrialFailed as error:  # it no longer loads, so an earlier proof means nothing
        raise StepFailed(
            error.code, f"{context.version} could not be loaded again: {error}", "Check it again."
        ) from None
    ProbePass.objects.record(context.fact, batches=proof)
    facts = {"rows": proof.rows, "asked_rows": proof.asked_rows, "merging": context.serving.merging}
    if not context.may_pad:
        facts["may_pad"] = False
    if proof.code in _AS_EXPECTED:
        return StepPassed(facts, reason=proof.reason + ("" if context.may_pad else _NO_PADDING))
    return StepPassed(
        facts,
        proof.code,
        f"{proof.reason} Each request therefore runs alone." + ("" if context.may_pad else _NO_PADDING),
        _BATCHING_ADVICE.get(proof.code, _OTHER_BATCHING_ADVICE),
    )


def _why_not_larger(memory: MemoryUse, rows: int, limit_bytes: int) -> str:
    if memory.beyond is not None:
        more, needed = memory.beyond
        return (
            f"Batches of at most {rows:,}: {more:,} rows need {_mib(needed)} on top of the loaded file; the limit is"
            f" {_mib(limit_bytes)}. Raise the serving setting batch_memory_bytes for more; by default it is an eighth of this"
            " engine's share of ROUNDHOUSE_SESSION_MEMORY_MB."
        )
    if memory.failure:
        return f"Batches of at most {rows:,}. It failed with {memory.failure}"
    return ""


def _mib(count: int) -> str:
    return f"{count / 2**20:,.0f} MiB"
