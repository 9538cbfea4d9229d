"""Accepting a job: what is asked for is checked, its version is fixed, and its row is written before anybody is told."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import orjson
from django.db import IntegrityError, transaction

from inference.jobs import dispatch, quotas
from inference.jobs.chunk_size import chunk_rows_for
from inference.jobs.ending import kept_until
from inference.jobs.errors import BadOrder, JobIdTaken
from inference.jobs.models import MAX_NAME, Chunk, Format, Job, Source
from inference.jobs.on_done import check_on_done
from inference.rows.contract import Contract
from inference.rows.errors import RowsError
from inference.serving.routes import Route, read_route
from inference.serving.services import check_approved
from registry.access.key_ring import Principal
from registry.access.policies import Right
from registry.catalogue.models import Version
from registry.kit.actors import Actor
from registry.kit.text import storable

MAX_INLINE_ROWS, MAX_INLINE_BYTES = 10_000, 8 * 2**20
_NOTHING: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Order:
    """What a job is asked to do. Rows come with the order, or are in a file that a store holds."""

    model: str
    version: int | None = None
    alias: str | None = None
    rows: Sequence[Mapping[str, Any]] | None = None
    input_ref: str = ""  # as inference.jobs.stores names it
    input_bytes: int = 0
    input_sha256: str = ""  # where known: a file that is sent again under another name is the same order
    source: Source = Source.ROWS
    input_format: Format = Format.JSONL
    is_gzipped: bool = False
    output_format: Format | None = None  # None: the input's
    output_ref: str = ""
    contract: Mapping[str, Any] = field(default_factory=dict)
    on_done: Mapping[str, str] | None = None
    job_id: UUID | None = None  # a sender's own: the same order under it is the same job

    @property
    def digest(self) -> str:
        """Tells this order from another under the same id."""
        what = {
            "version": self.version,
            "alias": self.alias,
            "model": self.model,
            "rows": self.rows,
            "input": self.input_sha256 or self.input_ref,
            "input_format": self.input_format,
            "is_gzipped": self.is_gzipped,
            "output_format": self.output_format,
            "output_ref": self.output_ref,
            "contract": self.contract,
            "on_done": self.on_done,
        }
        text = json.dumps(what, sort_keys=True, default=str)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def accept(order: Order, *, by: Actor, principal: Principal | None) -> Job:
    """Write a job down; when this returns, it will be done or its row will say why not.

    1. The actor must be allowed to ask this Model for predictions, this version, and have room for another job.
    2. The version is who would answer now: the number asked for, the alias's, or the split's choice.
    3. Under an id of the sender's own the same order gives the same job, another one JobIdTaken.
    """
    route = read_route(order.model, within=by.models)
    by.check(Right.PREDICT, model_id=route.model_id)
    if (known := _known(order, by)) is not None:
        return known
    contract = _checked_contract(order)
    check_on_done(order.on_done)
    version = _version_for(order, route, principal, by)
    rows_bytes = _checked_rows(order)
    try:
        with transaction.atomic():
            quotas.check_room(by, rows=len(order.rows or ()), input_bytes=rows_bytes or order.input_bytes)
            job = _write(order, version, contract, rows_bytes or order.input_bytes, by)
            dispatch.hint(version.model)
    except IntegrityError:
        # The same id came in twice at once; the other one was faster.
        known = _known(order, by)
        if known is None:
            raise
        return known
    return job


def _known(order: Order, by: Actor) -> Job | None:
    if order.job_id is None:
        return None
    job = Job.objects.select_related("model", "version").filter(pk=order.job_id).first()
    if job is None:
        return None
    is_same = job.order_digest == order.digest and job.tenant_id == by.tenant_id and job.user_id == by.user_id
    if not is_same:
        raise JobIdTaken(f"The id {order.job_id} stands for another job; choose a new one.")
    return job


def _checked_contract(order: Order) -> Contract:
    try:
        return Contract.from_json(order.contract)
    except RowsError as error:
        raise BadOrder(str(error)) from error


def _checked_rows(order: Order) -> int:
    """The size of rows that came with the order, 0 where they are in a file."""
    if (order.rows is None) == (not order.input_ref):
        raise BadOrder("Send `rows`, or a file: one of them.")
    if order.rows is None:
        return 0
    if not 0 < len(order.rows) <= MAX_INLINE_ROWS:
        raise BadOrder(
            f"`rows` takes 1 to {MAX_INLINE_ROWS:,} rows, not {len(order.rows):,}; send more as a file."
        )
    if not all(isinstance(row, Mapping) for row in order.rows):
        raise BadOrder("Each of `rows` must be an object.")
    try:
        size = len(orjson.dumps(list(order.rows)))
    except (TypeError, ValueError) as error:
        raise BadOrder(f"`rows` cannot be written as JSON: {error}.") from None
    if size > MAX_INLINE_BYTES:
        raise BadOrder(f"`rows` have {size:,} bytes; at most {MAX_INLINE_BYTES:,} fit. Send them as a file.")
    return size


def _version_for(order: Order, route: Route, principal: Principal | None, by: Actor) -> Version:
    key = route.key_of(tenant=principal.tenant if principal is not None else None)
    target = route.choose(key, version=order.version, alias=order.alias)
    may_ask_any = by.may(Right.PREDICT_UNAPPROVED, model_id=route.model_id)
    check_approved(route.slug, target, may_ask_any=may_ask_any)
    return Version.objects.select_related("model").get(pk=target.version_id)


def _write(order: Order, version: Version, contract: Contract, input_bytes: int, by: Actor) -> Job:
    chunk_rows = chunk_rows_for(version)
    job = Job.objects.create(
        id=order.job_id or uuid4(),
        model=version.model,
        version=version,
        made_by=storable(by.name, MAX_NAME),
        user_id=by.user_id,
        key_id=by.key_id,
        tenant_id=by.tenant_id,
        order_digest=order.digest if order.job_id is not None else "",
        source=order.source,
        input_format=order.input_format,
        is_gzipped=order.is_gzipped,
        input_ref=order.input_ref,
        input_bytes=input_bytes,
        output_format=order.output_format or order.input_format,
        output_ref=order.output_ref,
        contract=contract.to_json(),
        on_done=order.on_done,
        chunk_rows=chunk_rows,
        expires_at=kept_until(),
    )
    if order.rows is None:
        Chunk.objects.create(job=job, is_plan=True, index=0, first_row=1, rows=0)
        return job
    chunks = Chunk.objects.bulk_create(_cut(job, order.rows, chunk_rows), batch_size=500)
    Job.objects.filter(pk=job.pk).update(
        is_planned=True, rows_total=len(order.rows), chunks_total=len(chunks)
    )
    job.refresh_from_db()
    return job


def _cut(job: Job, rows: Sequence[Mapping[str, Any]], size: int) -> Iterator[Chunk]:
    for index, first in enumerate(range(0, len(rows), size)):
        part = list(rows[first : first + size])
        yield Chunk(job=job, index=index, first_row=first + 1, rows=len(part), inputs=part)
