"""From findings to a verdict: pure, and the same for a new content, a stored one, and a preview."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from moderation.deciding.findings import DetectorAnswer, Findings, kind_of_part
from moderation.policies.rules import (
    TEXT_PARTS,
    DetectorRule,
    Effect,
    HashRule,
    ListRule,
    PolicyRules,
    Rule,
    RuleState,
    Ruling,
)

MAX_EVIDENCE = 100
_LEAST_LANGUAGE_SCORE = 0.5
_SEVERITY = {Effect.NOTE: 0, Effect.REVIEW: 1, Effect.BLOCK: 2}


class Evidence(NamedTuple):
    """One reason for a decision: which rule found what, where, and which cut-off that passed."""

    rule: str
    code: str
    effect: Effect
    part: str
    score: float
    cut_off: float
    is_shadow: bool = False
    detector: str = ""
    version: int | None = None
    label: str = ""
    place: Any = None  # see Found
    entry: str = ""  # of a list
    distance: int | None = None  # of a picture's hash from the entry


class Problem(NamedTuple):
    """Why a content needs a person although nothing was found in it. `source`: the detector, list or part that failed."""

    code: str
    detail: str
    source: str = ""
    passes: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
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
        """Whether it is in review only because something failed that may work later."""
        return self.ruling is Ruling.REVIEW and any(problem.passes for problem in self.problems)

    @property
    def told(self) -> list[Evidence]:
        return [one for one in self.evidence if not one.is_shadow]


def needed_detectors(rules: PolicyRules, findings: Findings) -> set[str]:
    """The detectors that must be asked about a content, as far as is known from the findings so far."""
    needed = set()
    language, source = _language(rules, findings)
    if source:
        needed.add(source)
        if source not in findings.detectors and source not in findings.failures:
            return needed  # which others are asked depends on its answer
    needed |= {
        rule.detector for rule in _applying(rules, findings, language) if isinstance(rule, DetectorRule)
    }
    return needed


def needed_lists(rules: PolicyRules, findings: Findings) -> list[ListRule]:
    language, _ = _language(rules, findings)
    return [rule for rule in _applying(rules, findings, language) if isinstance(rule, ListRule)]


def decide(rules: PolicyRules, findings: Findings) -> Verdict:
    """What the policy says about the findings. Anything that could not be found out means review, never allow."""
    language, source = _language(rules, findings)
    problems: dict[tuple[str, str], Problem] = {}
    missing: list[str] = []
    if source:
        _note_unanswered(findings, source, problems, missing)
    evidence: list[Evidence] = []
    for rule in _applying(rules, findings, language):
        evidence += _evidence_of(rule, findings)
        if rule.state is RuleState.ON:
            _note_unanswered(findings, source_of(rule), problems, missing)
    for problem in _gaps(rules, findings, language):
        problems.setdefault((problem.code, problem.source), problem)
    evidence.sort(key=lambda one: (-_SEVERITY[one.effect], one.is_shadow, -one.score))
    scores = _scores(rules, findings, language)
    ruling = _ruling((one for one in evidence if not one.is_shadow), bool(problems))
    return Verdict(
        ruling=ruling,
        evidence=tuple(evidence[:MAX_EVIDENCE]),
        problems=tuple(problems.values()),
        shadow_ruling=_ruling(iter(evidence), bool(problems)),
        language=language,
        text_score=scores.get("text"),
        image_score=scores.get("image"),
        missing=tuple(missing),
        is_cut=len(evidence) > MAX_EVIDENCE,
    )


def _ruling(evidence: Iterator[Evidence], has_problems: bool) -> Ruling:
    gravest = max((_SEVERITY[one.effect] for one in evidence), default=0)
    if gravest == _SEVERITY[Effect.BLOCK]:
        return Ruling.BLOCK
    return Ruling.REVIEW if gravest or has_problems else Ruling.ALLOW


def _has_texts(findings: Findings) -> bool:
    return not TEXT_PARTS.isdisjoint(findings.parts)


def _has_images(findings: Findings) -> bool:
    return any(kind_of_part(part) == "image" for part in findings.parts)


def _applying(rules: PolicyRules, findings: Findings, language: str) -> list[Rule]:
    """The rules for what the content has; those that read texts only if they are for its language."""
    kinds = frozenset(map(kind_of_part, findings.parts))
    read = [(rule, rule.reads & kinds) for rule in rules.active]
    return [rule for rule, parts in read if parts - TEXT_PARTS or (parts and rule.covers(language))]


def _language(rules: PolicyRules, findings: Findings) -> tuple[str, str]:
    """The language of the texts, and the detector that has to tell it; each empty if unknown, or not needed."""
    if not _has_texts(findings) or findings.named_language or rules.default_language:
        return findings.named_language or (rules.default_language if _has_texts(findings) else ""), ""
    if not rules.language_detector:
        return "", ""
    answer = findings.detectors.get(rules.language_detector)
    return (
        (_best_label(answer), rules.language_detector)
        if answer is not None
        else ("", rules.language_detector)
    )


def _best_label(answer: DetectorAnswer) -> str:
    best = max((one for one in answer.found), key=lambda one: one[2], default=None)
    return best[1].partition("-")[0].lower() if best is not None and best[2] > _LEAST_LANGUAGE_SCORE else ""


def source_of(rule: Rule) -> str:
    """What the rule's findings are kept under: the detector's name, or the list's digest."""
    return (
        rule.detector if isinstance(rule, DetectorRule) else rule.digest if isinstance(rule, ListRule) else ""
    )


