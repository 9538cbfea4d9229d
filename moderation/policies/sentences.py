"""What the records of policies say."""

from registry.record.sentences import RecordedChange, Sentence


def _create(change: RecordedChange) -> str:
    whose = f" for tenant {change.after['tenant']}" if change.after["tenant"] else ""
    where = f" in {change.after['context']}" if change.after["context"] else ""
    return f"created policy {change.label}{whose}{where}"


def _publish(change: RecordedChange) -> str:
    return f"published revision {change.after['revision']} of policy {change.label}{_instead(change)}"


def _approve(change: RecordedChange) -> str:
    return f"approved revision {change.after['revision']} of policy {change.label}{_instead(change)}"


def _request(change: RecordedChange) -> str:
    return f"requested approval of revision {change.after['revision']} of policy {change.label}"


def _reject(change: RecordedChange) -> str:
    return f"rejected revision {change.before['revision']} of policy {change.label}"


def _withdraw(change: RecordedChange) -> str:
    return f"withdrew revision {change.before['revision']} of policy {change.label}"


def _roll_back(change: RecordedChange) -> str:
    after = change.after
    return f"took policy {change.label} back to revision {after['goes_back_to']}, as revision {after['revision']}"


def _set_approval(change: RecordedChange) -> str:
    verb = "required" if change.after["needs_approval"] else "stopped requiring"
    return f"{verb} a second person's approval for policy {change.label}"


def _retire(change: RecordedChange) -> str:
    return f"retired policy {change.label}"


def _instead(change: RecordedChange) -> str:
    return f" instead of revision {change.before['revision']}" if change.before else ""


POLICY_SENTENCES = {
    "create_policy": Sentence(_create),
    "publish_policy": Sentence(_publish),
    "request_policy": Sentence(_request),
    "approve_policy": Sentence(_approve),
    "reject_policy": Sentence(_reject),
    "withdraw_policy": Sentence(_withdraw),
    "roll_back_policy": Sentence(_roll_back),
    "set_policy_approval": Sentence(_set_approval),
    "retire_policy": Sentence(_retire),
}
