"""Moderation for OpenAI's clients: their requests, their answers, and their errors."""

import re
from collections.abc import Mapping
from typing import Any

import orjson
from django.http import HttpResponse

from inference.doors.rest.bodies import BodyKind, read_fields, refuse_encoding
from inference.doors.wire import Environ, HttpReply
from moderation.deciding import process
from moderation.deciding.contents import MAX_CONTENTS, Content, read_content
from moderation.deciding.policy_table import PublishedPolicy
from moderation.deciding.services import Decided
from moderation.doors.categories.protocols import ForeignProtocol
from moderation.doors.categories.scores import CategoryScore, score_categories
from moderation.doors.door import JSON_HEADERS, Asked, JsonDoor
from moderation.doors.foreign import our_part, rendered
from moderation.errors import InvalidContent, UnknownPolicy
from moderation.policies.rules import Ruling
from registry.access.key_ring import Principal

_FIELDS = ("input", "model", "roundhouse")
_OUR_FIELDS = ("content_id", "author_id", "context", "language", "thread", "url", "title", "do_not_store")
_THEIR_MODELS = re.compile(r"(?:omni|text)-moderation(?:-[\w.-]+)?")
_POINTER = re.compile(r"#/(\w+)(?:/(\d+))?")


class OpenAiModerationDoor(JsonDoor):
    def longest_body(self, environ: Environ) -> int:
        refuse_encoding(environ.get("HTTP_CONTENT_ENCODING", ""))
        return super().longest_body(environ)

    def read(self, environ: Environ, body: bytes) -> Asked:
        fields = read_fields(BodyKind.JSON, environ, body)
        if not isinstance(fields, dict):
            raise InvalidContent("The body is an object with `input`.")
        for name in fields:
            if name not in _FIELDS:
                raise InvalidContent(f"There is no field `{name[:80]}`; send `input` and `model`.", name)
        if not isinstance(fields.get("model"), str | None):
            raise InvalidContent("`model` is the name of a policy, or of one of OpenAI's models.", "model")
        return Asked(_read_input(fields.get("input"), _our_fields(fields.get("roundhouse"))), fields)

    def choose_policy(self, asked: Asked, by: Principal) -> PublishedPolicy | None:
        name = asked.fields.get("model") or ""
        policy = process.started().table.named(name, by.tenant_id)
        if policy is None and name and not _THEIR_MODELS.fullmatch(name):
            raise UnknownPolicy(
                f"There is no policy {name[:64]!r}. Leave `model` out for the policy of the key's tenant."
            )
        return policy

    def write(self, asked: Asked, decided: list[Decided]) -> HttpReply:
        first = decided[0]
        answer = {
            "id": f"modr-{first.decision.request_id}",
            "model": first.policy.name,
            "results": [_result(one) for one in decided],
        }
        headers = [*JSON_HEADERS, ("X-Request-ID", first.decision.request_id)]
        return HttpReply(headers, orjson.dumps(answer))

    def render_problem(self, problem: HttpResponse) -> HttpResponse:
        fields = orjson.loads(problem.content)
        status = 400 if problem.status_code == 422 else problem.status_code
        error = {
            "message": fields["detail"],
            "type": _type_of(status),
            "param": _param(fields),
            "code": fields["code"],
        }
        return rendered(problem, {"error": error}, status=status)


OPENAI = OpenAiModerationDoor()


def _our_fields(fields: Any) -> Mapping[str, Any]:
    """What this protocol has no fields for. The stock client sends it as `extra_body`."""
    if fields is None:
        return {}
    if not isinstance(fields, dict):
        raise InvalidContent("`roundhouse` is an object.", "roundhouse")
    for name in fields:
        if name not in _OUR_FIELDS:
            known = ", ".join(f"`{one}`" for one in _OUR_FIELDS)
            raise InvalidContent(
                f"`roundhouse` has no field `{name[:80]}`; its fields are {known}.", "roundhouse"
            )
    return fields


def _read_input(given: Any, ours: Mapping[str, Any]) -> list[Content]:
    """One content for a text, or for a list of parts; one for each text of a list."""
    if isinstance(given, str):
        return [_content({"text": given}, ours, ("input",))]
    if not isinstance(given, list) or not given:
        raise InvalidContent("`input` is a text, a list of texts, or a list of parts with a `type`.", "input")
    if all(isinstance(one, dict) for one in given):
        return [_content(_join_parts(given), ours, ("input",))]
    if len(given) > MAX_CONTENTS:
        raise InvalidContent(f"`input` may have at most {MAX_CONTENTS} texts; use a job for more.", "input")
    if "content_id" in ours:
        raise InvalidContent("`content_id` is of one content; send one text.", "roundhouse")
    for number, one in enumerate(given):
        if not isinstance(one, str):
            raise InvalidContent("Each element of `input` is a text.", "input", number)
    return [_content({"text": one}, ours, ("input", number)) for number, one in enumerate(given)]


def _content(fields: Mapping[str, Any], ours: Mapping[str, Any], place: tuple[str | int, ...]) -> Content:
    return read_content({**ours, **fields}, place)


def _join_parts(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Texts, one below the other, and the addresses of pictures."""
    texts, urls = [], []
    for number, part in enumerate(parts):
        match part:
            case {"type": "text", "text": str(text)}:
                texts.append(text)
            case {"type": "image_url", "image_url": {"url": str(url)}}:
                urls.append(url)
            case _:
                raise InvalidContent(
                    'A part is {"type": "text", "text": …} or {"type": "image_url", "image_url": {"url": …}}.',
                    "input",
                    number,
                )
    return {"text": "\n".join(texts), "image_urls": urls}


def _result(decided: Decided) -> dict[str, Any]:
    scores = score_categories(ForeignProtocol.OPENAI, decided)
    return {
        "flagged": decided.judgement.ruling is not Ruling.ALLOW,
        "categories": {name: score.is_violated for name, score in scores.items()},
        "category_scores": {name: _score(score) for name, score in scores.items()},
        "category_applied_input_types": {name: sorted(score.kinds) for name, score in scores.items()},
        "roundhouse": our_part(decided),
    }


def _score(score: CategoryScore) -> float | None:
    """Nothing if a detector that the category needs failed: a low number would say that all is well."""
    return score.score if score.is_known else None


def _type_of(status: int) -> str:
    if status == 429:
        return "requests"
    return "server_error" if status >= 500 else "invalid_request_error"


def _param(fields: Mapping[str, Any]) -> str | None:
    """The field that is wrong, as these clients name it: `input[3]`."""
    errors = fields.get("errors") or [{}]
    match = _POINTER.match(errors[0].get("pointer") or "")
    if match is None:
        return None
    return f"{match[1]}[{match[2]}]" if match[2] else match[1]
