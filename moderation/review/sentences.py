"""What the records of reviews say."""

from registry.record.sentences import RecordedChange, Sentence


def _decide(change: RecordedChange) -> str:
    after = change.after
    violations = f" ({', '.join(after['violations'])})" if after["violations"] else ""
    contents = f", {after['contents']} contents" if after["contents"] > 1 else ""
    return f"made the verdict of {after['reviewer']} on {change.label} final: {after['action']}{violations}{contents}"


def _set_legal_hold(change: RecordedChange) -> str:
    verb, where = ("put", "on") if change.after["legal_hold"] else ("took", "off")
    return f"{verb} {change.label} {where} legal hold"


def _decide_proposal(change: RecordedChange) -> str:
    verb = "took" if change.after["status"] == "accepted" else "dismissed"
    return f"{verb} the proposed account action {change.label}"


REVIEW_SENTENCES = {
    "decide_case": Sentence(_decide),
    "set_legal_hold": Sentence(_set_legal_hold),
    "decide_account_proposal": Sentence(_decide_proposal),
}
