"""The step that compares a version's signature with that of the live one."""

from inference.checks.steps.findings import Found, StepSkipped
from inference.checks.steps.subject import Subject
from registry.intake.checklist.signature_diff import is_breaking, signature_diff
from registry.intake.examples.selectors import champion_of

BREAKING = "breaking"
_TOLD = 50


def compare_signatures(subject: Subject) -> Found:
    """List what callers of the live version would notice. What breaks them is a warning: they may be new callers."""
    version = subject.version
    champion = champion_of(version.model)
    if champion is None or champion.pk == version.pk or not champion.signature or subject.signature is None:
        raise StepSkipped(
            "no_live_version", f"{version.model} has no other live version to compare {version} with."
        )
    changes = signature_diff(champion.signature, subject.signature.to_json())
    facts = {
        "champion": champion.number,
        "changes": [
            {"side": one.side, "name": one.name, "kind": one.kind, "effect": one.effect.value, "sentence": one.sentence}
            for one in changes[:_TOLD]
        ],
    }  # fmt: skip
    if not is_breaking(changes):
        return Found(facts)
    first = next(one.sentence for one in changes if one.is_breaking)
    return Found(
        facts,
        BREAKING,
        f"{version} breaks callers of {champion}, which is live: {first}",
        "Tell the callers before it is promoted, or serve it as another Model.",
    )
