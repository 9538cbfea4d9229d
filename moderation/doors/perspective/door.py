"""Scores for clients of the Perspective API: their requests, their answers, and their errors."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from django.http import HttpResponse

from inference.doors.entry import LOOP_BYTES
from inference.doors.rest.bodies import BodyKind, read_fields, refuse_encoding
from inference.doors.wire import Environ, HttpReply
from inference.pipelines.spans import OffsetUnit, in_unit
from moderation.deciding import process
from moderation.deciding.contents import Content, read_content
from moderation.deciding.fixed_texts import FIXED_CODE
from moderation.deciding.policy_table import PublishedPolicy
from moderation.deciding.services import Decided
from moderation.doors.categories.protocols import CATEGORIES, ForeignProtocol
from moderation.doors.categories.scores import CategoryScore, score_categories, scored_categories
from moderation.doors.door import JSON_HEADERS, Asked, JsonDoor
from moderation.doors.foreign import our_part, rendered
from moderation.errors import AttributeNotScored, InvalidContent, LanguageNotScored
from registry.access.key_ring import Principal

# The last four have no effect here.
_FIELDS = (
    "comment",
    "requestedAttributes",
    "languages",
    "doNotStore",
    "spanAnnotations",
    "clientToken",
    "sessionId",
    "communityId",
    "context",
)
_PROBABILITY = "PROBABILITY"
_SCORE_TYPES = (None, _PROBABILITY, "SCORE_TYPE_UNSPECIFIED")
_LONGEST_TOKEN = 1_000
_STATUS_NAMES: Mapping[int, str] = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
}


@dataclass(frozen=True, slots=True)
class AnalyzeRequest:
    thresholds: Mapping[str, float]  # of each requested attribute; scores below it are left out
    languages: list[str]
    wants_spans: bool
    client_token: str


class PerspectiveDoor(JsonDoor):
    def longest_body(self, environ: Environ) -> int:
        refuse_encoding(environ.get("HTTP_CONTENT_ENCODING", ""))
        return LOOP_BYTES

    def read(self, environ: Environ, body: bytes) -> Asked:
        fields = read_fields(BodyKind.JSON, environ, body)
        if not isinstance(fields, dict):
            raise InvalidContent("The body is an object with `comment` and `requestedAttributes`.")
        for name in fields:
            if name not in _FIELDS:
                raise InvalidContent(f"Unknown name `{name[:80]}`: cannot find field.", name)
        languages = _read_languages(fields.get("languages"))
        wanted = AnalyzeRequest(
            _read_attributes(fields.get("requestedAttributes")),
            languages,
            _read_flag(fields, "spanAnnotations"),
            _read_token(fields.get("clientToken")),
        )
        comment = _read_comment(fields.get("comment"))
        body_of_content = {"text": comment, "do_not_store": _read_flag(fields, "doNotStore")}
        if languages:
            body_of_content["language"] = languages[0]
        return Asked([read_content(body_of_content, ("comment",))], wanted)

    def choose_policy(self, asked: Asked, by: Principal) -> PublishedPolicy | None:
        """The policy of the key's tenant, which must have scores for all requested attributes."""
        policy = process.started().table.find(by.tenant_id, "")
        known = scored_categories(ForeignProtocol.PERSPECTIVE, policy.rules)
        _check_attributes(
            asked.fields.thresholds, set(CATEGORIES[ForeignProtocol.PERSPECTIVE]) if known is None else known
        )
        return policy

    def write(self, asked: Asked, decided: list[Decided]) -> HttpReply:
        one, wanted = decided[0], asked.fields
        scores = score_categories(ForeignProtocol.PERSPECTIVE, one)
        ours = our_part(one)
        if not _is_fixed(one):
            for name in wanted.thresholds:
                _check_scored(scores[name], one, ours)
        answer: dict[str, Any] = {
            "attributeScores": _attribute_scores(scores, one, wanted),
            "languages": wanted.languages or _language(one),
            "roundhouse": ours,
        }
        if not wanted.languages and one.judgement.language and not one.policy.rules.default_language:
            answer["detectedLanguages"] = _language(one)
        if wanted.client_token:
            answer["clientToken"] = wanted.client_token
        headers = [*JSON_HEADERS, ("X-Request-ID", one.decision.request_id)]
        return HttpReply(headers, orjson.dumps(answer))

    def render_problem(self, problem: HttpResponse) -> HttpResponse:
        fields = orjson.loads(problem.content)
        status = 400 if problem.status_code in {411, 413, 415, 422} else problem.status_code
        error = {
            "code": status,
            "message": fields["detail"],
            "status": _STATUS_NAMES.get(status, "INVALID_ARGUMENT" if status < 500 else "INTERNAL"),
            "details": [*_details(fields)],
        }
        return rendered(problem, {"error": error}, status=status)


PERSPECTIVE = PerspectiveDoor()


def _read_comment(comment: Any) -> str:
    match comment:
        case {"type": str(kind)} if kind not in {"PLAIN_TEXT", "TEXT_TYPE_UNSPECIFIED"}:
            raise InvalidContent(f"Comments of type {kind[:40]} are not read; send PLAIN_TEXT.", "comment")
        case {"text": str(text)} if text.strip():
            return text
        case {"text": str()}:
            raise InvalidContent("The comment is empty.", "comment", "text")
    raise InvalidContent('Send the comment as {"text": …}.', "comment")


