"""Rules as they are written in a policy: read, checked, and compiled. Knows no database."""

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import orjson

from inference.pipelines.entities import Entities
from inference.pipelines.image_classification import ImageClassification
from inference.pipelines.object_detection import ObjectDetection
from inference.pipelines.text_classification import TextClassification
from moderation.errors import InvalidPolicy
from moderation.matching.errors import BadList
from moderation.matching.patterns import PatternList
from moderation.matching.pictures import HashList
from moderation.matching.words import WordList
from registry.kit.text import storable

MAX_RULES, MAX_LABELS, MAX_ENTRIES, MAX_HASHES = 100, 200, 10_000, 100_000
MAX_CONTENT_BYTES = 8 << 20
PDQ_DISTANCE = 31
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,62}[a-z0-9])?")
_NAME_ADVICE = "1 to 64 lower-case letters, digits, hyphens and underscores, such as toxic-text"
_NO_LANGUAGE = frozenset({"und", "mul", "mis", "zxx"})  # undetermined, several, uncoded, no language
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{1,8})*")


class Ruling(StrEnum):
    """What a decision says about a content."""

    ALLOW = "allow"
    REVIEW = "review"
    BLOCK = "block"


class RuleEffect(StrEnum):
    """What a rule does when it finds something. `note` names the violation, and leaves the decision as it is."""

    NOTE = "note"
    REVIEW = "review"
    BLOCK = "block"

    @property
    def ruling(self) -> Ruling:
        return Ruling.ALLOW if self is RuleEffect.NOTE else Ruling(self.value)


class RuleState(StrEnum):
    """`shadow`: the rule is evaluated and counted, but decides nothing."""

    ON = "on"
    SHADOW = "shadow"
    OFF = "off"


class Part(StrEnum):
    """What of a content a rule reads."""

    TEXT = "text"
    TITLE = "title"
    IMAGE = "image"


TEXT_PARTS = frozenset({Part.TEXT, Part.TITLE})
# The tasks of Models that can be detectors, and what these read.
READS_OF_TASK: Mapping[str, tuple[Part, ...]] = {
    TextClassification.task: (Part.TEXT, Part.TITLE),
    Entities.task: (Part.TEXT, Part.TITLE),
    ImageClassification.task: (Part.IMAGE,),
    ObjectDetection.task: (Part.IMAGE,),
}


class CutOffs(NamedTuple):
    """Scores above these have the effect; None: the rule never has it."""

    note: float | None
    review: float | None
    block: float | None

    def passed(self, score: float) -> tuple[RuleEffect, float] | None:
        """The gravest effect that the score has, and its cut-off."""
        if self.block is not None and score > self.block:
            return RuleEffect.BLOCK, self.block
        if self.review is not None and score > self.review:
            return RuleEffect.REVIEW, self.review
        if self.note is not None and score > self.note:
            return RuleEffect.NOTE, self.note
        return None


def always(effect: RuleEffect) -> CutOffs:
    """For rules that find things without scores."""
    return CutOffs(*(0.0 if effect is one else None for one in RuleEffect))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule(ABC):
    """`name` tells it apart within its policy and stays the same over revisions, because counts are kept by it."""

    kind: ClassVar[str]
    name: str
    code: str  # of the violation
    state: RuleState
    reads: frozenset[Part]
    languages: frozenset[str]  # none: all
    cut_offs: CutOffs

    @property
    @abstractmethod
    def source(self) -> str:
        """What its findings are kept under."""

    @property
    @abstractmethod
    def asked(self) -> str:
        """What people call the detector or the list."""

    def covers(self, language: str) -> bool:
        """Whether the rule is for texts in this language. Every rule covers an unknown one."""
        return not self.languages or not language or language in self.languages


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorRule(Rule):
    """Asks a Model. Its current split says which version answers, unless an alias is named."""

    kind = "detector"
    detector: str  # the Model, with the alias if one is named
    labels: frozenset[str]  # none: all

    @property
    def source(self) -> str:
        return self.detector

    @property
    def asked(self) -> str:
        return self.detector


