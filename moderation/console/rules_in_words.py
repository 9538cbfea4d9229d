"""Rules in words, and what differs between two revisions, rule by rule."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from moderation.policies.rules import ReviewTerms, read_review_terms

Content = Mapping[str, Any]
_KINDS = {
    "detector": "detector",
    "words": "list of words",
    "patterns": "list of patterns",
    "hashes": "list of picture hashes",
}
_LISTS = {
    "words": ("entries", "entry", "entries"),
    "patterns": ("patterns", "pattern", "patterns"),
    "hashes": ("hashes", "hash", "hashes"),
}
_CUT_OFFS = ("note", "review", "block")
_EFFECTS = {"note": "noted", "review": "sent to review", "block": "blocked"}
_NAMES_SHOWN = 8
_FIELD_NAMES = {
    "code": "violation", "state": "state", "detector": "detector", "labels": "labels", "reads": "reads",
    "languages": "languages", "note": "note above", "review": "review above", "block": "block above", "effect": "effect",
    "anywhere": "also inside words", "distance": "distance", "note_to_editors": "note to editors", "kind": "kind",
}  # fmt: skip
_ORDER = [*_FIELD_NAMES]


@dataclass(frozen=True, slots=True)
class RuleInWords:
    """One rule as a reader sees it."""

    name: str
    code: str
    state: str
    sentence: str


@dataclass(frozen=True, slots=True)
class RuleDifference:
    """What happened to one rule between two revisions: `added`, `removed` or `changed`, with what changed."""

    name: str
    kind: str
    sentences: Sequence[str]


def rules_in_words(content: Content) -> list[RuleInWords]:
    return [
        RuleInWords(rule["name"], rule["code"], rule.get("state") or "on", rule_sentence(rule))
        for rule in content.get("rules", [])
    ]


def rule_sentence(rule: Content) -> str:
    """What the rule looks for, and what follows: one sentence without its name."""
    parts = [_looks_for(rule), *_scope(rule), _consequence(rule)]
    return f"{'; '.join(part for part in parts if part)}."


def differences(before: Content, after: Content) -> list[RuleDifference]:
    """The rules that were added, removed or changed, in the order of the new ones, the removed last."""
    old = {rule["name"]: rule for rule in before.get("rules", [])}
    new = {rule["name"]: rule for rule in after.get("rules", [])}
    found = [_difference(name, old.get(name), rule) for name, rule in new.items()]
    removed = [
        RuleDifference(name, "removed", [rule_sentence(rule)])
        for name, rule in old.items()
        if name not in new
    ]
    general = _changed_fields(
        {name: before.get(name) for name in _GENERAL}, {name: after.get(name) for name in _GENERAL}, _GENERAL
    )
    whole = [RuleDifference("all rules", "changed", general)] if general else []
    review = _changed_review(read_review_terms(before), read_review_terms(after))
    whole += [RuleDifference("review by people", "changed", review)] if review else []
    return [*whole, *(one for one in found if one is not None), *removed, *_moved(old, new)]


_GENERAL = {"default_language": "language if none is named", "language_detector": "detector of languages"}


def review_in_words(content: Content) -> list[str]:
    """How people review what the policy decides, in a sentence each."""
    return list(_review_sentences(read_review_terms(content)).values())


def _review_sentences(terms: ReviewTerms) -> Mapping[str, str]:
    audits, again = _share(terms.audit_share), _share(terms.second_review_share)
    days = f"{terms.content_days:,} days" if terms.content_days is not None else "as long as decisions"
    return {
        "audit_share": f"A person looks at {audits} of allowed contents, and at more near a cut-off."
        if terms.audit_share
        else "Nobody looks at allowed contents.",
        "second_review_share": f"Another person reviews {again} of verdicts again."
        if terms.second_review_share
        else "No verdict is reviewed again.",
        "content_days": f"Contents are kept {days}.",
        "appeal_days": f"Authors can appeal for {terms.appeal_days:,} days.",
        "appeal_hours": f"Appeals are answered within {terms.appeal_hours:,} hours.",
        "report_hours": f"Reports are answered within {terms.report_hours:,} hours.",
    }


def _changed_review(before: ReviewTerms, after: ReviewTerms) -> list[str]:
    old, new = _review_sentences(before), _review_sentences(after)
    return [f"{old[name]} → {new[name]}" for name in old if old[name] != new[name]]


def _share(share: float) -> str:
    return f"{100 * share:.6g} %"


def _difference(name: str, before: Content | None, after: Content) -> RuleDifference | None:
    if before is None:
        return RuleDifference(name, "added", [rule_sentence(after)])
    sentences = [*_changed_fields(before, after, _FIELD_NAMES), *_changed_lists(before, after)]
    return RuleDifference(name, "changed", sentences) if sentences else None


def _moved(old: Content, new: Content) -> list[RuleDifference]:
    """The order decides nothing; it is named only if nothing else explains that two revisions differ."""
    kept_before, kept_after = (
        [name for name in one if name in other] for one, other in ((old, new), (new, old))
    )
    if kept_before == kept_after:
        return []
    return [RuleDifference("order", "changed", ["The rules are in another order. This decides nothing."])]


def _changed_fields(before: Content, after: Content, names: Mapping[str, str]) -> list[str]:
    return [
        f"{words}: {_value(name, before.get(name))} → {_value(name, after.get(name))}"
        for name, words in names.items()
        if _value(name, before.get(name)) != _value(name, after.get(name))
    ]


def _changed_lists(before: Content, after: Content) -> list[str]:
    sentences = []
    for field, one, many in _LISTS.values():
        old, new = before.get(field) or [], after.get(field) or []
        for word, names in (("added", _without(new, old)), ("removed", _without(old, new))):
            if names:
                sentences.append(f"{len(names):,} {one if len(names) == 1 else many} {word}: {_some(names)}")
    return sentences


def _without(names: Sequence[str], others: Sequence[str]) -> list[str]:
    known = set(others)
    return [name for name in names if name not in known]


def _value(name: str, value: Any) -> str:
    """A field's value in words; what is not said is the same as what it then means."""
    if name == "state":
        return str(value or "on")
    if name in _CUT_OFFS:
        return "never" if value is None else f"{value:g}"
    if name == "anywhere":
        return "yes" if value else "no"
    if name in {"labels", "languages"}:
        return _some(sorted(value)) if value else "all"
    if name == "reads":
        return " and ".join(sorted(value)) if value else "as usual"
    return str(value) if value not in (None, "") else "none"


