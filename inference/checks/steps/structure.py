"""The steps that look at the file itself: its structure, whether it loads, its signature, and what changes for callers."""

from collections.abc import Mapping
from typing import Any

from inference.checks.models import ProbePass
from inference.checks.probe import ProbeResult, probe
from inference.checks.steps.base import CheckContext, Facts, StepFailed, StepPassed, StepSkipped
from inference.checks.steps.task import read_task
from inference.checks.task_probe import TaskRefused
from inference.pipelines.pipeline import Pipeline
from inference.pipelines.plain import PlainClassification
from registry.errors import ArtifactMissing
from registry.intake.checklist.signature_diff import is_breaking, signature_diff
from registry.intake.examples.selectors import champion_of
from registry.intake.file_scan import ScanLimits, scan_file
from registry.intake.file_scan.errors import ExternalData, FileRefused

BREAKING = "breaking"
_MAX_CHANGES = 50
_SCAN_ADVICE = (
    "Fix the model where it is exported, and upload it as the next version. Checking this file again helps only after a"
    " release that reads it differently."
)
_EXTERNAL_DATA_ADVICE = (
    "Upload the model again together with the files that hold its weights, or as a zip of all of them; the weights are"
    " put inside the file. Or export it with external_data=False."
)
_PROBE_ADVICE: Mapping[str, str] = {
    "load_failed": "Load the file where it was exported, with the same ONNX Runtime; fix it, and upload it as"
    " the next version. If only a newer runtime loads it, install that for the worker and check the version again.",
    "cannot_carry": "Export the model so that it accepts plain tensors, and upload it as the next version.",
    "locale_missing": "On Debian: apt-get install locales, then localedef -i en_US -f UTF-8 en_US.UTF-8 (or the locale named),"
    " on every machine that loads models; without root, build it in a folder and set LOCPATH. Then check this version again."
    " Or export the model with the locale C.UTF-8.",
    "run_failed": "Upload it as the next version with sizes it accepts, or with examples. If it also fails on those"
    " where it was exported, fix it first.",
    "memory": "Export a smaller model, or smaller fixed shapes, and upload it as the next version. If the machine"
    " was short of memory, give the worker more and check this version again.",
    "timed_out": "Look for an endless loop, or export a smaller model, and upload it as the next version. If the"
    " machine was busy, check this version again.",
    "crashed_signal": "Export the model again, with another opset if necessary, and upload it as the next version;"
    " this file is never loaded.",
}
_ZIPMAP_ADVICE = (
    "To get the scores in the answers, upload the file again and remove its ZipMap: “Remove the ZipMap” on the upload"
    " page, drop_zipmap in the API, import_model --drop-zipmap. Or export it with zipmap=False."
)
_LEFT_OUT_ADVICE = (
    "If callers need it, export the model with a plain tensor for it, and upload that as the next version."
)


_TASK_ADVICE: Mapping[str, str] = {
    "refused": "Correct the task configuration, or the file that it names, and upload the model with it as the next version.",
    "timed_out": "Save the tokenizer again with the library `tokenizers`, and upload it as the next version. If the machine was"
    " busy, check this version again.",
    "memory": "Save the tokenizer again with the library `tokenizers`, and upload it as the next version.",
    "crashed": "Save the tokenizer again with the library `tokenizers`, and upload it as the next version; these files are never"
    " read by a process that serves.",
}


class ProbeNotStarted(Exception):
    """The probe's child could not be started. That says nothing about the file; the check must run again."""


def scan_structure(context: CheckContext) -> StepPassed:
    """Refuse a file that is not clearly a self-contained ONNX model, and report what it contains."""
    try:
        facts = scan_file(context.path(), ScanLimits())
    except ArtifactMissing as error:
        advice = "Fix the artifact store and check the version again, or upload the file as the next version."
        raise StepFailed(error.code, f"{context.version} cannot be read: {error}", advice) from None
    except FileRefused as refusal:
        advice = _EXTERNAL_DATA_ADVICE if isinstance(refusal, ExternalData) else _SCAN_ADVICE
        raise StepFailed(
            refusal.code, f"{context.version} was refused by the file scan: {refusal}", advice
        ) from None
    return StepPassed({
        "ir_version": facts.ir_version,
        "opsets": dict(facts.opsets),
        "producer": facts.producer,
        "nodes": facts.nodes,
        "initializers": facts.initializers,
        "initializer_bytes": facts.initializer_bytes,
        "domains": list(facts.domains),
    })  # fmt: skip


def run_probe(context: CheckContext) -> StepPassed:
    """Load and run the file once in a disposable child, and keep the proof if it passes."""
    result = probe(context.path(), context.options, context.known)
    if result.code == "not_started":
        raise ProbeNotStarted(result.message)
    facts = _probe_facts(context, result)
    if result.fact is None or result.signature is None:
        raise StepFailed(
            result.code,
            f"{context.version} did not pass the load probe: {result.message}",
            _PROBE_ADVICE.get(result.code, _PROBE_ADVICE["load_failed"]),
            facts,
        )
    ProbePass.objects.record(result.fact, sample=result.sample)
    context.signature, context.fact, context.sample = result.signature, result.fact, result.sample
    context.left_out = result.left_out
    if result.provider != result.provider_asked:
        return StepPassed(
            facts,
            "other_provider",
            f"{context.version} should run on {result.provider_asked}, but runs on {result.provider} here.",
            "Install the provider's libraries, or choose the provider that should serve it.",
        )
    return StepPassed(facts, reason=_sizes_it_ran_on(result))


