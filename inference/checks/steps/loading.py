"""The steps that load a file and run it on nothing in particular: does it load, what does it take, how fast is it."""

from collections.abc import Mapping, Sequence
from typing import Any

from inference.checks.answers.scores import labels_of, score_output
from inference.checks.memory import batch_memory_bytes
from inference.checks.models import ProbePass
from inference.checks.probe import ProbeResult, probe
from inference.checks.proofs import WARM_UP_S, most_rows
from inference.checks.steps.findings import Found, StepFailed
from inference.checks.steps.subject import Subject
from inference.checks.trial import TrialFailed
from inference.engine.samples import required
from inference.engine.warmup import MemoryUse
from inference.tensors.signature import Signature, TensorSpec

_PROBE_ADVICE: Mapping[str, str] = {
    "load_failed": "Load the file with the same ONNX Runtime where it was exported; mend it, and bring it in as"
    " the next version. If only a newer runtime loads it, install that for the worker and check the version again.",
    "cannot_carry": "Export the model so that it takes plain tensors, and bring it in as the next version.",
    "locale_missing": "On Debian: apt-get install locales, then localedef -i en_US -f UTF-8 en_US.UTF-8 (or the one it names), on"
    " every machine that loads models; without root, build it into a folder and set LOCPATH. Then check this one again."
    " Or export the model with the locale C.",
    "run_failed": "Bring it in as the next version with the sizes that it takes, or with examples. If it fails on those where it"
    " was exported too, mend it first.",
    "memory": "Export a smaller model, or one with smaller fixed shapes, and bring it in as the next version. If memory was"
    " short on that machine, give the worker more and check this one again.",
    "timed_out": "Look for a loop that does not end, or export a smaller model, and bring it in as the next version. If the"
    " machine was busy, check this one again.",
    "crashed_signal": "Export the model again, with another opset if need be, and bring it in as the next version;"
    " this file is never loaded.",
}
_WARM_UP_ADVICE = (
    "Run the file again and again where it was exported; mend it, and bring it in as the next version. If the machine was busy"
    " or short of memory, check this one again."
)
_ZIPMAP_ADVICE = (
    "To have the scores in the answers, bring the file in again and remove its ZipMap: “Remove the ZipMap” on the upload"
    " page, drop_zipmap in the API, import_model --drop-zipmap. Or export it with zipmap=False."
)
_LEFT_OUT_ADVICE = (
    "If callers need it, export the model with a plain tensor for it, and bring that in as the next version."
)


class ProbeNotStarted(Exception):
    """The probe's child could not be started, which says nothing about the file; the check is to be run again."""


def run_probe(subject: Subject) -> Found:
    """Load and run the file once in a disposable child, and keep the proof where it passes."""
    result = probe(subject.path(), subject.options, subject.known)
    if result.code == "not_started":
        raise ProbeNotStarted(result.message)
    facts = _probe_facts(subject, result)
    if result.fact is None or result.signature is None:
        raise StepFailed(
            result.code,
            f"{subject.version} did not pass the load probe: {result.message}",
            _PROBE_ADVICE.get(result.code, _PROBE_ADVICE["load_failed"]),
            facts,
        )
    ProbePass.objects.record(result.fact, sample=result.sample)
    subject.signature, subject.fact, subject.sample = result.signature, result.fact, result.sample
    subject.left_out = result.left_out
    if result.provider != result.provider_asked:
        return Found(
            facts,
            "other_provider",
            f"{subject.version} asks for {result.provider_asked}, and {result.provider} runs it here.",
            "Install the provider's libraries, or set the provider that is meant to serve.",
        )
    return Found(facts, reason=_ran_on(result))


def read_signature(subject: Subject) -> Found:
    """Tell what the file takes and gives, and whether the task's labels fit it."""
    signature = _known(subject)
    facts = {**signature.to_json(), "left_out": list(subject.left_out)}
    if not signature.outputs:
        only = f" that can be carried, only {', '.join(subject.left_out)}" if subject.left_out else ""
        raise StepFailed(
            "no_outputs",
            f"{subject.version} has no outputs{only}, so it cannot answer.",
            "Export the model with plain tensors as the outputs that callers read, and bring it in as the next version.",
            facts,
        )
    labels = labels_of(subject.version.task_config)
    if labels is None:
        return _signature_found(subject, facts)
    output = score_output(signature, labels)
    if output is None:
        outputs = ", ".join(_told(spec) for spec in signature.outputs)
        raise StepFailed(
            "labels_do_not_fit",
            f"{subject.version} has {len(labels)} labels, and no output with as many scores: {outputs}.{_left_out(subject)}",
            _left_out_advice(subject)
            if subject.left_out
            else "Give as many labels as the model has scores, in their order, and bring it in as the next version.",
            facts,
        )
    return _signature_found(subject, {**facts, "scores": output.name})


