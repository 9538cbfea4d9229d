"""What the records of tenants, API keys and people say."""

from collections.abc import Mapping, Sequence
from typing import Any

from registry.record.sentences import (
    Importance,
    RecordedChange,
    Sentence,
    changed_values,
    counted,
    listed,
    moment,
)

_LIMITS = {
    "rate_per_minute": "requests a minute",
    "concurrency": "requests at once",
    "exact_rate": "strict limit",
}
_KEY_VALUES = {"name": "name", "scopes": "scopes", "models": "Models", "expires_at": "expiry", **_LIMITS}
_PERSON_VALUES = {"roles": "roles", "models": "Models", "username": "user name"}


def _create_tenant(change: RecordedChange) -> str:
    return f"created tenant {change.name}{_with_limits(change.after)}"


def _change_tenant(change: RecordedChange) -> str:
    values = changed_values(change, _LIMITS)
    return (
        f"changed tenant {change.name}: {values}"
        if values
        else f"saved tenant {change.name} without changing it"
    )


def _issue_key(change: RecordedChange) -> str:
    after = change.after
    expiry = f", until {moment(after['expires_at'])}" if after["expires_at"] else ""
    return (
        f"created API key {after['name']} with {_named('scope', after['scopes'])}{_only_models(after)}{expiry}"
        f"{_with_limits(after)}"
    )


def _change_key(change: RecordedChange) -> str:
    values = changed_values(change.with_moments("expires_at"), _KEY_VALUES)
    key = _key(change)
    return f"changed API key {key}: {values}" if values else f"saved API key {key} without changing it"


def _revoke_key(change: RecordedChange) -> str:
    return f"revoked API key {_key(change)}"


def _key(change: RecordedChange) -> str:
    """The key's name; its label has the beginning of its text as well."""
    return change.label.rpartition(" (")[0] or change.label


def _create_person(change: RecordedChange) -> str:
    after = change.after
    roles = f"with {_named('role', after['roles'])}" if after["roles"] else "without a role"
    return f"created the account of {change.name} {roles}{_only_models(after)}"


def _change_person(change: RecordedChange) -> str:
    if change.before["active"] != change.after["active"]:
        verb = "activated" if change.after["active"] else "deactivated"
        others = changed_values(change, _PERSON_VALUES, ignored={"active"})
        return f"{verb} the account of {change.name}{'; ' if others else ''}{others}"
    values = changed_values(change, _PERSON_VALUES)
    account = f"the account of {change.name}"
    return f"changed {account}: {values}" if values else f"saved {account} without changing it"


def _set_password(change: RecordedChange) -> str:
    verbs = {"set": "set", "none": "removed"}
    return f"{verbs[change.after['password']]} the password of {change.name}"


def _unlock_login(change: RecordedChange) -> str:
    failures = counted(change.before["failures"], "failed attempt")
    return f"unlocked the login of {change.label} after {failures}"


def _named(noun: str, names: Sequence[str]) -> str:
    return f"{noun if len(names) == 1 else f'{noun}s'} {listed(names)}"


def _only_models(values: Mapping[str, Any]) -> str:
    if values["models"] == "all":
        return ""
    return f", only for {listed(values['models'])}" if values["models"] else ", for no Model"


def _with_limits(values: Mapping[str, Any]) -> str:
    limits = [
        f"{values[name]:,} {called}"
        for name, called in _LIMITS.items()
        if name != "exact_rate" and values[name]
    ]
    return f", at most {' and '.join(limits)}" if limits else ""


ACCESS_SENTENCES = {
    "create_tenant": Sentence(_create_tenant, step="created tenant {label}"),
    "change_tenant": Sentence(_change_tenant, Importance.ACCESS),
    "issue_key": Sentence(_issue_key, Importance.ACCESS, step="created key {label}"),
    "change_key": Sentence(_change_key, Importance.ACCESS),
    "revoke_key": Sentence(_revoke_key, Importance.ACCESS),
    "create_person": Sentence(_create_person, Importance.ACCESS, step="created person {label}"),
    "change_person": Sentence(_change_person, Importance.ACCESS),
    "set_password": Sentence(_set_password, Importance.ACCESS),
    "unlock_login": Sentence(_unlock_login, Importance.ACCESS),
}
