"""Idempotency-Key: a POST that may be sent again but is carried out only once. Times come from the database's clock."""

import hashlib
import re
import uuid
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial, wraps
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.http import HttpResponse
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from registry.errors import BadIdempotencyKey, IdempotencyInFlight, IdempotencyMismatch
from registry.kit.api.models import IdempotencyRecord
from registry.kit.api.requests import actor_of, check_length
from registry.kit.clock import from_now

LEASE = timedelta(seconds=60)
KEPT = timedelta(hours=24)
HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
_KEPT_HEADERS = ("Location", "ETag")
_STRING = re.compile(r'"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"')  # a structured-field string (RFC 8941)
_BARE = re.compile(r"[\x21\x23-\x7e]+")

V = TypeVar("V", bound="GenericViewSet[Any]")
P = ParamSpec("P")
Handler = Callable[Concatenate[V, Request, P], HttpResponse]


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """The answer to a request, in a form that can be stored."""

    status: int
    body: str
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RequestClaim:
    """The right to run one request. If another runner takes it over, this one's work is rolled back."""

    record_id: int
    runner: str

    def finish(self, answer: KeptAnswer) -> None:
        """Store the answer. Call this in the transaction that did the work, so that both are kept or neither is."""
        mine = IdempotencyRecord.objects.filter(pk=self.record_id, runner=self.runner, status=None)
        if not mine.update(status=answer.status, headers=answer.headers, body=answer.body):
            raise IdempotencyInFlight

    def release(self) -> None:
        """Allow the next attempt immediately."""
        IdempotencyRecord.objects.filter(pk=self.record_id, runner=self.runner, status=None).delete()


def idempotent(
    *,
    forget: Collection[str] = (),
    digest: Callable[[Any], str] | None = None,
    prepare: Callable[[Any], None] = lambda view: None,
) -> Callable[[Handler[V, P]], Handler[V, P]]:
    """Honour Idempotency-Key on an action that creates something.

    The work and the stored answer are one transaction: after a crash both exist or neither does, and the key is free
    again when the lease ends. A refusal (4xx) is stored as well; after a 5xx the key is free immediately.
    `forget` names fields that are not stored, such as a secret shown once: they are null in a replay. `digest` returns
    the SHA-256 of a body that is too large to be read here, and that the view has already read. `prepare` does, before the
    transaction, what must not hold one open, such as asking a Model; after a crash it is done again.
    """

    def decorate(handler: Handler[V, P]) -> Handler[V, P]:
        @wraps(handler)
        def run(view: V, request: Request, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
            key = read_key(request.headers.get(HEADER))
            if key is None:
                prepare(view)
                return handler(view, request, *args, **kwargs)
            fingerprint = _fingerprint(request, digest(view) if digest is not None else None)
            claimed = claim(principal=_principal(request), key=key, fingerprint=fingerprint)
            if isinstance(claimed, KeptAnswer):
                return _replay(claimed)
            work = partial(handler, view, request, *args, **kwargs)
            return _carry_out(view, claimed, partial(prepare, view), work, forget)

        run.is_idempotent = True  # type: ignore[attr-defined]  # read by the OpenAPI description
        return cast("Handler[V, P]", run)

    return decorate


def read_key(header: str | None) -> str | None:
    """Return the key, a structured-field string or bare; raise BadIdempotencyKey for anything else."""
    if header is None:
        return None
    text = header.strip()
    quoted = _STRING.fullmatch(text)
    key = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else text
    if not key or len(key) > 255 or not (quoted or _BARE.fullmatch(text)):
        raise BadIdempotencyKey
    return key


def _carry_out(
    view: "GenericViewSet[Any]",
    claimed: RequestClaim,
    prepare: Callable[[], None],
    work: Callable[[], HttpResponse],
    forget: Collection[str],
) -> HttpResponse:
    try:
        prepare()
        with transaction.atomic():
            response = work()
            claimed.finish(_answer_from(response, forget))
            return response
    except Exception as error:  # noqa: BLE001 (DRF's handler turns any error into an answer)
        refusal = view.handle_exception(error)
    if refusal.status_code >= 500 or refusal.status_code in {401, 403, 409, 429}:
        claimed.release()  # the same request may succeed later
    else:
        claimed.finish(_answer_from(refusal, forget))
    return refusal


def _answer_from(response: HttpResponse, forget: Collection[str]) -> KeptAnswer:
    headers = {name: response[name] for name in _KEPT_HEADERS if name in response}
    if not isinstance(response, Response):
        return KeptAnswer(
            response.status_code,
            response.content.decode(),
            {**headers, "Content-Type": response["Content-Type"]},
        )
    data = response.data
    if forget:
        data = {**data, **{name: None for name in forget if name in data}}
    return KeptAnswer(response.status_code, JSONRenderer().render(data).decode(), headers)


def _replay(answer: KeptAnswer) -> HttpResponse:
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


def claim(*, principal: str, key: str, fingerprint: str) -> RequestClaim | KeptAnswer:
    """Return the right to run the request, or its stored answer. Raise if it is running, or the key belongs to another.

    1. An unused key is claimed by the unique constraint.
    2. A key that has expired, or whose runner was lost, is taken over by a conditional update.
    """
    runner = uuid.uuid4().hex
    fresh = {
        "fingerprint": fingerprint,
        "runner": runner,
        "leased_until": from_now(LEASE.total_seconds()),
        "expires_at": from_now(KEPT.total_seconds()),
    }
    try:
        with transaction.atomic():
            return RequestClaim(
                IdempotencyRecord.objects.create(principal=principal, key=key, **fresh).pk, runner
            )
    except IntegrityError:
        pass  # seen before
    seen = IdempotencyRecord.objects.filter(principal=principal, key=key)
    expired = Q(expires_at__lte=Now())
    lost = Q(status=None, leased_until__lte=Now(), fingerprint=fingerprint)
    if seen.filter(expired | lost).update(**fresh, status=None, headers={}, body=""):
        return RequestClaim(seen.get().pk, runner)
    record = seen.first()
    if record is None:
        raise IdempotencyInFlight  # its runner has just released it
    if record.fingerprint != fingerprint:
        raise IdempotencyMismatch
    if record.status is None:
        raise IdempotencyInFlight
    return KeptAnswer(record.status, record.body, record.headers)


def sweep() -> int:
    """Delete expired records."""
    deleted, _ = IdempotencyRecord.objects.filter(expires_at__lte=Now()).delete()
    return deleted
