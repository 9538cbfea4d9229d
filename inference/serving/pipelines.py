"""The pipelines of this process's versions, and how a request in words is answered with one."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import numpy as np
import orjson
import structlog

from inference.checks.version_tasks import pipeline_of
from inference.engine.errors import LoadFailed
from inference.engine.loop import complete
from inference.engine.requests import EngineAnswer
from inference.errors import WrongTask
from inference.pipelines.errors import BadTaskConfig, InvalidItem
from inference.pipelines.pipeline import Encoded, ItemPipeline, Pipeline, RowGroup, rows_of
from inference.serving.calls import Call, Inputs, Items
from inference.serving.item_urls import NO_END, Hold, RequestEnd, with_fetched
from inference.serving.off_loop import decoding_off_loop, off_loop, on_loop
from inference.tensors.arrays import Tensors, byte_size
from inference.tensors.prepare import check_outputs, prepare
from inference.tensors.signature import Signature
from registry.catalogue.models import Version
from registry.errors import ArtifactMissing
from registry.kit.loops import DATABASE_AWAY

log = structlog.get_logger("roundhouse.pipelines")

# More of any of these would hold up the loop for more than about a millisecond.
_LOOP_CHARACTERS = 2_000
_LOOP_VALUES = 200  # in columns
_CHARACTERS_OF_A_VALUE = 20  # what a number or an object costs, compared with a text
_LOOP_ITEMS = 8
_LOOP_ELEMENTS = 20_000  # of the model's outputs

# Of one request. More would fill the version's queue, and its other callers would be turned away.
_GROUPS_AT_ONCE = 4
_ROWS_AT_ONCE = 1_024
_RUN_BYTES_AT_ONCE = 64 << 20  # of rows that were small and become large
_BYTES_OF_JSON = 30  # that Python's objects take at most, for each character
_TRY_AGAIN_AFTER_S = 10.0  # a failed build reads and parses up to 64 MiB


class Pipelines:
    """A version's pipeline is built once, by one thread, and kept while its version is in memory.

    A failed build is repeated after some seconds at the earliest; until then callers get its reason.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._building: dict[int, threading.Lock] = {}
        self._built: dict[int, Pipeline] = {}
        self._failed: dict[int, tuple[float, str]] = {}  # when it may be tried again, and why it failed

    def known(self, version_id: int) -> Pipeline | None:
        return self._built.get(version_id)

    def failure(self, version_id: int) -> str | None:
        """Why the newest attempt to build it failed."""
        failed = self._failed.get(version_id)
        return failed[1] if failed is not None else None

    def get(self, version_id: int, signature: Signature) -> Pipeline:
        """The version's pipeline; reads its files the first time. Raises LoadFailed."""
        with self._lock:
            building = self._building.setdefault(version_id, threading.Lock())
        with building:
            known = self._built.get(version_id)
            return known if known is not None else self._try_to_build(version_id, signature)

    def _try_to_build(self, version_id: int, signature: Signature) -> Pipeline:
        try_at, reason = self._failed.get(version_id, (0.0, ""))
        if time.monotonic() < try_at:
            raise LoadFailed(reason)
        try:
            built = _build(version_id, signature)
        except LoadFailed as error:
            self._failed[version_id] = (time.monotonic() + _TRY_AGAIN_AFTER_S, str(error))
            log.error("a version's task cannot be read", version_id=version_id, exc_info=error)
            raise
        self._built[version_id] = built
        self._failed.pop(version_id, None)
        return built

    def keep_only(self, is_needed: Callable[[int], bool]) -> None:
        """Forget the pipelines of other versions: a tokenizer takes some megabytes."""
        for known in (self._built, self._failed):
            for version_id in [version_id for version_id in list(known) if not is_needed(version_id)]:
                known.pop(version_id, None)


