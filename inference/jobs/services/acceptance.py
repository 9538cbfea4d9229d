"""Accepting a job: check it, fix its version and chunk size, and write its row before any message is sent."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import orjson
from django.db import IntegrityError, transaction

from inference.checks.proofs import merged_rows
from inference.engine.batch_proof import BatchProof
from inference.jobs import dispatch, policies
from inference.jobs.errors import BadJob, JobIdTaken
from inference.jobs.models import MAX_NAME, Chunk, Format, InputSource, Job
from inference.jobs.policies import check_on_done
from inference.jobs.services.completion import expiry_time
from inference.rows.contract import Contract
from inference.rows.errors import RowsError
from inference.rows.files import FileFormat
from inference.serving.routes import Route, read_route
from inference.serving.services import check_approved
from registry.access.key_ring import Principal
from registry.access.policies import Right
from registry.catalogue.models import Version
from registry.catalogue.selectors import current_serving
from registry.intake.checklist.models import CheckLine
from registry.intake.checklist.selectors import last_facts
from registry.kit.actors import Actor
from registry.kit.text import storable

MAX_INLINE_ROWS, MAX_INLINE_BYTES = 10_000, 8 * 2**20
CHUNK_S = 1.5
MAX_CHUNK_ROWS = 20_000  # above this, reading and writing take longer than the model
_UNKNOWN_ROW_S = 0.001


@dataclass(frozen=True, slots=True)
class SubmittedJob:
    """A job as its sender describes it. The rows are included, or are in the file that `input_ref` names."""

    model: str
    version: int | None = None
    alias: str | None = None
    rows: Sequence[Mapping[str, Any]] | None = None
    input_ref: str = ""  # see inference.jobs.storage
    input_bytes: int = 0
    input_sha256: str = ""  # if known: the same file sent again under another name is the same job
    source: InputSource = InputSource.ROWS
    input_format: Format = Format.JSONL
    is_gzipped: bool = False
    output_format: Format | None = None  # None: same as the input; JSONL for a zip
    output_ref: str = ""
    contract: Mapping[str, Any] = field(default_factory=dict)
    on_done: Mapping[str, str] | None = None
    job_id: UUID | None = None  # chosen by the sender, so that sending the same job twice is safe

    @property
    def digest(self) -> str:
        """Distinguishes this job from a different one with the same ID. Stored: do not change what it covers."""
        content = {
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
        text = json.dumps(content, sort_keys=True, default=str)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def accept(submitted: SubmittedJob, *, by: Actor, principal: Principal | None) -> Job:
    """Write the job. From then on, the job is either completed, or its row says why not.

    1. The actor must have the right to predict with this Model and version, and quota for another job.
    2. The version is the one that would answer now: the given number, the alias, or the split's choice.
    3. The same job sent twice with the sender's own id is accepted once; another job with that id raises JobIdTaken.
    """
    route = read_route(submitted.model, within=by.models)
    by.check(Right.PREDICT, model_id=route.model_id)
    if (existing := _existing_job(submitted, by)) is not None:
        return existing
    contract = _checked_contract(submitted)
    check_on_done(submitted.on_done)
    version = _choose_version(submitted, route, principal, by)
    rows_bytes = _checked_rows(submitted)
    try:
        with transaction.atomic():
            policies.check_quota(
                by, rows=len(submitted.rows or ()), input_bytes=rows_bytes or submitted.input_bytes
            )
            job = _create_job(submitted, version, contract, rows_bytes or submitted.input_bytes, by)
            dispatch.hint(version.model)
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


def _checked_contract(submitted: SubmittedJob) -> Contract:
    try:
        return Contract.from_json(submitted.contract).for_format(FileFormat(submitted.input_format))
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


def _choose_version(submitted: SubmittedJob, route: Route, principal: Principal | None, by: Actor) -> Version:
    key = route.key_of(tenant=principal.tenant if principal is not None else None)
    target = route.choose(key, version=submitted.version, alias=submitted.alias)
    may_ask_any = by.may(Right.PREDICT_UNAPPROVED, model_id=route.model_id)
    check_approved(route.slug, target, may_ask_any=may_ask_any)
    return Version.objects.select_related("model").get(pk=target.version_id)


def _create_job(
    submitted: SubmittedJob, version: Version, contract: Contract, input_bytes: int, by: Actor
) -> Job:
    chunk_rows = chunk_rows_for(version)
    job = Job.objects.create(
        id=submitted.job_id or uuid4(),
        model=version.model,
        version=version,
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
        chunk_rows=chunk_rows,
        expires_at=expiry_time(),
    )
    if submitted.rows is None:
        Chunk.objects.create(job=job, is_plan=True, index=0, first_row=1, rows=0)
        return job
    chunks = Chunk.objects.bulk_create(_cut_chunks(job, submitted.rows, chunk_rows), batch_size=500)
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


def chunk_rows_for(version: Version) -> int:
    """As many whole batches as take about CHUNK_S, according to the version's check; at least one."""
    batch_rows = _merged_rows(version)
    batches = max(1, round(CHUNK_S / (batch_rows * _row_seconds(version, batch_rows))))
    return max(batch_rows, min(batches * batch_rows, MAX_CHUNK_ROWS // batch_rows * batch_rows))


def _merged_rows(version: Version) -> int:
    """How many rows share a run, according to the batch proof of the last check."""
    values = current_serving(version.pk)
    proven = last_facts(version, "batching").get("rows") or 1
    return merged_rows(values, BatchProof(int(proven), "", ""))


def _row_seconds(version: Version, batch_rows: int) -> float:
    """Seconds per row in the largest measured batch that is not larger than those to be run."""
    warmed = CheckLine.objects.filter(run__version=version, step="warmup", facts__has_key="profile")
    facts = warmed.order_by("-pk").values_list("facts", flat=True).first() or {}
    measured = [(rows, ms) for rows, ms in facts.get("profile", ()) if rows <= batch_rows]
    if not measured:
        return _UNKNOWN_ROW_S
    rows, ms = max(measured)
    return max(float(ms), 0.001) / 1000 / int(rows)
