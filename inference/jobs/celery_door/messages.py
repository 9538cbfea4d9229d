"""Messages as Celery writes them, read without Celery: bounded, and nothing in them is obeyed."""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn
from uuid import UUID

from inference.jobs.celery_door.errors import BadMessage

MAX_DEPTH = 32
_WRAPPING_BYTES = 64 * 2**10  # headers and properties
_TEXT = {None, "", "utf-8", "utf8", "us-ascii", "binary"}
_FOLLOW_UPS = ("callbacks", "errbacks", "chain", "chord")
_NAMED_AT_MOST = 100
_LOOK_INTO_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Message:
    """A task's id and its one argument."""

    task: str
    task_id: UUID
    envelope: Mapping[str, Any]


def raw_limit(body_bytes: int) -> int:
    """How large a whole message may be whose body has so many bytes: in transit a body is written in base64."""
    return body_bytes * 4 // 3 + _WRAPPING_BYTES


def read(raw: bytes, *, task: str, max_body_bytes: int) -> Message:
    """Read what was found in a queue; raise BadMessage."""
    if len(raw) > raw_limit(max_body_bytes):
        raise BadMessage(f"The message has {len(raw):,} bytes; its body may have {max_body_bytes:,}.")
    outer = _object(_json(raw, "message"), "message")
    headers = _object(outer.get("headers"), "headers")
    if headers.get("task") != task:
        raise BadMessage(f"The queue takes the task {task!r}, not {_short(headers.get('task'))}.")
    task_id = _task_id(headers.get("id"))
    if headers.get("eta"):
        raise BadMessage("An order is taken at once; it cannot have an `eta` or `countdown`.")
    return Message(task, task_id, _only_argument(_body(outer, headers, max_body_bytes)))


def task_id_in(raw: bytes) -> str:
    """The id of a message that could not be read, where it can be found nevertheless; else empty."""
    if len(raw) > _LOOK_INTO_BYTES:
        return ""
    try:
        return str(_task_id(json.loads(raw)["headers"]["id"]))
    except (BadMessage, ValueError, TypeError, KeyError, RecursionError):
        return ""


def _body(outer: Mapping[str, Any], headers: Mapping[str, Any], max_bytes: int) -> Any:
    if headers.get("compression"):
        raise BadMessage("The body is compressed; send it as it is.")
    if outer.get("content-type") != "application/json" or outer.get("content-encoding") not in _TEXT:
        raise BadMessage(f"The body is {_short(outer.get('content-type'))}; send it as JSON, in UTF-8.")
    body = outer.get("body")
    if not isinstance(body, str):
        raise BadMessage("The message has no body.")
    properties = _object(outer.get("properties"), "properties")
    try:
        data = (
            base64.b64decode(body, validate=True)
            if properties.get("body_encoding") == "base64"
            else body.encode()
        )
    except (binascii.Error, ValueError):
        raise BadMessage("The body is not valid base64.") from None
    if len(data) > max_bytes:
        raise BadMessage(f"The body has {len(data):,} bytes; at most {max_bytes:,} are accepted.")
    return _json(data, "body")


def _only_argument(body: Any) -> Mapping[str, Any]:
    if not isinstance(body, list) or len(body) != 3:
        raise BadMessage("The body is not that of Celery's message protocol 2.")
    args, kwargs, embed = body
    if embed and any(_object(embed, "third part of the body").get(name) for name in _FOLLOW_UPS):
        raise BadMessage(
            "`link`, `link_error`, chains and chords are not followed here; name a task in `on_done`."
        )
    if kwargs or not isinstance(args, list) or len(args) != 1:
        raise BadMessage("The task takes one argument, the envelope.")
    return _object(args[0], "envelope")


def _json(data: bytes, what: str) -> Any:
    try:
        value = json.loads(data, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        raise BadMessage(f"The {what} is not valid JSON: {_short(error)}.") from None
    _check_depth(value, what)
    return value


def _check_depth(value: Any, what: str) -> None:
    layer = [value]
    for _ in range(MAX_DEPTH):
        layer = [
            inner
            for outer in layer
            if isinstance(outer, (dict, list))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not layer:
            return
    raise BadMessage(f"The {what} is nested deeper than {MAX_DEPTH} levels.")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _object(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise BadMessage(f"The {what} is not an object.")
    return value


def _task_id(value: Any) -> UUID:
    try:
        found = UUID(value)
    except (ValueError, TypeError, AttributeError):
        found = None
    if found is None or str(found) != value:
        raise BadMessage(f"The task's id is {_short(value)}; it must be a UUID, as Celery makes them.")
    return found


def _short(value: object) -> str:
    text = str(value) if isinstance(value, Exception) else repr(value)
    return text if len(text) <= _NAMED_AT_MOST else f"{text[:_NAMED_AT_MOST]}…"