def _build(version_id: int, signature: Signature) -> Pipeline:
    version = Version.objects.select_related("model").filter(pk=version_id).first()
    try:
        if version is None:
            raise ArtifactMissing("It no longer exists.")
        return pipeline_of(version, signature)
    except DATABASE_AWAY:
        raise
    except Exception as error:  # whatever is in its files
        reason = f": {error}" if isinstance(error, (BadTaskConfig, ArtifactMissing)) else "."
        raise LoadFailed(f"The task of {version or 'a version'} cannot be read{reason}") from error


Run = Callable[
    [Inputs, Sequence[str] | None], Awaitable[EngineAnswer]
]  # of the model: inputs, and which outputs


@dataclass(slots=True)
class Answered:
    """What a request gets: outputs as tensors, or answers in words, one for each item."""

    outputs: Mapping[str, Any]
    signature: Signature  # of the outputs
    non_finite: bool = False
    answers: Sequence[Any] | None = None
    answers_bytes: int = 0  # as JSON, where they are written
    is_large: bool = False  # too much to work on while the loop waits


class TensorRequest:
    """A request with the model's own tensors."""

    __slots__ = ("inputs", "outputs", "signature")

    def __init__(self, signature: Signature, inputs: Inputs, outputs: Sequence[str] | None) -> None:
        check_outputs(signature, outputs)
        self.signature, self.inputs, self.outputs = signature, inputs, outputs

    async def answer(self, run: Run, most_rows: Callable[[], int]) -> Answered:
        answer = await run(self.inputs, self.outputs)
        return Answered(answer.outputs, self.signature, answer.non_finite)

    @property
    def takes_missing(self) -> bool:
        """Whether NaN in the model's inputs is right, whatever the version's setting is."""
        return False

    def model_inputs(self, most_rows: int) -> tuple[Signature, Inputs, int]:
        return self.signature, self.inputs, 1


class ItemRequest:
    """A request about items, in words or as tensors."""

    def __init__(
        self, pipeline: ItemPipeline[Any], body: Mapping[str, Any], hold: Hold, end: RequestEnd
    ) -> None:
        self._pipeline, self._body, self._hold, self._end = pipeline, body, hold, end

    async def answer(self, run: Run, most_rows: Callable[[], int]) -> Answered:
        answered = await self._answer_items(run, most_rows)
        written = partial(orjson.dumps, answered.answers, option=orjson.OPT_SERIALIZE_NUMPY)
        answered.answers_bytes = len(await _do(answered.is_large, written))
        return answered

    @property
    def takes_missing(self) -> bool:
        return self._pipeline.takes_missing

    async def _answer_items(self, run: Run, most_rows: Callable[[], int]) -> Answered:
        return await answer_items(
            self._pipeline, self._body, run, most_rows=most_rows(), hold=self._hold, end=self._end
        )

    def model_inputs(self, most_rows: int) -> tuple[Signature, Inputs, int]:
        """The model's signature, the inputs of the request's first run, and how many runs it becomes."""
        body = complete(with_fetched(self._pipeline, self._body, self._hold, self._end))
        self._hold(_bytes_of_rows(self._pipeline, body))
        self._end.left_s()
        groups = _groups(self._pipeline.encode(body), _rows_of_a_run(self._pipeline, most_rows))
        return self._pipeline.signature, self._pipeline.prepare(groups[0].tensors), len(groups)


class ItemTensorRequest(ItemRequest):
    """A request about items that were sent as tensors: the answers are tensors, too."""

    def __init__(
        self,
        pipeline: ItemPipeline[Any],
        signature: Signature,
        inputs: Inputs,
        outputs: Sequence[str] | None,
        hold: Hold,
        end: RequestEnd,
    ) -> None:
        """`signature`: the one of the pipeline's that the inputs are for."""
        check_outputs(signature, outputs)
        self._outputs = outputs
        items = prepare(signature, _items_of(inputs), allow_non_finite=pipeline.takes_missing)
        hold(
            _BYTES_OF_JSON * sum(_characters_in(items[name]) for name in signature.json_inputs & items.keys())
        )
        super().__init__(pipeline, pipeline.body_of(items), hold, end)

    async def answer(self, run: Run, most_rows: Callable[[], int]) -> Answered:
        answered = await self._answer_items(run, most_rows)
        tensors = await _do(answered.is_large, partial(self._pipeline.tensors_of, answered.answers or ()))
        answered.outputs = (
            tensors if self._outputs is None else {name: tensors[name] for name in self._outputs}
        )
        return answered


