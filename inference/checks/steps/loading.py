"""The steps that load a file and run it on nothing in particular: does it load, what does it take, how fast is it."""

from collections.abc import Mapping, Sequence
from typing import Any

from inference.checks.answers.scores import labels_of, score_output
from inference.checks.models import ProbePass
from inference.checks.probe import ProbeResult, probe
from inference.checks.steps.findings import Found, StepFailed
from inference.checks.steps.subject import Subject
from inference.checks.trial import TrialFailed
from inference.engine.signature import Signature, TensorSpec

WARM_UP_S = 120.0  # for the whole ladder
_PROBE_ADVICE: Mapping[str, str] = {
    "load_failed": "Load the file with the same ONNX Runtime where it was exported; mend it, and bring it in as"
    " the next version. If only a newer runtime loads it, install that for the worker and check the version again.",
    "run_failed": "Run the file on zeros of its own shapes where it was exported; mend it, and bring it in as the"
    " next version.",
    "memory": "Export a smaller model, or one with smaller fixed shapes, and bring it in as the next version. If memory was"
    " short on that machine, give the worker more and check this one again.",
    "timed_out": "Look for a loop that does not end, or export a smaller model, and bring it in as the next version. If the"
    " machine was busy, check this one again.",
    "crashed_signal": "Export the model again, with another opset if need be, and bring it in as the next version;"
    " this file is never loaded.",
}
_WARM_UP_ADVICE = (
    "Run the file with up to {rows} rows at once where it was exported. If it takes only one, export it with a"
    " fixed first axis of 1; then bring it in as the next version. If the machine was busy or short of memory, check this"
    " one again."
)


class ProbeNotStarted(Exception):
    """The probe's child could not be started, which says nothing about the file; the check is to be run again."""


def run_probe(subject: Subject) -> Found:
    """Load and run the file once in a disposable child, and keep the proof where it passes."""
    result = probe(subject.path(), subject.options)
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
    ProbePass.objects.record(result.fact)
    subject.signature, subject.fact = result.signature, result.fact
    if result.provider != result.provider_asked:
        return Found(
            facts,
            "other_provider",
            f"{subject.version} asks for {result.provider_asked}, and {result.provider} runs it here.",
            "Install the provider's libraries, or set the provider that is meant to serve.",
        )
    return Found(facts)


def read_signature(subject: Subject) -> Found:
    """Tell what the file takes and gives, and whether the task's labels fit it."""
    signature = _known(subject)
    facts = signature.to_json()
    if not signature.outputs:
        raise StepFailed(
            "no_outputs",
            f"{subject.version} has no outputs, so it cannot answer.",
            "Export the model with the outputs that callers read, and bring it in as the next version.",
            facts,
        )
    labels = labels_of(subject.version.task_config)
    if labels is None:
        return Found(facts)
    output = score_output(signature, labels)
    if output is None:
        outputs = ", ".join(_told(spec) for spec in signature.outputs)
        raise StepFailed(
            "labels_do_not_fit",
            f"{subject.version} has {len(labels)} labels, and no output with as many scores: {outputs}.",
            "Give as many labels as the model has scores, in their order, and bring it in as the next version.",
            facts,
        )
    return Found({**facts, "scores": output.name})


def warm_up(subject: Subject) -> Found:
    """Run every batch size up to the largest that may be served, as a serving process does before it answers.

    In the trial's child, not in an engine of this process: a batch of 64 can hang, grow or crash where a probe's
    single row did not, and a worker that hangs checks nothing any more.
    """
    largest = subject.serving.max_batch_rows
    try:
        found = subject.trial().warm_up(
            max_batch=largest, soft_limit_s=subject.serving.soft_limit_s, time_limit_s=WARM_UP_S
        )
    except TrialFailed as error:
        raise StepFailed(
            "warm_up_failed" if error.code in {"run_failed", "load_failed"} else error.code,
            f"{subject.version} did not pass its warm-up: {error}",
            _WARM_UP_ADVICE.format(rows=largest),
            {"max_batch_rows": largest},
        ) from None
    profile = [[rows, round(seconds * 1000, 3)] for rows, seconds in sorted(found.profile.items())]
    return Found({"profile": profile, "footprint_bytes": found.footprint_bytes, "max_batch_rows": largest})


def _probe_facts(subject: Subject, result: ProbeResult) -> dict[str, Any]:
    return {
        "provider_asked": result.provider_asked,
        "provider": result.provider,
        "runtime_version": result.runtime_version,
        "options_digest": subject.options.digest,
        "load_s": round(result.load_s, 6),
        "run_s": round(result.run_s, 6),
        "peak_rss_bytes": result.peak_rss_bytes,
        "network_confined": result.network_confined,
    }


def _known(subject: Subject) -> Signature:
    if subject.signature is None:
        raise AssertionError("the probe passes only with a signature")
    return subject.signature


def _told(spec: TensorSpec) -> str:
    sizes: Sequence[str] = ["any" if size is None else str(size) for size in spec.shape]
    return f"{spec.name[:80]!r} ({'any shape' if spec.any_rank else ' x '.join(sizes) or 'a scalar'})"
