"""What the records of uploads, checks, examples and golden sets say."""

from collections.abc import Mapping
from typing import Any

from registry.record.sentences import RecordedChange, Sentence, changed_values, counted, size

_GOLDEN_VALUES = {
    "rows": "rows",
    "metric": "metric",
    "floor": "floor",
    "margin": "margin",
    "preprocessing": "pre-processing",
}


def _complete_upload(change: RecordedChange) -> str:
    after = change.after
    return (
        f"completed the upload of {change.label} as version {after['version']} ({size(after['size_bytes'])})"
    )


def _ask_check(change: RecordedChange) -> str:
    return f"requested a check of version {change.name}"


def _give_up_check(change: RecordedChange) -> str:
    return f"gave up check {change.after['check']} of version {change.name}: its worker was lost"


def _recheck(change: RecordedChange) -> str:
    after = change.after
    failure = f": {after['failure']}" if after["failure"] else ""
    found = _changed_facts(change.before, after) if change.before else ""
    return f"checked version {change.name} again: check {after['check']} {after['state']}{failure}{found}"


def _changed_facts(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    found = ""
    if after["preprocessing"] != before["preprocessing"]:
        found += f", and found pre-processing {after['preprocessing'] or 'none'}"
    if after["may_pad"] != before["may_pad"]:
        found += f", and found that padding {'is harmless' if after['may_pad'] else 'may change its answers'}"
    return found


def _add_examples(change: RecordedChange) -> str:
    total = change.after["examples"]
    added = counted(total - change.before["examples"], "example")
    return f"added {added} to version {change.name}, which now has {total:,}"


def _put_golden_set(change: RecordedChange) -> str:
    after = change.after
    if not change.before:
        return f"added golden set {after['revision']} with {counted(after['rows'], 'row')}, measured by {after['metric']}"
    values = changed_values(change, _GOLDEN_VALUES, ignored={"revision", "sha256"})
    return (
        f"replaced golden set {change.before['revision']} with {after['revision']}: {values or 'other rows'}"
    )


def _record_golden_result(change: RecordedChange) -> str:
    after = change.after
    wrong = f"{after['wrong']:,} of {counted(after['rows'], 'row')} wrong"
    measured = f"{after['metric']} {after['value']:.4g}"
    set_for = (
        f"; the set is for pre-processing {after['preprocessing']} now" if "preprocessing" in after else ""
    )
    return (
        f"measured version {change.name} with golden set {after['golden_set']}: {measured}, {wrong}{set_for}"
    )


def _export_bundle(change: RecordedChange) -> str:
    return f"exported version {change.name} as a bundle to {change.after['path']}"


def _import_bundle(change: RecordedChange) -> str:
    after = change.after
    source = f"{after['model']} version {after['version']} of {after['installation']}"
    return f"imported {source} as version {change.name}, by the bundle key {after['bundle_key']}"


INTAKE_SENTENCES = {
    "complete_upload": Sentence(_complete_upload, step=""),
    "ask_check": Sentence(_ask_check, step=""),
    "give_up_check": Sentence(_give_up_check),
    "recheck": Sentence(_recheck, step="checked it again"),
    "add_examples": Sentence(_add_examples),
    "put_golden_set": Sentence(_put_golden_set),
    "record_golden_result": Sentence(_record_golden_result),
    "export_bundle": Sentence(_export_bundle),
    "import_bundle": Sentence(_import_bundle),
}