def read_request(call: Call, pipeline: Pipeline, ends_at: float) -> TensorRequest | ItemRequest:
    """What a call asks of a version. Raises an error if the version does not answer such requests."""
    end = RequestEnd(ends_at, call.request.cancellation)
    if call.task not in {None, pipeline.task}:
        raise _wrong_task(call, pipeline)
    if isinstance(call.inputs, Items):
        body = call.inputs.body(pipeline) if callable(call.inputs.body) else call.inputs.body
        return ItemRequest(_for_items(pipeline, body), body, call.hold, end)
    inputs = call.inputs(pipeline.callers_signature) if callable(call.inputs) else call.inputs
    if not isinstance(pipeline, ItemPipeline):
        return TensorRequest(pipeline.signature, inputs, call.outputs)
    signature = pipeline.signature_for(inputs)
    if signature is None:  # the caller does the pre-processing
        return TensorRequest(pipeline.signature, inputs, call.outputs)
    return ItemTensorRequest(pipeline, signature, inputs, call.outputs, call.hold, end)


def _characters_in(texts: Any) -> int:
    return sum(len(text or "") for text in texts.tolist())


def _wrong_task(call: Call, pipeline: Pipeline) -> WrongTask:
    slug = call.route.slug
    return WrongTask(
        f"The task of Model {slug} is {pipeline.task}, not {call.task}."
        f" Send the request to /api/v1/models/{slug}/predict, or name another Model."
    )


def _items_of(inputs: Inputs) -> Inputs:
    """One item in each row: clients of other servers send them with an axis of size one beside that of the rows."""
    return {
        name: value[:, 0]
        if isinstance(value, np.ndarray) and value.ndim == 2 and value.shape[1] == 1
        else value
        for name, value in inputs.items()
    }


def _for_items(pipeline: Pipeline, body: Mapping[str, Any]) -> ItemPipeline[Any]:
    known = (*pipeline.request_fields(), *pipeline.options) if isinstance(pipeline, ItemPipeline) else ()
    for name in body:
        if name not in known:
            listed = ", ".join(f"`{field}`" for field in known) or "tensors, such as `inputs`"
            raise InvalidItem(f"This version's task is {pipeline.task}: it takes {listed}.", field=name)
    return cast("ItemPipeline[Any]", pipeline)


async def answer_items(
    pipeline: ItemPipeline[Any],
    body: Mapping[str, Any],
    run: Run,
    *,
    most_rows: int,
    hold: Hold,
    end: RequestEnd = NO_END,
) -> Answered:
    """Answer a request in words: an answer for each item.

    At most `most_rows` rows share a run. What takes long is done in a thread. A few groups of rows run at the same time;
    in a thread, one after another. `hold` is told how much memory the rows take before they are made, and that of the
    model's outputs.
    """
    body = await with_fetched(pipeline, body, hold, end)
    held = _bytes_of_outputs(pipeline, body)
    hold(_bytes_of_rows(pipeline, body) + held)
    most_rows = _rows_of_a_run(pipeline, most_rows)
    is_long = _is_long(pipeline, body)
    off = decoding_off_loop if pipeline.reads_files else partial(_do, is_long)

    def begin() -> tuple[Encoded[Any], list[RowGroup], Tensors]:
        end.left_s()
        encoded = pipeline.encode(body)
        groups = _groups(encoded, most_rows)
        return encoded, groups, pipeline.prepare(groups[0].tensors)

    async def run_group(place: int) -> EngineAnswer:
        inputs = first if place == 0 else await off(partial(pipeline.prepare, groups[place].tensors))
        return await run(inputs, pipeline.model_outputs)

    encoded, groups, first = await off(begin)
    outputs = [
        answer.outputs for answer in await _run_all(len(groups), run_group, _runs_at_once(pipeline, groups))
    ]
    hold(max(0, sum(map(byte_size, outputs)) - held))
    is_large = is_long or pipeline.is_slow_to_decode or sum(map(_elements, outputs)) > _LOOP_ELEMENTS
    answers = await _do(is_large, lambda: pipeline.decode(rows_of(groups, outputs), encoded))
    return Answered({}, pipeline.items, answers=answers, is_large=is_large)