def _read_attributes(attributes: Any) -> dict[str, float]:
    if not isinstance(attributes, dict) or not attributes:
        raise InvalidContent("Request at least one attribute.", "requestedAttributes")
    return {name: _read_threshold(name, wanted) for name, wanted in attributes.items()}


def _read_threshold(name: str, wanted: Any) -> float:
    place = ("requestedAttributes", name[:80])
    if not isinstance(wanted, dict):
        raise InvalidContent("What is wanted of an attribute is an object, such as {}.", *place)
    if wanted.get("scoreType") not in _SCORE_TYPES:  # compared, not hashed: it may be a list
        raise InvalidContent("Scores are of the type PROBABILITY only.", *place)
    threshold = wanted.get("scoreThreshold", 0.0)
    if isinstance(threshold, bool) or not isinstance(threshold, int | float):
        raise InvalidContent("`scoreThreshold` is a number.", *place)
    return float(threshold)


def _read_languages(languages: Any) -> list[str]:
    if languages is None:
        return []
    if not isinstance(languages, list) or not all(isinstance(one, str) for one in languages):
        raise InvalidContent("`languages` is a list of language tags.", "languages")
    if len(set(languages)) > 1:
        raise InvalidContent("Name one language, or none to have it detected.", "languages")
    return languages[:1]


def _read_flag(fields: Mapping[str, Any], name: str) -> bool:
    value = fields.get(name, False)
    if not isinstance(value, bool):
        raise InvalidContent(f"`{name}` is true or false.", name)
    return value


def _read_token(token: Any) -> str:
    if token is None:
        return ""
    if not isinstance(token, str) or len(token) > _LONGEST_TOKEN:
        raise InvalidContent(
            f"`clientToken` is a text of at most {_LONGEST_TOKEN:,} characters.", "clientToken"
        )
    return token


def _check_attributes(requested: Iterable[str], known: set[str]) -> None:
    for name in requested:
        if name not in known:
            there_are = f"The attributes are {', '.join(sorted(known))}." if known else "None is mapped yet."
            raise InvalidContent(
                f"Attribute {name[:80]} is not available. {there_are}", "requestedAttributes", name[:80]
            )


def _check_scored(score: CategoryScore, decided: Decided, ours: dict[str, Any]) -> None:
    """Raise unless everything that the attribute needs was asked and has answered."""
    codes = {problem.code for problem in decided.judgement.problems}
    if "language_not_covered" in codes or (score.is_known and not score.kinds):
        raise LanguageNotScored(
            f"Attribute {score.category} does not support the language {decided.judgement.language or 'of the comment'}."
        )
    if not score.is_known:
        raise AttributeNotScored(
            f"Attribute {score.category} cannot be scored now: no answer from {', '.join(score.failed)}. Try again later.",
            decision=ours,
        )


def _is_fixed(decided: Decided) -> bool:
    """Whether the content is a fixed text of a test, for which nothing is asked."""
    return not decided.findings.parts


def _attribute_scores(
    scores: Mapping[str, CategoryScore], decided: Decided, wanted: AnalyzeRequest
) -> dict[str, Any]:
    found = {}
    for name, threshold in wanted.thresholds.items():
        value = _fixed_score(decided) if _is_fixed(decided) else scores[name].score
        if value >= threshold:
            spans = _spans(scores[name], value, decided.content, wanted)
            found[name] = {
                "spanScores": [span for span in spans if span["score"]["value"] >= threshold],
                "summaryScore": _score(value),
            }
    return found


def _fixed_score(decided: Decided) -> float:
    return float(any(one.code == FIXED_CODE for one in decided.judgement.in_force))


def _spans(
    score: CategoryScore, value: float, content: Content, wanted: AnalyzeRequest
) -> list[dict[str, Any]]:
    """The pieces of the text where something was found, if they are wanted and known; else the whole text."""
    found = [one for one in score.places if one.place is not None] if wanted.wants_spans else []
    spans = [(int(one.place[0]), int(one.place[1]), one.score) for one in found if one.place is not None]
    spans = spans or [(0, len(content.text), value)]
    places = in_unit(
        content.text, [place for start, end, _ in spans for place in (start, end)], OffsetUnit.UTF16
    )
    return [
        {"begin": places[2 * number], "end": places[2 * number + 1], "score": _score(at)}
        for number, (_, _, at) in enumerate(spans)
    ]


def _score(value: float) -> dict[str, Any]:
    return {"value": value, "type": _PROBABILITY}


def _language(decided: Decided) -> list[str]:
    return [decided.judgement.language] if decided.judgement.language else []


def _details(fields: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    """The reason, the wrong fields, and our decision if there is one, in the error details of Google's APIs."""
    ours = fields.get("roundhouse") or {}
    metadata = {
        name: str(ours[name]) for name in ("decision", "request_id", "policy", "policy_revision") if ours
    }
    yield {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": fields["code"].upper(),
        "domain": "roundhouse",
        "metadata": metadata,
    }
    if errors := fields.get("errors"):
        violations = [
            {"field": ".".join(one["pointer"].split("/")[1:]), "description": one["detail"]} for one in errors
        ]
        yield {"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": violations}
