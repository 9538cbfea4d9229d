"""From findings to a judgement: pure, and the same for a new content, a stored one, and a preview."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from moderation.deciding.findings import DetectorAnswer, Findings, kind_of_part
from moderation.policies.rules import (
    TEXT_PARTS,
    DetectorRule,
    HashRule,
    ListRule,
    Part,
    PolicyRules,
    Rule,
    RuleEffect,
    RuleState,
    Ruling,
    language_of,
)

MAX_EVIDENCE = 100
MOST_LABELS = 200  # of a part that are always kept
_LEAST_LANGUAGE_SCORE = 0.5
_MOST_READINGS = 1_000
_SEVERITY = {RuleEffect.NOTE: 0, RuleEffect.REVIEW: 1, RuleEffect.BLOCK: 2}


class Evidence(NamedTuple):
    """One reason for a decision: which rule found what, where, and which cut-off that passed."""

    rule: str
    code: str
    effect: RuleEffect
    part: str
    score: float
    cut_off: float
    is_shadow: bool = False
    detector: str = ""
    version: int | None = None
    label: str = ""
    place: Any = None  # see DetectorAnswer
    entry: str = ""  # of a list
    distance: int | None = None  # of a picture's hash from the entry


class Problem(NamedTuple):
    """Why a content needs a person, whatever was found in it. `source`: the detector, list or part that failed."""

    code: str
    detail: str
    source: str = ""
    passes: bool = False


@dataclass(frozen=True, slots=True)
class Judgement:
    ruling: Ruling
    evidence: tuple[Evidence, ...]  # gravest first; rules in shadow are among them
    problems: tuple[Problem, ...]
    shadow_ruling: Ruling  # what the ruling would be if the rules in shadow were on
    language: str
    text_score: float | None
    image_score: float | None
    missing: tuple[str, ...] = ()  # what must be asked before the content can be decided
    is_cut: bool = False  # there is more evidence than is told

    @property
    def is_held(self) -> bool:
        """Whether it is in review, and something failed that may work later."""
        return self.ruling is Ruling.REVIEW and any(problem.passes for problem in self.problems)

    @property
    def in_force(self) -> list[Evidence]:
        return [one for one in self.evidence if not one.is_shadow]


@dataclass(frozen=True, slots=True)
class _Reading:
    """The rules that look at contents with the same kinds of parts in the same language, and what no rule looks at."""

    rules: tuple[Rule, ...]
    gaps: tuple[Problem, ...]


def needed_detectors(rules: PolicyRules, findings: Findings) -> set[str]:
    """The detectors that must be asked about a content, as far as is known from the findings so far."""
    needed = set()
    language, source = _language(rules, findings)
    if source:
        needed.add(source)
        if source not in findings.detectors and source not in findings.failures:
            return needed  # which others are asked depends on its answer
    reading = _reading(rules, findings, language)
    return needed | {rule.detector for rule in reading.rules if isinstance(rule, DetectorRule)}


def needed_lists(rules: PolicyRules, findings: Findings) -> list[ListRule]:
    if not rules.list_rules:
        return []
    language, _ = _language(rules, findings)
    return [rule for rule in _reading(rules, findings, language).rules if isinstance(rule, ListRule)]


def decide(rules: PolicyRules, findings: Findings) -> Judgement:
    """What the policy says about the findings. Anything that could not be found out means review, never allow."""
    language, source = _language(rules, findings)
    reading = _reading(rules, findings, language)
    gathered = _Gathered(findings)
    evidence: list[Evidence] = []
    scores: dict[str, float] = {}
    if source:
        gathered.note_unseen(source, TEXT_PARTS, source)
    for rule in reading.rules:
        if isinstance(rule, DetectorRule):
            answer = findings.detectors.get(rule.detector)
            if answer is not None:
                _add_detected(rule, answer, evidence, scores)
                if rule.state is RuleState.ON and _lacks_labels(rule, answer):
                    gathered.add(_no_such_label(rule, answer))
        elif isinstance(rule, ListRule):
            evidence += _matched(rule, findings.matches.get(rule.digest, ()))
        if rule.state is RuleState.ON:
            gathered.note_unseen(rule.source, rule.reads, rule.asked)
    for problem in (*reading.gaps, *_unreadable(findings)):
        gathered.add(problem)
    problems = gathered.problems
    if len(evidence) > 1:
        evidence.sort(key=lambda one: (-_SEVERITY[one.effect], one.is_shadow, -one.score))
    return Judgement(
        ruling=_ruling((one for one in evidence if not one.is_shadow), bool(problems)),
        evidence=tuple(evidence[:MAX_EVIDENCE]),
        problems=tuple(problems.values()),
        shadow_ruling=_ruling(iter(evidence), bool(problems)),
        language=language,
        text_score=scores.get("text"),
        image_score=scores.get("image"),
        missing=tuple(gathered.missing),
        is_cut=len(evidence) > MAX_EVIDENCE,
    )


def _ruling(evidence: Iterator[Evidence], has_problems: bool) -> Ruling:
    gravest = max((_SEVERITY[one.effect] for one in evidence), default=0)
    if gravest == _SEVERITY[RuleEffect.BLOCK]:
        return Ruling.BLOCK
    return Ruling.REVIEW if gravest or has_problems else Ruling.ALLOW


def _has_texts(findings: Findings) -> bool:
    return not TEXT_PARTS.isdisjoint(findings.parts)


def _reading(rules: PolicyRules, findings: Findings, language: str) -> _Reading:
    """Few combinations occur, so each is worked out once. Callers may name any language, so the number is limited."""
    key = (frozenset(map(kind_of_part, findings.parts)), language)
    reading: _Reading | None = rules.readings.get(key)
    if reading is None:
        if len(rules.readings) >= _MOST_READINGS:
            rules.readings.clear()
        reading = rules.readings[key] = _new_reading(rules, *key)
    return reading


def _new_reading(rules: PolicyRules, kinds: frozenset[str], language: str) -> _Reading:
    read = [(rule, rule.reads & kinds) for rule in rules.active]
    applying = [rule for rule, parts in read if parts - TEXT_PARTS or (parts and rule.covers(language))]
    return _Reading(tuple(applying), tuple(_gaps(rules, kinds, language)))


def _language(rules: PolicyRules, findings: Findings) -> tuple[str, str]:
    """The language of the texts, and the detector that has to tell it; each empty if unknown, or not needed."""
    if not _has_texts(findings):
        return findings.named_language, ""
    language = findings.named_language or rules.default_language
    if language or not rules.language_detector:
        return language, ""
    answer = findings.detectors.get(rules.language_detector)
    return (_best_label(answer) if answer is not None else ""), rules.language_detector


def _best_label(answer: DetectorAnswer) -> str:
    """Of the text, or of the title if there is no text, which is too short to tell."""
    of_text = [one for one in answer.found if one[0] == Part.TEXT] or answer.found
    best = max(of_text, key=lambda one: one[2], default=None)
    if best is None or best[2] <= _LEAST_LANGUAGE_SCORE:
        return ""
    try:
        return language_of(best[1].removeprefix("__label__"))
    except ValueError:
        return ""


class _Gathered:
    """Why a person must decide, and what was never asked."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self.problems: dict[tuple[str, str], Problem] = {}
        self.missing: list[str] = []

    def add(self, problem: Problem) -> None:
        self.problems.setdefault((problem.code, problem.source), problem)

    def note_unseen(self, source: str, reads: frozenset[Part], name: str) -> None:
        """Add why a detector or list has not looked at all parts that it should read. `name`: what people call it."""
        findings = self._findings
        seen = findings.looked_at.get(source, ())
        unseen = [part for part in findings.parts if part not in seen and kind_of_part(part) in reads]
        if not unseen:
            return
        failure = findings.failures.get(source)
        if failure is not None:
            self.add(Problem(failure.code, failure.detail, name, failure.passes))
        elif not all(part in findings.failures for part in unseen):  # those are told by themselves
            self.add(Problem("not_looked_at", f"{name} has not looked at the {unseen[0]}.", name))
            if name not in self.missing:
                self.missing.append(name)


