"""What the records of report cards say."""

from registry.record.sentences import RecordedChange, Sentence


def _settle(change: RecordedChange) -> str:
    return f"talked with {change.label}, whose verdicts are assessed afresh from now on"


def _export(change: RecordedChange) -> str:
    policy = f" of policy {change.after['policy']}" if change.after["policy"] else ""
    days = f"{change.after['since'][:10]} to {change.after['until'][:10]}"
    return f"exported the judged contents{policy} that were received from {days}"


QUALITY_SENTENCES = {"settle_reviewer_flag": Sentence(_settle), "export_verdicts": Sentence(_export)}