@dataclass(frozen=True, slots=True, kw_only=True)
class ListRule(Rule):
    """Looks for entries of a list. `digest`: rules with the same one find the same things."""

    digest: str
    entries: int
    matcher: Any = field(compare=False, repr=False)

    @property
    def source(self) -> str:
        return self.digest

    @property
    def asked(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class WordRule(ListRule):
    kind = "words"


@dataclass(frozen=True, slots=True, kw_only=True)
class PatternRule(ListRule):
    kind = "patterns"


@dataclass(frozen=True, slots=True, kw_only=True)
class HashRule(ListRule):
    kind = "hashes"


def detector_name(model: str, alias: str = "") -> str:
    return f"{model}@{alias}" if alias else model


def split_detector(name: str) -> tuple[str, str]:
    model, _, alias = name.partition("@")
    return model, alias


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewTerms:
    """How people review what the policy decides. Shares are from 0 to 1."""

    audit_share: float = (
        0.0  # of allowed contents that a person looks at; up to ten times as much near a cut-off
    )
    second_review_share: float = 0.0  # of verdicts that another person gives again, without seeing the first
    content_days: int | None = None  # how long contents are kept; None: as long as decisions
    appeal_days: int = 183  # how long authors may appeal
    appeal_hours: int = 72  # until an appeal is answered
    report_hours: int = 24  # until a report is answered


@dataclass(frozen=True)
class PolicyRules:
    """Everything that a policy's content says, compiled."""

    rules: tuple[Rule, ...]
    default_language: str  # of contents that name none; empty: the language Model tells, if there is one
    language_detector: str
    review: ReviewTerms = ReviewTerms()
    # What deciding works out once.
    readings: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def active(self) -> tuple[Rule, ...]:
        """Those that are evaluated, in force or in shadow."""
        return tuple(rule for rule in self.rules if rule.state is not RuleState.OFF)

    @cached_property
    def detectors(self) -> frozenset[str]:
        names = {rule.detector for rule in self.active if isinstance(rule, DetectorRule)}
        return frozenset(names | ({self.language_detector} - {""}))

    @cached_property
    def least_cut_offs(self) -> Mapping[str, float]:
        """The lowest cut-off for review or block of detectors in force, for texts and for images."""
        least: dict[str, float] = {}
        for rule in self.active:
            if isinstance(rule, DetectorRule) and rule.state is RuleState.ON:
                cut_offs = [one for one in (rule.cut_offs.review, rule.cut_offs.block) if one]
                medium = "image" if Part.IMAGE in rule.reads else "text"
                least[medium] = min([*cut_offs, least.get(medium, 1.0)])
        return least

    @cached_property
    def list_rules(self) -> tuple[ListRule, ...]:
        return tuple(rule for rule in self.active if isinstance(rule, ListRule))


def read_rules(content: Any) -> PolicyRules:
    """Read and check a policy's content. Raises InvalidPolicy, which names the place."""
    if not isinstance(content, Mapping):
        raise InvalidPolicy("A policy is an object with `rules`.")
    try:
        size = len(orjson.dumps(content))
    except TypeError as error:  # too many objects inside one another, or a number of more than 64 bits
        raise InvalidPolicy(f"It cannot be stored as JSON: {error}.") from None
    if size > MAX_CONTENT_BYTES:
        raise InvalidPolicy(f"A policy may have at most {MAX_CONTENT_BYTES >> 20} MiB; shorten its lists.")
    fields = _RuleFields(content, ())
    rules = fields.values("rules", most=MAX_RULES, what="rules")
    read = PolicyRules(
        tuple(_read_rule(_RuleFields(rule, ("rules", place))) for place, rule in enumerate(rules)),
        fields.language("default_language"),
        detector_name(*fields.detector("language_detector", may_be_empty=True)),
        _read_terms(_RuleFields(fields.take("review", {}), ("review",))),
    )
    fields.end()
    seen: dict[str, int] = {}
    for place, rule in enumerate(read.rules):
        if seen.setdefault(rule.name, place) != place:
            raise InvalidPolicy(f"Two rules are named {rule.name!r}; rename one.", "rules", place, "name")
    return read


def read_review_terms(content: Mapping[str, Any]) -> ReviewTerms:
    """Only these, of a content that was read before: compiling its rules takes a while."""
    return _read_terms(_RuleFields(content.get("review", {}), ("review",)))


def language_of(text: str) -> str:
    """The language itself, without script or region: `pt` for `pt-BR`; empty for tags that name none. Raises ValueError."""
    if not _LANGUAGE.fullmatch(text):
        raise ValueError(text)
    language = text.partition("-")[0].lower()
    return "" if language in _NO_LANGUAGE else language


class _RuleFields:
    """An object of a policy's content, read field by field."""

    def __init__(self, values: Any, place: tuple[str | int, ...]) -> None:
        if not isinstance(values, Mapping):
            raise InvalidPolicy("A rule is an object with `name`, `kind` and `code`.", *place)
        self._object, self._place, self._read = values, place, set[str]()

    def fail(self, name: str, message: str) -> InvalidPolicy:
        rule = str(self._object.get("name") or self._place[-1])[:80] if self._place else ""
        where = f"Rule {rule!r}, `{name[:80]}`: " if rule else ""
        return InvalidPolicy(where + message, *self._place, name)

    def take(self, name: str, default: Any = None) -> Any:
        self._read.add(name)
        return self._object.get(name, default)

    def text(self, name: str, usual: str | None = None) -> str:
        value = self.take(name, usual)
        if not isinstance(value, str) or (not value and usual is None):
            raise self.fail(name, "a text is needed.")
        return self._storable(name, value)

    def _storable(self, name: str, value: str) -> str:
        if storable(value, len(value)) != value:
            raise self.fail(name, "it has a character that no database stores.")
        return value

    def name(self, name: str) -> str:
        value = self.text(name)
        if not _NAME.fullmatch(value):
            raise self.fail(name, f"use {_NAME_ADVICE}.")
        return value

    def one_of(self, name: str, kinds: type[StrEnum], usual: StrEnum | None = None) -> Any:
        value = self.take(name, usual)
        try:
            return kinds(value)
        except ValueError:
            raise self.fail(name, f"use one of {', '.join(kinds)}.") from None

    def values(self, name: str, *, most: int, what: str) -> Sequence[Any]:
        value = self.take(name, [])
        if not isinstance(value, list):
            raise self.fail(name, f"a list of {what} is needed.")
        if len(value) > most:
            raise self.fail(name, f"at most {most:,} {what}; there are {len(value):,}.")
        return value

    def texts(self, name: str, *, most: int, what: str) -> list[str]:
        values = self.values(name, most=most, what=what)
        for value in values:
            if not isinstance(value, str) or not value.strip():
                raise self.fail(name, f"{str(value)[:80]!r} is not a text.")
            self._storable(name, value)
        return list(values)

    def flag(self, name: str) -> bool:
        value = self.take(name, False)
        if not isinstance(value, bool):
            raise self.fail(name, "use true or false.")
        return value

    def cut_off(self, name: str) -> float | None:
        value = self.take(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
            raise self.fail(name, "a cut-off is a number from 0 to 1; scores above it count.")
        return float(value)

    def cut_offs(self) -> CutOffs:
        cut_offs = CutOffs(self.cut_off("note"), self.cut_off("review"), self.cut_off("block"))
        given = [one for one in cut_offs if one is not None]
        if not given:
            raise self.fail("review", "give at least one of `note`, `review` and `block`.")
        if given != sorted(given):
            raise self.fail("review", "a graver effect cannot have a lower cut-off: note ≤ review ≤ block.")
        return cut_offs

    def share(self, name: str) -> float:
        value = self.take(name, 0)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
            raise self.fail(name, "a share is a number from 0 to 1, such as 0.01.")
        return float(value)

    def whole(self, name: str, usual: int, *, least: int, most: int) -> int:
        value = self.take(name, usual)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise self.fail(name, f"use a whole number from {least:,} to {most:,}.")
        return value

    def detector(self, name: str, *, may_be_empty: bool = False) -> tuple[str, str]:
        model, at, alias = self.text(name, "" if may_be_empty else None).partition("@")
        if (at and not alias) or (not model and (at or not may_be_empty)):
            raise self.fail(name, "name a Model, such as toxicity, or one of its aliases: toxicity@champion.")
        return model, alias

    def language(self, name: str) -> str:
        value = self.text(name, "")
        try:
            return language_of(value) if value else ""
        except ValueError:
            raise self.fail(name, "use a language tag, such as en or pt-BR.") from None

    def languages(self) -> frozenset[str]:
        try:
            return frozenset(map(language_of, self.texts("languages", most=200, what="languages"))) - {""}
        except ValueError as error:
            raise self.fail("languages", f"{error} is not a language tag, such as en or pt-BR.") from None

    def reads(self, *usual: Part) -> frozenset[Part]:
        values = self.texts("reads", most=len(Part), what="parts") or list(usual)
        if not values:
            raise self.fail("reads", "say what the detector reads: text and title, or image.")
        try:
            return frozenset(map(Part, values))
        except ValueError:
            raise self.fail("reads", f"use some of {', '.join(Part)}.") from None

    def end(self) -> None:
        for name in self._object:
            if name not in self._read:
                known = ", ".join(f"`{one}`" for one in sorted(self._read))
                raise self.fail(str(name), f"there is no such field; here are {known}.")


def _read_terms(fields: _RuleFields) -> ReviewTerms:
    usual = ReviewTerms()
    is_limited = fields.take("content_days") is not None
    terms = ReviewTerms(
        audit_share=fields.share("audit_share"),
        second_review_share=fields.share("second_review_share"),
        content_days=fields.whole("content_days", 0, least=1, most=3_650) if is_limited else None,
        appeal_days=fields.whole("appeal_days", usual.appeal_days, least=183, most=3_650),
        appeal_hours=fields.whole("appeal_hours", usual.appeal_hours, least=1, most=2_160),
        report_hours=fields.whole("report_hours", usual.report_hours, least=1, most=2_160),
    )
    fields.end()
    return terms


def _read_rule(fields: _RuleFields) -> Rule:
    kind = fields.text("kind")
    if kind not in _KINDS:
        raise fields.fail("kind", f"use one of {', '.join(_KINDS)}.")
    common = {
        "name": fields.name("name"),
        "code": fields.name("code"),
        "state": fields.one_of("state", RuleState, RuleState.ON),
        "languages": fields.languages(),
    }
    rule = _KINDS[kind](fields, common)
    fields.text("note_to_editors", "")
    fields.end()
    return rule


def _detector_rule(fields: _RuleFields, common: Mapping[str, Any]) -> DetectorRule:
    detector = detector_name(*fields.detector("detector"))
    return DetectorRule(
        **common,
        reads=fields.reads(),
        cut_offs=fields.cut_offs(),
        detector=detector,
        labels=frozenset(fields.texts("labels", most=MAX_LABELS, what="labels")),
    )


def _word_rule(fields: _RuleFields, common: Mapping[str, Any]) -> WordRule:
    entries, anywhere = fields.texts("entries", most=MAX_ENTRIES, what="entries"), fields.flag("anywhere")
    matcher = _compile(fields, "entries", entries, lambda: WordList(entries, anywhere=anywhere))
    digest = _digest("words", entries, anywhere)
    reads = fields.reads(*TEXT_PARTS)
    return WordRule(
        **common, reads=reads, cut_offs=_effect(fields), digest=digest, entries=len(entries), matcher=matcher
    )


def _pattern_rule(fields: _RuleFields, common: Mapping[str, Any]) -> PatternRule:
    patterns = fields.texts("patterns", most=MAX_ENTRIES, what="patterns")
    matcher = _compile(fields, "patterns", patterns, lambda: PatternList(patterns))
    digest, reads = _digest("patterns", patterns), fields.reads(*TEXT_PARTS)
    return PatternRule(
        **common, reads=reads, cut_offs=_effect(fields), digest=digest, entries=len(patterns), matcher=matcher
    )


def _hash_rule(fields: _RuleFields, common: Mapping[str, Any]) -> HashRule:
    hashes = fields.texts("hashes", most=MAX_HASHES, what="hashes")
    distance = fields.take("distance", PDQ_DISTANCE)
    if isinstance(distance, bool) or not isinstance(distance, int) or not 0 <= distance <= PDQ_DISTANCE:
        raise fields.fail("distance", f"a whole number from 0 to {PDQ_DISTANCE}.")
    matcher = _compile(fields, "hashes", hashes, lambda: HashList(hashes, distance=distance))
    return HashRule(
        **common,
        reads=frozenset({Part.IMAGE}),
        cut_offs=_effect(fields),
        digest=_digest("hashes", hashes, distance),
        entries=len(hashes),
        matcher=matcher,
    )


_KINDS: Mapping[str, Callable[[_RuleFields, Mapping[str, Any]], Rule]] = {
    DetectorRule.kind: _detector_rule,
    WordRule.kind: _word_rule,
    PatternRule.kind: _pattern_rule,
    HashRule.kind: _hash_rule,
}


def _effect(fields: _RuleFields) -> CutOffs:
    return always(fields.one_of("effect", RuleEffect))


def _compile(fields: _RuleFields, name: str, entries: Sequence[str], compiled: Callable[[], Any]) -> Any:
    if not entries:
        raise fields.fail(name, "the list is empty.")
    try:
        return compiled()
    except BadList as error:
        raise fields.fail(name, f"entry {error.place + 1}: {error}") from None


def _digest(*parts: Any) -> str:
    return hashlib.sha256(orjson.dumps(parts)).hexdigest()[:24]
