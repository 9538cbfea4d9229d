"""What the records of reviews say."""

from collections.abc import Callable

from registry.record.sentences import RecordedChange, Sentence, changed_values


def _decide(change: RecordedChange) -> str:
    after = change.after
    violations = f" ({', '.join(after['violations'])})" if after["violations"] else ""
    contents = f", {after['contents']} contents" if after["contents"] > 1 else ""
    return f"made the verdict of {after['reviewer']} on {change.label} final: {after['action']}{violations}{contents}"


def _set_legal_hold(change: RecordedChange) -> str:
    if change.after["legal_hold"]:
        return f"put {change.label} on legal hold"
    return f"ended the legal hold of {change.label}"


def _decide_proposal(change: RecordedChange) -> str:
    verb = "took" if change.after["status"] == "accepted" else "dismissed"
    return f"{verb} the proposed account action {change.label}"


def _return_to_queue(change: RecordedChange) -> str:
    return f"returned {change.label}, which {change.before['had_by']} had, to its queue"


def _end_escalation(change: RecordedChange) -> str:
    return f"gave {change.label}, which was escalated, back to the reviewers"


def _remove_strike(change: RecordedChange) -> str:
    return f"removed a {change.label}, of weight {change.before['weight']:g}"


def _create(kind: str) -> Callable[[RecordedChange], str]:
    return lambda change: f"created the {kind} “{change.label}”: {changed_values(change)}"


def _change(kind: str) -> Callable[[RecordedChange], str]:
    def write(change: RecordedChange) -> str:
        values = changed_values(change)
        name = f"the {kind} “{change.label}”"
        return f"changed {name}: {values}" if values else f"saved {name} without changing it"

    return write


def _remove(kind: str) -> Callable[[RecordedChange], str]:
    return lambda change: f"removed the {kind} “{change.label}”"


def _set_reviewer(change: RecordedChange) -> str:
    return f"set what {change.label} reviews on a day: {changed_values(change) or 'as it was'}"


REVIEW_SENTENCES = {
    "decide_case": Sentence(_decide),
    "set_legal_hold": Sentence(_set_legal_hold),
    "decide_account_proposal": Sentence(_decide_proposal),
    "return_to_queue": Sentence(_return_to_queue),
    "end_escalation": Sentence(_end_escalation),
    "remove_strike": Sentence(_remove_strike),
    "create_guideline": Sentence(_create("guideline")),
    "change_guideline": Sentence(_change("guideline")),
    "remove_guideline": Sentence(_remove("guideline")),
    "create_queue": Sentence(_create("queue")),
    "change_queue": Sentence(_change("queue")),
    "remove_queue": Sentence(_remove("queue")),
    "create_action": Sentence(_create("action")),
    "change_action": Sentence(_change("action")),
    "retire_action": Sentence(lambda change: f"retired the action “{change.label}”"),
    "set_reviewer": Sentence(_set_reviewer),
}