def read_signature(context: CheckContext) -> StepPassed:
    """Report the file's inputs and outputs, and whether the task's configuration and files fit them."""
    signature = context.signature
    if signature is None:
        raise AssertionError("the probe sets it when it passes")
    facts = {**signature.to_json(), "left_out": list(context.left_out)}
    if not signature.outputs:
        only = f" that can be sent, only {', '.join(context.left_out)}" if context.left_out else ""
        raise StepFailed(
            "no_outputs",
            f"{context.version} has no outputs{only}, so it cannot answer.",
            "Export the model with plain tensors as the outputs that callers read, and upload it as the next version.",
            facts,
        )
    pipeline = _read_task(context, facts)
    if isinstance(pipeline, PlainClassification):
        facts["scores"] = pipeline.output
    if pipeline.digest:
        facts["preprocessing"] = pipeline.digest
    if not context.left_out:
        return StepPassed(facts)
    return StepPassed(
        facts, "outputs_left_out", _left_out_sentence(context).strip(), _left_out_advice(context)
    )


def _read_task(context: CheckContext, facts: Facts) -> Pipeline:
    """The version's pipeline, once a child has read its files."""
    try:
        read_task(context)
        return context.pipeline
    except TaskRefused as refused:
        if refused.cause == "not_started":
            raise ProbeNotStarted(str(refused)) from None
        raise StepFailed(
            "task_config",
            f"{context.version} cannot do its task, {context.version.model.task}: {_in_field(refused)}"
            + _left_out_sentence(context),
            _left_out_advice(context) if context.left_out else _TASK_ADVICE[refused.cause],
            {**facts, "field": refused.field},
        ) from None
    except ArtifactMissing as error:
        raise StepFailed(
            error.code,
            f"A file of {context.version}'s task cannot be read: {error}",
            "Fix the artifact store and check the version again.",
            facts,
        ) from None


def _in_field(refused: TaskRefused) -> str:
    return f"`{refused.field}`: {refused}" if refused.field else str(refused)


def compare_signatures(context: CheckContext) -> StepPassed:
    """List what callers of the live version would notice. A breaking change is only a warning: all callers may be new."""
    version = context.version
    champion = champion_of(version.model)
    if champion is None or champion.pk == version.pk or not champion.signature or context.signature is None:
        raise StepSkipped(
            "no_live_version", f"{version.model} has no other live version to compare {version} with."
        )
    changes = signature_diff(champion.signature, context.signature.to_json())
    facts = {
        "champion": champion.number,
        "changes": [
            {
                "side": change.side,
                "name": change.name,
                "kind": change.kind,
                "effect": change.effect.value,
                "sentence": change.sentence,
            }
            for change in changes[:_MAX_CHANGES]
        ],
    }
    if not is_breaking(changes):
        return StepPassed(facts)
    first = next(change.sentence for change in changes if change.is_breaking)
    return StepPassed(
        facts,
        BREAKING,
        f"{version} breaks callers of {champion}, which is live: {first}",
        "Warn the callers before you promote it, or serve it as a different Model.",
    )


def _probe_facts(context: CheckContext, result: ProbeResult) -> dict[str, Any]:
    return {
        "provider_asked": result.provider_asked,
        "provider": result.provider,
        "runtime_version": result.runtime_version,
        "options_digest": context.options.digest,
        "load_s": round(result.load_s, 6),
        "run_s": round(result.run_s, 6),
        "peak_rss_bytes": result.peak_rss_bytes,
        "ran_on": {"made_of": result.source, "tries": result.tries, **result.sample.to_json()["shapes"]}
        if result.tries
        else {},
        "network_confined": result.network_confined,
        "files_confined": result.files_confined,
    }


def _sizes_it_ran_on(result: ProbeResult) -> str:
    """Say which sizes it ran on, if they were found by trial and error and callers may send others."""
    if result.source != "made up" or result.signature is None:
        return ""
    free = [spec.name for spec in result.signature.required_inputs if None in spec.shape[1:]]
    if not free:
        return ""
    shapes = ", ".join(
        f"{name[:80]!r} of {' x '.join(map(str, result.sample.shapes[name]))}" for name in free[:4]
    )
    return (
        f"It ran on {shapes}, the first sizes that worked. Memory and speed below are for these sizes. To measure it with"
        " real ones, add examples and check it again, or give the sizes with the next version."
    )


def _left_out_sentence(context: CheckContext) -> str:
    if not context.left_out:
        return ""
    return f" Answers do not include {', '.join(context.left_out)}, which cannot be sent as a tensor."


def _left_out_advice(context: CheckContext) -> str:
    is_zipmap = any("seq(map(" in output for output in context.left_out)
    return _ZIPMAP_ADVICE if is_zipmap else _LEFT_OUT_ADVICE
