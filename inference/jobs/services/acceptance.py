"""Accepting a job: check it, fix its version and chunk size, and write its row before any message is sent."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import uuid4

import orjson
from django.db import IntegrityError, transaction

from inference.jobs import dispatch, policies
from inference.jobs.errors import BadJob, JobIdTaken
from inference.jobs.kinds import JobKind, JobTerms, SubmittedJob, kind_named
from inference.jobs.models import MAX_NAME, Chunk, Format, Job
from inference.jobs.policies import check_on_done
from inference.jobs.services.completion import expiry_time
from inference.rows.contract import Contract
from inference.rows.errors import RowsError
from inference.rows.files import FileFormat
from registry.access.key_ring import Principal
from registry.kit.actors import Actor
from registry.kit.text import storable

MAX_INLINE_ROWS, MAX_INLINE_BYTES = 10_000, 8 * 2**20


def accept(submitted: SubmittedJob, *, by: Actor, principal: Principal | None) -> Job:
    """Write the job. From then on, the job is either completed, or its row says why not.

    1. The actor must have the right that the kind of job needs, and quota for another job.
    2. What the kind fixes is fixed now, such as the version.
    3. The same job sent twice with the sender's own id is accepted once; another job with that id raises JobIdTaken.
    """
    kind = kind_named(submitted.kind)
    kind.check_may_submit(submitted, by)
    if (existing := _existing_job(submitted, by)) is not None:
        return existing
    contract = _checked_contract(submitted, kind)
    check_on_done(submitted.on_done)
    terms = kind.terms(submitted, by=by, principal=principal)
    rows_bytes = _checked_rows(submitted)
    try:
        with transaction.atomic():
            policies.check_quota(
                by, rows=len(submitted.rows or ()), input_bytes=rows_bytes or submitted.input_bytes
            )
            job = _create_job(submitted, terms, contract, rows_bytes or submitted.input_bytes, by)
            dispatch.hint(job.pool)
    except IntegrityError:
        # The same ID was sent twice at the same time, and the other request came first.
        existing = _existing_job(submitted, by)
        if existing is None:
            raise
        return existing
    return job


def _existing_job(submitted: SubmittedJob, by: Actor) -> Job | None:
    if submitted.job_id is None:
        return None
    job = Job.objects.select_related("model", "version").filter(pk=submitted.job_id).first()
    if job is None:
        return None
    is_same = (
        job.order_digest == submitted.digest and job.tenant_id == by.tenant_id and job.user_id == by.user_id
    )
    if not is_same:
        raise JobIdTaken(f"The id {submitted.job_id} belongs to another job; choose a new one.")
    return job


def _checked_contract(submitted: SubmittedJob, kind: JobKind) -> Contract:
    try:
        contract = Contract.from_json({**kind.contract_defaults, **submitted.contract})
        return contract.for_format(FileFormat(submitted.input_format))
    except RowsError as error:
        raise BadJob(str(error)) from error


def _checked_rows(submitted: SubmittedJob) -> int:
    """The size of the included rows in bytes, 0 if they are in a file."""
    if (submitted.rows is None) == (not submitted.input_ref):
        raise BadJob("Send either `rows` or a file.")
    if submitted.rows is None:
        return 0
    if not 0 < len(submitted.rows) <= MAX_INLINE_ROWS:
        raise BadJob(
            f"`rows` must have 1 to {MAX_INLINE_ROWS:,} rows, not {len(submitted.rows):,}; send more as a file."
        )
    if not all(isinstance(row, Mapping) for row in submitted.rows):
        raise BadJob("Each item of `rows` must be an object.")
    try:
        size = len(orjson.dumps(list(submitted.rows)))
    except (TypeError, ValueError) as error:
        raise BadJob(f"`rows` cannot be written as JSON: {error}.") from None
    if size > MAX_INLINE_BYTES:
        raise BadJob(f"`rows` has {size:,} bytes; the limit is {MAX_INLINE_BYTES:,}. Send them as a file.")
    return size


def _create_job(
    submitted: SubmittedJob, terms: JobTerms, contract: Contract, input_bytes: int, by: Actor
) -> Job:
    job = Job.objects.create(
        id=submitted.job_id or uuid4(),
        kind=submitted.kind,
        model=terms.version.model if terms.version is not None else None,
        version=terms.version,
        options=dict(terms.options),
        made_by=storable(by.name, MAX_NAME),
        user_id=by.user_id,
        key_id=by.key_id,
        tenant_id=by.tenant_id,
        order_digest=submitted.digest if submitted.job_id is not None else "",
        source=submitted.source,
        input_format=submitted.input_format,
        is_gzipped=submitted.is_gzipped,
        input_ref=submitted.input_ref,
        input_bytes=input_bytes,
        output_format=submitted.output_format or _result_format(submitted.input_format),
        output_ref=submitted.output_ref,
        contract=contract.to_json(),
        on_done=submitted.on_done,
        chunk_rows=terms.chunk_rows,
        expires_at=expiry_time(),
    )
    if submitted.rows is None:
        Chunk.objects.create(job=job, is_plan=True, index=0, first_row=1, rows=0)
        return job
    chunks = Chunk.objects.bulk_create(_cut_chunks(job, submitted.rows, terms.chunk_rows), batch_size=500)
    Job.objects.filter(pk=job.pk).update(
        is_planned=True, rows_total=len(submitted.rows), chunks_total=len(chunks)
    )
    job.refresh_from_db()
    return job


def _result_format(input_format: Format) -> Format:
    return Format.JSONL if input_format == Format.ZIP else input_format


def _cut_chunks(job: Job, rows: Sequence[Mapping[str, Any]], size: int) -> Iterator[Chunk]:
    for index, first in enumerate(range(0, len(rows), size)):
        part = list(rows[first : first + size])
        yield Chunk(job=job, index=index, first_row=first + 1, rows=len(part), inputs=part)
