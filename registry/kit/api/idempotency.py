"""Idempotency-Key: a POST that may be sent again, and is carried out once."""

import hashlib
import re
from collections.abc import Callable, Collection
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from django.db import transaction
from django.http import HttpResponse
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from registry.errors import BadIdempotencyKey
from registry.kit.api import ledger
from registry.kit.api.ledger import Answer, Claim
from registry.kit.api.parsers import check_length
from registry.kit.api.permissions import actor_of

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
_KEPT_HEADERS = ("Location", "ETag")
_STRING = re.compile(r'"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"')  # a structured field's (RFC 8941)
_BARE = re.compile(r"[\x21\x23-\x7e]+")

V = TypeVar("V", bound="GenericViewSet[Any]")
P = ParamSpec("P")
Handler = Callable[Concatenate[V, Request, P], HttpResponse]


def idempotent(
    *, forget: Collection[str] = (), digest: Callable[[Any], str] | None = None
) -> Callable[[Handler[V, P]], Handler[V, P]]:
    """Honour Idempotency-Key on a creating action.

    The work and the kept answer are one transaction: after a crash there are both or neither, and the key is free
    again when the lease ends. A refusal (4xx) is kept as well; after a 5xx the key is free at once.
    `forget` names fields that are not kept, such as a secret shown once: a replay answers null there. `digest` gives
    the SHA-256 of a body that the view has read already, because it is too large to be read here.
    """

    def decorate(handler: Handler[V, P]) -> Handler[V, P]:
        @wraps(handler)
        def run(view: V, request: Request, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
            key = read_key(request.headers.get(HEADER))
            if key is None:
                return handler(view, request, *args, **kwargs)
            fingerprint = _fingerprint(request, digest(view) if digest is not None else None)
            taken = ledger.claim(principal=_principal(request), key=key, fingerprint=fingerprint)
            if isinstance(taken, Answer):
                return _replay(taken)
            return _carry_out(view, taken, lambda: handler(view, request, *args, **kwargs), forget)

        run.is_idempotent = True  # type: ignore[attr-defined]  # the OpenAPI description asks
        return cast("Handler[V, P]", run)

    return decorate


def read_key(header: str | None) -> str | None:
    """Return the key, given as a structured-field string or bare; raise BadIdempotencyKey for anything else."""
    if header is None:
        return None
    text = header.strip()
    quoted = _STRING.fullmatch(text)
    key = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else text
    if not key or len(key) > 255 or not (quoted or _BARE.fullmatch(text)):
        raise BadIdempotencyKey
    return key


def _carry_out(
    view: "GenericViewSet[Any]", claim: Claim, work: Callable[[], HttpResponse], forget: Collection[str]
) -> HttpResponse:
    try:
        with transaction.atomic():
            response = work()
            claim.finish(_answer_from(response, forget))
            return response
    except Exception as error:  # noqa: BLE001 (whatever it was, DRF's handler turns it into the answer)
        refusal = view.handle_exception(error)
    if refusal.status_code >= 500 or refusal.status_code in {401, 403, 409, 429}:
        claim.release()  # another time the same request may well succeed
    else:
        claim.finish(_answer_from(refusal, forget))
    return refusal


def _answer_from(response: HttpResponse, forget: Collection[str]) -> Answer:
    headers = {name: response[name] for name in _KEPT_HEADERS if name in response}
    if not isinstance(response, Response):
        return Answer(
            response.status_code,
            response.content.decode(),
            {**headers, "Content-Type": response["Content-Type"]},
        )
    data = response.data
    if forget:
        data = {**data, **{name: None for name in forget if name in data}}
    return Answer(response.status_code, JSONRenderer().render(data).decode(), headers)


def _replay(answer: Answer) -> HttpResponse:
    response = HttpResponse(answer.body, status=answer.status, content_type="application/json")
    for name, value in answer.headers.items():
        response[name] = value
    response[REPLAYED] = "true"
    return response


def _principal(request: Request) -> str:
    actor = actor_of(request)
    return f"key:{actor.key_id}" if actor.key_id is not None else f"user:{actor.user_id}"


def _fingerprint(request: Request, digest: str | None) -> str:
    plain = request._request
    head = f"{plain.method} {plain.get_full_path()}\n".encode()
    if digest is not None:
        return hashlib.sha256(head + digest.encode()).hexdigest()
    check_length(plain)
    return hashlib.sha256(head + plain.body).hexdigest()