def warm_up(subject: Subject) -> Found:
    """Run every batch size up to the largest that may be served, as a serving process does before it answers.

    In the trial's child, not in an engine of this process: a batch of 64 can hang, grow or crash where a probe's
    single row did not, and a worker that hangs checks nothing any more. A batch that fails or takes too much memory
    bounds the version's batches; only the first row must run.
    """
    serving, limit_bytes = subject.serving, batch_memory_bytes(subject.serving)
    try:
        found = subject.trial().warm_up(
            max_batch=serving.max_batch_rows,
            limit_bytes=limit_bytes,
            soft_limit_s=serving.soft_limit_s,
            time_limit_s=WARM_UP_S,
        )
    except TrialFailed as error:
        raise StepFailed(
            "warm_up_failed" if error.code in {"run_failed", "load_failed"} else error.code,
            f"{subject.version} did not pass its warm-up: {error}",
            _WARM_UP_ADVICE,
            {"max_batch_rows": serving.max_batch_rows},
        ) from None
    if subject.fact is None:
        raise AssertionError("the probe passes only with a fact")
    ProbePass.objects.record(subject.fact, memory=found.memory)
    subject.memory = found.memory
    rows = most_rows(serving, found.memory)
    facts = {
        "profile": [[rows, round(seconds * 1000, 3)] for rows, seconds in sorted(found.profile.items())],
        "footprint_bytes": found.memory.footprint_bytes(rows),
        "max_batch_rows": serving.max_batch_rows,
        "largest_batch": rows,
        "batch_memory_bytes": limit_bytes,
    }
    return Found(facts, reason=_why_no_more(found.memory, rows, limit_bytes))


def _why_no_more(memory: MemoryUse, rows: int, limit_bytes: int) -> str:
    if memory.beyond is not None:
        more, needed = memory.beyond
        return (
            f"Batches of at most {rows:,}: {more:,} rows would take {_size(needed)} beside the loaded file, and"
            f" {_size(limit_bytes)} are the most. The serving setting batch_memory_bytes allows more; unset, it is an eighth of"
            " this engine's share of ROUNDHOUSE_SESSION_MEMORY_MB."
        )
    if memory.failure:
        return f"Batches of at most {rows:,}. It failed with {memory.failure}"
    return ""


def _size(count: int) -> str:
    return f"{count / 2**20:,.0f} MiB"


def _signature_found(subject: Subject, facts: Mapping[str, Any]) -> Found:
    if not subject.left_out:
        return Found(facts)
    return Found(facts, "outputs_left_out", _left_out(subject).strip(), _left_out_advice(subject))


def _left_out(subject: Subject) -> str:
    if not subject.left_out:
        return ""
    return f" Answers come without {', '.join(subject.left_out)}: it cannot be sent as a tensor."


def _left_out_advice(subject: Subject) -> str:
    is_zipmap = any("seq(map(" in output for output in subject.left_out)
    return _ZIPMAP_ADVICE if is_zipmap else _LEFT_OUT_ADVICE


def _ran_on(result: ProbeResult) -> str:
    """Say which sizes it ran on, if they were found by trying and callers may send others."""
    if result.source != "made up" or result.signature is None:
        return ""
    free = [spec.name for spec in required(result.signature) if None in spec.shape[1:]]
    if not free:
        return ""
    shapes = ", ".join(
        f"{name[:80]!r} of {' x '.join(map(str, result.sample.shapes[name]))}" for name in free[:4]
    )
    return (
        f"It ran on {shapes}, the first sizes that worked. Memory and speed below are of these: to measure what it gets in"
        " use, give examples and check it again, or give the sizes with the next version."
    )


def _probe_facts(subject: Subject, result: ProbeResult) -> dict[str, Any]:
    return {
        "provider_asked": result.provider_asked,
        "provider": result.provider,
        "runtime_version": result.runtime_version,
        "options_digest": subject.options.digest,
        "load_s": round(result.load_s, 6),
        "run_s": round(result.run_s, 6),
        "peak_rss_bytes": result.peak_rss_bytes,
        "ran_on": {"made_of": result.source, "tries": result.tries, **result.sample.to_json()["shapes"]}
        if result.tries
        else {},
        "network_confined": result.network_confined,
    }


def _known(subject: Subject) -> Signature:
    if subject.signature is None:
        raise AssertionError("the probe passes only with a signature")
    return subject.signature


def _told(spec: TensorSpec) -> str:
    sizes: Sequence[str] = ["any" if size is None else str(size) for size in spec.shape]
    return f"{spec.name[:80]!r} ({'any shape' if spec.any_rank else ' x '.join(sizes) or 'a scalar'})"