def _add_detected(
    rule: DetectorRule, answer: DetectorAnswer, evidence: list[Evidence], scores: dict[str, float]
) -> None:
    """Add what passes a cut-off. `scores`: the highest of what rules in force look for, in texts and in pictures."""
    is_shadow = rule.state is RuleState.SHADOW
    for part, label, score, place in answer.found:
        kind = kind_of_part(part)
        if kind not in rule.reads or (rule.labels and label not in rule.labels):
            continue
        if place is None and not is_shadow:
            medium = "image" if kind == "image" else "text"
            scores[medium] = max(score, scores.get(medium, 0.0))
        passed = rule.cut_offs.passed(score)
        if passed is not None:
            effect, cut_off = passed
            evidence.append(
                Evidence(
                    rule.name, rule.code, effect, part, score, cut_off, is_shadow, rule.detector, answer.version, label, place
                )
            )  # fmt: skip


def _lacks_labels(rule: DetectorRule, answer: DetectorAnswer) -> bool:
    """Whether a classification has none of the labels that the rule looks for: a rule that can never find anything."""
    if not rule.labels or any(label in rule.labels for _, label, *_ in answer.found):
        return False
    labels = {
        label for part, label, _, place in answer.found if place is None and kind_of_part(part) in rule.reads
    }
    return 0 < len(labels) < MOST_LABELS


def _no_such_label(rule: DetectorRule, answer: DetectorAnswer) -> Problem:
    wanted = ", ".join(sorted(rule.labels))
    detail = f"Version {answer.version} of {rule.detector} has no label {wanted}; change rule {rule.name}."
    return Problem("no_such_label", detail[:500], rule.detector)


def _matched(rule: ListRule, hits: Any) -> Iterator[Evidence]:
    passed = rule.cut_offs.passed(1.0)
    if passed is None:
        return
    effect, cut_off = passed
    is_hash = isinstance(rule, HashRule)
    for part, start, end, entry in hits:
        if kind_of_part(part) in rule.reads:
            yield Evidence(
                rule.name,
                rule.code,
                effect,
                part,
                1.0,
                cut_off,
                rule.state is RuleState.SHADOW,
                place=None if is_hash else [start, end],
                entry=entry,
                distance=end if is_hash else None,
            )


def _gaps(rules: PolicyRules, kinds: frozenset[str], language: str) -> Iterator[Problem]:
    """Kinds of parts that no rule in force looks at."""
    for kind in sorted(kinds):
        readers = [rule for rule in rules.active if rule.state is RuleState.ON and kind in rule.reads]
        detectors = [rule for rule in readers if isinstance(rule, DetectorRule)]
        if not readers:
            yield Problem(
                f"{kind}_not_covered", f"No rule of the policy looks at the {kind} of a content.", kind
            )
        elif kind in TEXT_PARTS and not any(rule.covers(language) for rule in detectors or readers):
            yield Problem("language_not_covered", f"No detector of the policy reads {language!r}.", kind)


def _unreadable(findings: Findings) -> Iterator[Problem]:
    """Parts that nothing could look at."""
    for part in findings.parts if findings.failures else ():
        failure = findings.failures.get(part)
        if failure is not None:
            yield Problem(failure.code, failure.detail, part, failure.passes)