def _groups(encoded: Encoded[Any], most_rows: int) -> list[RowGroup]:
    return [part for group in encoded.groups for part in group.split(max(1, most_rows))]


def _bytes_of_rows(pipeline: ItemPipeline[Any], body: Mapping[str, Any]) -> int:
    """Memory for the rows of a request, and for the inputs that are made of them at the same time."""
    count = pipeline.count_rows(body)
    inputs = min(count * pipeline.run_bytes, max(_RUN_BYTES_AT_ONCE, pipeline.run_bytes))
    return count * pipeline.row_bytes + inputs


def _bytes_of_outputs(pipeline: ItemPipeline[Any], body: Mapping[str, Any]) -> int:
    """Memory for large outputs of a request's rows, and for a copy of one of them while it is read."""
    return (pipeline.count_rows(body) + 1) * pipeline.output_bytes


def _rows_of_a_run(pipeline: ItemPipeline[Any], most_rows: int) -> int:
    """How many rows may share a run."""
    row_bytes = pipeline.run_bytes + pipeline.output_bytes
    return max(1, min(most_rows, _RUN_BYTES_AT_ONCE // row_bytes)) if row_bytes else most_rows


def _runs_at_once(pipeline: ItemPipeline[Any], groups: Sequence[RowGroup]) -> int:
    rows = max(len(group.places) for group in groups)
    row_bytes = pipeline.run_bytes + pipeline.output_bytes
    room = _RUN_BYTES_AT_ONCE // (rows * row_bytes) if row_bytes else _GROUPS_AT_ONCE
    return max(1, min(_GROUPS_AT_ONCE, room, _ROWS_AT_ONCE // rows))


async def _run_all(
    count: int, run: Callable[[int], Awaitable[EngineAnswer]], at_once: int
) -> list[EngineAnswer]:
    """Run all groups, so many at a time. After an error none is left running."""
    if count == 1 or not on_loop():
        return [await run(place) for place in range(count)]
    answers: dict[int, EngineAnswer] = {}
    waiting = iter(range(count))

    async def run_next() -> None:
        for place in waiting:
            answers[place] = await run(place)

    tasks = [asyncio.ensure_future(run_next()) for _ in range(min(at_once, count))]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return [answers[place] for place in range(count)]


async def _do(is_long: bool, work: Callable[[], Any]) -> Any:
    return await off_loop(work) if is_long else work()


def _is_long(pipeline: ItemPipeline[Any], body: Mapping[str, Any]) -> bool:
    """Whether reading and answering the request in words would hold up the loop."""
    items = body.get(pipeline.several)
    return (
        (isinstance(items, list) and len(items) > _LOOP_ITEMS)
        or pipeline.count_rows(body) * pipeline.row_values > _LOOP_VALUES
        or _characters(body) > _LOOP_CHARACTERS
    )


def _elements(tensors: Tensors) -> int:
    return sum(tensor.size for tensor in tensors.values())


def _characters(body: Mapping[str, Any]) -> int:
    """How long a request is, about: its texts, and what is in its lists and objects. Stops where it is known to be long."""
    count, waiting = 0, [iter(body.values())]
    while waiting and count <= _LOOP_CHARACTERS:
        value = next(waiting[-1], waiting)
        if value is waiting:
            waiting.pop()
        elif isinstance(value, (list, dict)):
            count += _CHARACTERS_OF_A_VALUE
            waiting.append(iter(value.values() if isinstance(value, dict) else value))
        else:
            count += len(value) if isinstance(value, str) else _CHARACTERS_OF_A_VALUE
    return count
