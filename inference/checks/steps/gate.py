"""The step that reads a file's structure before any native parser sees it."""

from inference.checks.steps.findings import Found, StepFailed
from inference.checks.steps.subject import Subject
from registry.errors import ArtifactMissing
from registry.intake.file_scan import ScanLimits, scan_file
from registry.intake.file_scan.errors import ExternalData, FileRefused

_ADVICE = (
    "Mend the model where it is exported, and bring it in as the next version. To check this file again helps only after a"
    " release that reads it differently."
)
_DATA_ADVICE = (
    "Bring the model in again together with the files that hold its weights, or as a zip of all of them; they are put"
    " inside the file. Or export it with external_data=False."
)


def pass_gate(subject: Subject) -> Found:
    """Refuse what is not plainly an ONNX model of its own, and tell what it holds."""
    try:
        facts = scan_file(subject.path(), ScanLimits())
    except ArtifactMissing as error:
        advice = "Mend the artifact store and check the version again, or bring the file in as the next one."
        raise StepFailed(error.code, f"{subject.version} cannot be read: {error}", advice) from None
    except FileRefused as refusal:
        advice = _DATA_ADVICE if isinstance(refusal, ExternalData) else _ADVICE
        raise StepFailed(
            refusal.code, f"{subject.version} was refused by the file gate: {refusal}", advice
        ) from None
    return Found({
        "ir_version": facts.ir_version,
        "opsets": dict(facts.opsets),
        "producer": facts.producer,
        "nodes": facts.nodes,
        "initializers": facts.initializers,
        "initializer_bytes": facts.initializer_bytes,
        "domains": list(facts.domains),
    })  # fmt: skip
