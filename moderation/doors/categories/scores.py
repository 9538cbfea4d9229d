"""The scores of another service's categories for a decided content."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from moderation.deciding.findings import kind_of_part
from moderation.deciding.services import Decided
from moderation.doors.categories import table
from moderation.doors.categories.labels import labels_in_memory
from moderation.doors.categories.protocols import CATEGORIES, category_named
from moderation.policies.rules import DetectorRule, HashRule, ListRule, PolicyRules, RuleEffect, RuleState


class FoundPlace(NamedTuple):
    """Where something that counts for the category was found; no place: in the whole part."""

    part: str
    place: Sequence[float] | None
    score: float


@dataclass(slots=True)
class CategoryScore:
    """`failed` names what could have raised the score and did not answer: then the score means nothing."""

    category: str
    score: float = 0.0  # the highest of what was found
    is_violated: bool = False  # by evidence that reviews or blocks
    kinds: dict[str, None] = field(default_factory=dict)  # of the parts that were looked at: text, image
    places: list[FoundPlace] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    @property
    def is_known(self) -> bool:
        return not self.failed

    def add(self, part: str, place: Sequence[float] | None, score: float) -> None:
        self.score = max(self.score, score)
        self.kinds[_input_type(part)] = None
        self.places.append(FoundPlace(part, place, score))


def score_categories(protocol: str, decided: Decided) -> Mapping[str, CategoryScore]:
    """The protocol's categories, each with its score.

    A category's score is the highest raw score of the labels that are mapped to it. It also has what the rules look for whose
    violation code is its name; that is the only way for lists, which have no labels. Rules in shadow count for nothing.
    """
    scores = {category: CategoryScore(category) for category in CATEGORIES[protocol]}
    feeding = Feeding(protocol, decided.policy.rules)
    _add_found(scores, feeding, decided)
    _add_looked_at(scores, feeding, decided)
    _add_evidence(scores, feeding, decided)
    for source in dict.fromkeys(problem.source for problem in decided.judgement.problems):
        for category in feeding.categories_of_source(source):
            scores[category].failed.append(source)
    return scores


def scored_categories(protocol: str, rules: PolicyRules) -> set[str] | None:
    """The categories that a policy gives scores for; None if the labels of a detector are not known yet."""
    feeding = Feeding(protocol, rules)
    fed = {name: feeding.categories_of_detector(name) for name in feeding.detectors}
    if None in fed.values():
        return None
    found = {category for categories in fed.values() for category in categories or ()}
    return found | {
        category for rule in feeding.list_rules if (category := feeding.category_of_code(rule.code))
    }


class Feeding:
    """What feeds which category of a protocol, under a policy."""

    def __init__(self, protocol: str, rules: PolicyRules) -> None:
        self._protocol, self._table = protocol, table.current()
        on = [rule for rule in rules.active if rule.state is RuleState.ON]
        self.detector_rules = [rule for rule in on if isinstance(rule, DetectorRule)]
        self.list_rules = [rule for rule in on if isinstance(rule, ListRule)]
        self.detectors = {rule.detector for rule in self.detector_rules}
        self._codes = {rule.code: category_named(protocol, rule.code) for rule in on}

    def category_of_code(self, code: str) -> str | None:
        return self._codes.get(code)

    def categories_of_label(self, detector: str, label: str) -> Iterable[str]:
        mapped = self._table.categories_of(self._protocol, detector, label)
        return {*mapped, *self._by_code(detector, label)}

    def categories_of_detector(self, detector: str) -> frozenset[str] | None:
        """All that a detector can raise; None if its labels are not known."""
        labels = labels_in_memory(detector)
        if labels is None:
            return None
        fed = table.categories_fed(self._table, self._protocol, detector, labels)
        return fed | {category for label in (None, *labels) for category in self._by_code(detector, label)}

    def categories_of_source(self, source: str) -> Iterable[str]:
        """All that a detector or list could have raised; everything for what is neither, such as a part of the content."""
        if source in self.detectors:
            known = self.categories_of_detector(source)
            return CATEGORIES[self._protocol] if known is None else known
        for rule in self.list_rules:
            if rule.name == source:
                category = self.category_of_code(rule.code)
                return (category,) if category else ()
        return CATEGORIES[self._protocol]

    def _by_code(self, detector: str, label: str | None) -> Iterator[str]:
        """By the codes of the rules that look for the label; with None, of all rules that ask the detector."""
        for rule in self.detector_rules:
            looks = rule.detector == detector and (label is None or not rule.labels or label in rule.labels)
            if looks and (category := self._codes[rule.code]) is not None:
                yield category


def _add_found(scores: Mapping[str, CategoryScore], feeding: Feeding, decided: Decided) -> None:
    for detector, answer in decided.findings.detectors.items():
        if not answer.version or detector not in feeding.detectors:
            continue
        by_label: dict[str, Iterable[str]] = {}
        for part, label, score, place in answer.found:
            if label not in by_label:
                by_label[label] = feeding.categories_of_label(detector, label)
            for category in by_label[label]:
                scores[category].add(part, place, score)


def _add_looked_at(scores: Mapping[str, CategoryScore], feeding: Feeding, decided: Decided) -> None:
    """Note which kinds of parts were looked at for which category, also where nothing was found."""
    kinds = {kind_of_part(part) for part in decided.findings.parts}
    reads: dict[str, set[str]] = defaultdict(set)
    for asking in feeding.detector_rules:
        answer = decided.findings.detectors.get(asking.detector)
        if answer is not None and answer.version:
            reads[asking.detector] |= {str(part) for part in asking.reads} & kinds
    for detector, parts in reads.items():
        for category in feeding.categories_of_detector(detector) or ():
            scores[category].kinds.update(dict.fromkeys(map(_input_type, parts)))
    for rule in feeding.list_rules:
        category_of_list = feeding.category_of_code(rule.code)
        if category_of_list is not None and rule.digest in decided.findings.matches:
            parts = {str(part) for part in rule.reads} & kinds
            scores[category_of_list].kinds.update(dict.fromkeys(map(_input_type, parts)))
            _add_matches(scores[category_of_list], rule, decided)


def _add_matches(score: CategoryScore, rule: ListRule, decided: Decided) -> None:
    """Not from the evidence, which is cut where there is much of it."""
    for part, start, end, _ in decided.findings.matches[rule.digest]:
        if kind_of_part(part) in rule.reads:
            score.add(part, None if isinstance(rule, HashRule) else (start, end), 1.0)


def _add_evidence(scores: Mapping[str, CategoryScore], feeding: Feeding, decided: Decided) -> None:
    for one in decided.judgement.in_force:
        if one.effect is RuleEffect.NOTE:
            continue
        by_code = feeding.category_of_code(one.code)
        by_label = feeding.categories_of_label(one.detector, one.label) if one.detector else ()
        for category in {*by_label, *([by_code] if by_code else [])}:
            scores[category].is_violated = True


def _input_type(part: str) -> str:
    return "image" if kind_of_part(part) == "image" else "text"