def _looks_for(rule: Content) -> str:
    kind = str(rule.get("kind"))
    if kind == "detector":
        labels = rule.get("labels") or []
        return f"Detector {rule.get('detector')}, {f'labels {_some(labels)}' if labels else 'all labels'}"
    field, one, many = _LISTS.get(kind, ("", "", ""))
    count = len(rule.get(field) or [])
    inside = ", also inside words" if rule.get("anywhere") else ""
    return f"{_KINDS.get(kind, kind).capitalize()} with {count:,} {one if count == 1 else many}{inside}"


def _scope(rule: Content) -> list[str]:
    reads, languages = rule.get("reads") or [], rule.get("languages") or []
    return [
        f"reads {' and '.join(reads)}" if reads else "",
        f"only in {_some(languages)}" if languages else "",
    ]


def _consequence(rule: Content) -> str:
    if rule.get("kind") == "detector":
        given = [(name, rule[name]) for name in _CUT_OFFS if rule.get(name) is not None]
        return ", ".join(f"{name} above {value:g}" for name, value in given)
    return f"what it finds is {_EFFECTS.get(str(rule.get('effect')), '')}"


def _some(names: Sequence[str]) -> str:
    more = len(names) - _NAMES_SHOWN
    text = ", ".join(names[:_NAMES_SHOWN])
    return f"{text} and {more:,} more" if more > 0 else text
