"""A decision as callers get it: the same now, and whenever it is looked up."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson

from moderation.deciding.findings import Findings
from moderation.deciding.judgements import Evidence, Judgement, Problem
from moderation.deciding.models import Decision
from moderation.policies.rules import RuleEffect, Ruling

_SAFE = {Ruling.ALLOW: True, Ruling.REVIEW: None, Ruling.BLOCK: False}


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a decision is what it is. Parts of the content are quoted from `texts`, if they are still known."""

    evidence: tuple[Evidence, ...]
    problems: tuple[Problem, ...]
    is_cut: bool
    texts: Mapping[str, str]

    def quote(self, one: Evidence) -> str | None:
        """The piece of the text that the evidence is about."""
        if one.place is None or len(one.place) != 2 or one.part not in self.texts:
            return None
        start, end = one.place
        return self.texts[one.part][int(start) : int(end)]

    @property
    def without_words(self) -> "Explanation":
        """The same without what the content says: neither quotes nor entries of lists."""
        return replace(self, evidence=tuple(one._replace(entry="") for one in self.evidence), texts={})


def encode_evidence(judgement: Judgement) -> bytes:
    """What is stored. It quotes nothing: the content may have to go before the decision does."""
    return orjson.dumps(
        [[*map(tuple, judgement.evidence)], [*map(tuple, judgement.problems)], judgement.is_cut]
    )


def stored_explanation(decision: Decision) -> Explanation:
    evidence, problems, is_cut = orjson.loads(bytes(decision.evidence))
    content = getattr(decision, "content", None)
    texts = {"text": content.text, "title": content.title} if content is not None else {}
    return Explanation(
        tuple(Evidence(*one)._replace(effect=RuleEffect(one[2])) for one in evidence),
        tuple(Problem(*one) for one in problems),
        is_cut,
        texts,
    )


def answer_for(
    decision: Decision,
    *,
    policy: str,
    revision: int,
    explanation: Explanation,
    findings: Findings,
    is_stored: bool,
) -> dict[str, Any]:
    """The answer as JSON. Rules in shadow are not told."""
    told = [one for one in explanation.evidence if not one.is_shadow]
    answer: dict[str, Any] = {
        "request_id": decision.request_id,
        "decision": decision.ruling,
        "safe": safe_of(decision),
        "text_score": decision.text_score,
        "image_score": decision.image_score,
        "violations": decision.codes,
        "sensitive_info": _entities(told, explanation),
        "categories": _categories(told),
        "evidence": [_evidence(one, explanation) for one in told],
        "problems": [problem_of(one) for one in explanation.problems],
        "held": decision.is_held,
        "policy": policy,
        "policy_revision": revision,
        "language": decision.language or None,
        "detectors": {
            name: {"version": one.version, "preprocessing": one.preprocessing}
            for name, one in findings.detectors.items()
            if one.version
        },
        "stored": is_stored,
    }
    for name in ("content_id", "author_id", "context"):
        if value := getattr(decision, name):
            answer[name] = value
    if explanation.is_cut:
        answer["more_evidence"] = True
    return answer


def safe_of(decision: Decision) -> bool | None:
    """None while a person decides."""
    return _SAFE[Ruling(decision.ruling)]


def codes_of(judgement: Judgement) -> list[str]:
    """The violations, gravest first, each once."""
    return list(dict.fromkeys(one.code for one in judgement.in_force))


def _entities(told: Iterable[Evidence], explanation: Explanation) -> list[dict[str, Any]]:
    """Pieces of the text that a detector named."""
    return [
        {
            "label": one.label,
            "text": explanation.quote(one),
            "part": one.part,
            "start": int(one.place[0]),
            "end": int(one.place[1]),
            "score": one.score,
        }
        for one in told
        if one.detector and one.place is not None and len(one.place) == 2
    ]


def _categories(told: Iterable[Evidence]) -> dict[str, dict[str, Any]]:
    categories: dict[str, dict[str, Any]] = {}
    for one in told:  # gravest first
        known = categories.setdefault(one.code, {"effect": one.effect.value, "score": one.score})
        known["score"] = max(known["score"], one.score)
    return categories


def _evidence(one: Evidence, explanation: Explanation) -> dict[str, Any]:
    told: dict[str, Any] = {
        "code": one.code,
        "rule": one.rule,
        "effect": one.effect.value,
        "part": one.part,
        "score": one.score,
        "cut_off": one.cut_off,
    }
    if one.detector:
        told |= {"detector": one.detector, "version": one.version, "label": one.label}
    if one.entry:
        told["entry"] = one.entry
    if one.distance is not None:
        told["distance"] = one.distance
    if one.place is not None and len(one.place) == 2:
        told |= {"start": int(one.place[0]), "end": int(one.place[1]), "text": explanation.quote(one)}
    elif one.place is not None:
        told["box"] = dict(zip(("x1", "y1", "x2", "y2"), one.place, strict=True))
    return told


def problem_of(one: Problem) -> dict[str, Any]:
    return {"code": one.code, "detail": one.detail, "source": one.source}
