"""What the records of subscriptions say. A webhook's address may contain a secret, so only its host is shown."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from registry.record.sentences import RecordedChange, Sentence, changed_values, listed


def _add_subscription(change: RecordedChange) -> str:
    after = change.after
    kinds = listed(kind.replace("_", " ") for kind in after["kinds"]) or "all events"
    of_model = f" of {after['model']}" if after["model"] else ""
    return f"added subscription {change.label}: {kinds}{of_model} to {_receiver(after)}"


def _change_subscription(change: RecordedChange) -> str:
    before, after = ({**values, "target": _receiver(values)} for values in (change.before, change.after))
    values = changed_values(
        change.with_values(before, after), {"kinds": "kinds of events", "target": "receiver"}
    )
    if change.before["target"] != change.after["target"] and before["target"] == after["target"]:
        values = "; ".join(filter(None, [values, "webhook URL changed"]))
    verb = "changed" if values else "saved"
    return f"{verb} subscription {change.label}{': ' if values else ' without changing it'}{values}"


def _remove_subscription(change: RecordedChange) -> str:
    return f"removed subscription {change.label}"


def _renew_webhook_secret(change: RecordedChange) -> str:
    return f"replaced the signing secret of subscription {change.label}"


def _receiver(values: Mapping[str, Any]) -> str:
    target: str = values["target"]
    return target if values["channel"] == "email" else urlsplit(target).hostname or "a webhook"


SUBSCRIPTION_SENTENCES = {
    "add_subscription": Sentence(_add_subscription),
    "change_subscription": Sentence(_change_subscription),
    "remove_subscription": Sentence(_remove_subscription),
    "renew_webhook_secret": Sentence(_renew_webhook_secret),
}
