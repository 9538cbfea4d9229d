"""Moderation in bulk: a kind of job whose rows are contents and whose results are decisions."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple, cast

import numpy as np
import orjson

from inference.engine.combiner import Priority
from inference.jobs.kinds import ChunkFailed, HeldWork, JobKind, Outputs
from inference.jobs.models import Job
from inference.jobs.running.predictor import batch_parts
from inference.rows import RowBatch
from inference.serving import runtime
from inference.tensors.signature import Signature, TensorSpec
from moderation.deciding import process
from moderation.deciding.answers import problem_of, safe_of
from moderation.deciding.contents import Content, read_content
from moderation.deciding.services import Decided, decide_contents
from moderation.errors import InvalidContent, NoPolicy, WritesBehind
from moderation.rights import MODERATE_SCOPE, ModerationRight
from registry.access.key_ring import Principal
from registry.catalogue.models import Version

_TEXTS = ("text", "title", "content_id", "author_id", "context", "language", "url", "thread")
_COLUMNS = (*_TEXTS, "image_url", "image", "do_not_store")
_RESULTS = ("request_id", "decision", "safe", "violations", "problems", "held", "policy")
_FLAGS = {"true": True, "1": True, "false": False, "0": False}

_WITHIN_S = 60.0  # to decide about one batch
_QUIET_S = 3 * _WITHIN_S  # until a worker that says nothing is replaced
_PAUSE_S, _MAX_PAUSES = 0.2, 1_500  # while decisions wait for the database
_TOGETHER = 256  # contents; detectors are asked about all of them at once
_AT_ONCE = 3  # so many times; while decisions of one are written, detectors are asked about the next
_BYTES_TOGETHER = 16 * 2**20
_URLS_TOGETHER = 16  # fetched within the time of a batch, even if hosts are slow


def _signature() -> Signature:
    inputs = tuple(TensorSpec(name, "BYTES", (None,), optional=True) for name in _COLUMNS)
    outputs = tuple(TensorSpec(name, "BYTES", (None,)) for name in _RESULTS)
    return Signature(
        inputs,
        (*outputs, TensorSpec("policy_revision", "INT64", (None,))),
        json_outputs=frozenset({"safe", "violations", "problems", "held"}),
        binary_inputs=frozenset({"image"}),
        json_inputs=frozenset({"do_not_store"}),
        id_inputs=frozenset({"content_id", "author_id"}),
        may_lack=frozenset(_COLUMNS),
    )


class ModerationJobs(JobKind):
    """Decisions are made and stored as for a request of the job's key, by the policies in force while the job runs."""

    title = "moderation"
    right = ModerationRight.MODERATE
    chunk_rows = 2_048
    contract_defaults = {"missing": "nan"}  # any field may be missing

    def signatures(self, version: Version | None) -> tuple[Signature, ...]:
        return (_signature(),)

    def open(self, job: Job, signature: Signature, held: HeldWork) -> "BulkModerator":
        return BulkModerator(_principal_of(job), held)


def _principal_of(job: Job) -> Principal:
    """The job's key with its scopes, or the person who submitted it, who has no tenant."""
    scopes = job.key.scopes if job.key is not None else [MODERATE_SCOPE]
    return Principal(
        key_id=cast("int", job.key_id),  # None is stored for people
        name=job.made_by,
        tenant_id=cast("int", job.tenant_id),
        tenant=job.tenant.slug if job.tenant is not None else "",
        scopes=frozenset(scopes),
        models=None,
        expires_at=None,
    )


class _BegunPart(NamedTuple):
    batch: RowBatch
    contents: Sequence[Content]
    deciding: "Future[list[Decided]]"


class BulkModerator:
    """Decides about the rows of a chunk, with all detectors at bulk priority."""

    batch_rows = 8 * _TOGETHER

    def __init__(self, by: Principal, held: HeldWork) -> None:
        self._by, self._held = by, held

    def answer(self, batch: RowBatch) -> Iterator[tuple[RowBatch, Outputs]]:
        begun: deque[_BegunPart] = deque()
        for part in _parts(batch):
            contents, good = self._read(part)
            if not contents:
                yield good, {}
                continue
            begun.append(_BegunPart(good, contents, self._begin(contents)))
            if len(begun) == _AT_ONCE:
                yield self._finish(begun.popleft())
        while begun:
            yield self._finish(begun.popleft())

    def _read(self, batch: RowBatch) -> tuple[list[Content], RowBatch]:
        """The contents, and the rows without those that are none, or for which there is no policy."""
        contents: list[Content] = []
        reasons: dict[int, str] = {}
        table = process.started().table
        for place in range(len(batch.rows)):
            try:
                content = read_content(_fields(batch, place))
                table.find(self._by.tenant_id, content.context)
                contents.append(content)
            except (InvalidContent, NoPolicy) as error:
                reasons[place] = str(error)
        return contents, batch.without(reasons) if reasons else batch

    def _begin(self, contents: Sequence[Content]) -> "Future[list[Decided]]":
        self._held.note_progress(next_within_s=_QUIET_S)
        deciding = decide_contents(contents, by=self._by, within_s=_WITHIN_S, priority=Priority.BULK)
        return runtime.started().loop.begin(deciding)

    def _finish(self, part: "_BegunPart") -> tuple[RowBatch, Outputs]:
        return part.batch, _outputs(self._result(part))

    def _result(self, part: "_BegunPart") -> list[Decided]:
        deciding = part.deciding
        for _ in range(_MAX_PAUSES):
            try:
                return deciding.result()
            except WritesBehind:
                self._held.is_over.wait(_PAUSE_S)
                deciding = self._begin(part.contents)
            except NoPolicy as error:  # it was retired this moment
                raise ChunkFailed(str(error)) from error
        raise ChunkFailed("The database did not take any decisions for minutes.")


def _parts(batch: RowBatch) -> Iterator[RowBatch]:
    for part in batch_parts(batch, _BYTES_TOGETHER):
        most = _URLS_TOGETHER if _has_urls(part) else _TOGETHER
        while len(part.rows) > most:
            first, part = part.split_at(most)
            yield first
        yield part


def _has_urls(batch: RowBatch) -> bool:
    return any(url is not None for url in batch.tensors.get("image_url", ()))


def _fields(batch: RowBatch, place: int) -> dict[str, Any]:
    """The fields of a row that are not empty."""
    fields = {name: tensor[place] for name, tensor in batch.tensors.items() if tensor[place] is not None}
    flag = fields.get("do_not_store")
    if flag is not None:
        fields["do_not_store"] = _FLAGS.get(str(flag).lower(), flag)
    return fields


def _outputs(decided: Sequence[Decided]) -> Outputs:
    rows = [_result(one) for one in decided]
    columns: dict[str, Any] = {}
    for name, values in zip(_RESULTS, zip(*rows, strict=True), strict=True):
        columns[name] = np.empty(len(rows), object)
        columns[name][:] = values
    columns["policy_revision"] = np.array([one.policy.number for one in decided], np.int64)
    return columns


def _result(one: Decided) -> tuple[str, ...]:
    decision = one.decision
    problems = [problem_of(problem) for problem in one.judgement.problems]
    return (
        decision.request_id,
        decision.ruling,
        _json(safe_of(decision)),
        _json(decision.codes),
        _json(problems),
        _json(decision.is_held),
        one.policy.name,
    )


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