def _note_unanswered(
    findings: Findings, name: str, problems: dict[tuple[str, str], Problem], missing: list[str]
) -> None:
    """Add why a detector or list has no answer, if it has none."""
    failure = findings.failures.get(name)  # perhaps of some parts only
    if failure is not None:
        problems.setdefault((failure.code, name), Problem(failure.code, failure.detail, name, failure.passes))
    elif name not in findings.detectors and name not in findings.matches and name not in missing:
        missing.append(name)


def _evidence_of(rule: Rule, findings: Findings) -> Iterator[Evidence]:
    if isinstance(rule, DetectorRule):
        answer = findings.detectors.get(rule.detector)
        if answer is not None:
            yield from _detected(rule, answer)
    elif isinstance(rule, ListRule):
        yield from _matched(rule, findings.matches.get(rule.digest, ()))


def _detected(rule: DetectorRule, answer: DetectorAnswer) -> Iterator[Evidence]:
    for part, label, score, place in answer.found:
        if kind_of_part(part) not in rule.reads or not rule.looks_for(label):
            continue
        passed = rule.cut_offs.passed(score)
        if passed is not None:
            effect, cut_off = passed
            yield Evidence(
                rule.name,
                rule.code,
                effect,
                part,
                score,
                cut_off,
                rule.state is RuleState.SHADOW,
                rule.detector,
                answer.version,
                label,
                place,
            )


def _matched(rule: ListRule, hits: Any) -> Iterator[Evidence]:
    passed = rule.cut_offs.passed(1.0)
    if passed is None:
        return
    effect, cut_off = passed
    for part, start, end, entry in hits:
        if kind_of_part(part) not in rule.reads:
            continue
        is_hash = isinstance(rule, HashRule)
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


def _gaps(rules: PolicyRules, findings: Findings, language: str) -> Iterator[Problem]:
    """Parts of the content that no rule in force looks at."""
    on = [rule for rule in rules.active if rule.state is RuleState.ON]
    if _has_texts(findings):
        yield from _text_gaps([rule for rule in on if rule.reads_text], language)
    if _has_images(findings) and not any(rule.reads_images for rule in on):
        yield Problem("image_not_covered", "No rule of the policy looks at pictures.", "image")
    for part in findings.parts:
        failure = findings.failures.get(part)
        if failure is not None:
            yield Problem(failure.code, failure.detail, part, failure.passes)


def _text_gaps(rules: list[Rule], language: str) -> Iterator[Problem]:
    if not rules:
        yield Problem("text_not_covered", "No rule of the policy looks at texts.", "text")
        return
    detectors = [rule for rule in rules if isinstance(rule, DetectorRule)]
    if not any(rule.covers(language) for rule in detectors or rules):
        yield Problem("language_not_covered", f"No detector of the policy reads {language!r}.", "text")


def _scores(rules: PolicyRules, findings: Findings, language: str) -> Mapping[str, float]:
    """The highest score of what the rules look for, of texts and of pictures; labels of the whole part only."""
    scores: dict[str, float] = {}
    for rule in _applying(rules, findings, language):
        if not isinstance(rule, DetectorRule) or rule.state is not RuleState.ON:
            continue
        answer = findings.detectors.get(rule.detector)
        for part, label, score, place in answer.found if answer is not None else ():
            if place is None and rule.looks_for(label) and kind_of_part(part) in rule.reads:
                kind = "image" if kind_of_part(part) == "image" else "text"
                scores[kind] = max(score, scores.get(kind, 0.0))
    return scores
