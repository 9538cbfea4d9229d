"""The pipelines of this process's versions, and how a request in words is answered with one."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import numpy as np

from inference.checks.version_tasks import pipeline_of
from inference.engine.errors import LoadFailed
from inference.engine.requests import EngineAnswer
from inference.errors import WrongTask
from inference.pipelines.errors import BadTaskConfig, InvalidItem
from inference.pipelines.pipeline import Encoded, ItemPipeline, Pipeline, rows_of
from inference.serving.calls import Call, Inputs, Items
from inference.serving.off_loop import off_loop
from inference.tensors.arrays import byte_size
from inference.tensors.prepare import check_outputs, prepare
from inference.tensors.signature import Signature
from registry.catalogue.models import Version
from registry.errors import ArtifactMissing

# Longer texts would hold up the loop for more than about a millisecond.
_LOOP_CHARACTERS = 2_000


class Pipelines:
    """A version's pipeline is built once, by one thread, and kept while its version is in memory."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._building: dict[int, threading.Lock] = {}
        self._built: dict[int, Pipeline] = {}

    def known(self, version_id: int) -> Pipeline | None:
        return self._built.get(version_id)

    def get(self, version_id: int, signature: Signature) -> Pipeline:
        """The version's pipeline; reads its files the first time. Raises LoadFailed."""
        with self._lock:
            building = self._building.setdefault(version_id, threading.Lock())
        with building:
            known = self._built.get(version_id)
            if known is None:
                known = self._built[version_id] = _build(version_id, signature)
        return known

    def keep_only(self, is_loaded: Callable[[int], bool]) -> None:
        """Forget the pipelines of versions that are no longer in memory: a tokenizer takes some megabytes."""
        for version_id in [known for known in list(self._built) if not is_loaded(known)]:
            self._built.pop(version_id, None)


def _build(version_id: int, signature: Signature) -> Pipeline:
    version = Version.objects.select_related("model").get(pk=version_id)
    try:
        return pipeline_of(version, signature)
    except (BadTaskConfig, ArtifactMissing, OSError) as error:
        raise LoadFailed(f"The task of {version} cannot be read: {error}") from error


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
    answers_bytes: int = 0


class TensorRequest:
    """A request with the model's own tensors."""

    __slots__ = ("inputs", "outputs", "signature")

    def __init__(self, signature: Signature, inputs: Inputs, outputs: Sequence[str] | None) -> None:
        check_outputs(signature, outputs)
        self.signature, self.inputs, self.outputs = signature, inputs, outputs

    async def answer(self, run: Run, most_rows: Callable[[], int]) -> Answered:
        answer = await run(self.inputs, self.outputs)
        return Answered(answer.outputs, self.signature, answer.non_finite)

    def model_inputs(self) -> tuple[Signature, Inputs]:
        return self.signature, self.inputs


class ItemRequest:
    """A request about items, in words or as tensors."""

    def __init__(self, pipeline: ItemPipeline[Any], body: Mapping[str, Any]) -> None:
        self._pipeline, self._body = pipeline, body
        self._is_long = _is_long(body)

    @classmethod
    def of_tensors(
        cls, pipeline: ItemPipeline[Any], inputs: Inputs, outputs: Sequence[str] | None
    ) -> "ItemTensorRequest":
        check_outputs(pipeline.items, outputs)
        body = pipeline.body_of(prepare(pipeline.items, _items_of(inputs)))
        return ItemTensorRequest(pipeline, body, outputs)

    async def answer(self, run: Run, most_rows: Callable[[], int]) -> Answered:
        answers, nbytes = await answer_items(self._pipeline, self._body, run, most_rows=most_rows())
        return Answered({}, self._pipeline.items, answers=answers, answers_bytes=nbytes)

    def model_inputs(self) -> tuple[Signature, Inputs]:
        """Those of the first rows."""
        first = self._pipeline.encode(self._body).groups[0]
        return self._pipeline.signature, self._pipeline.prepare(first.tensors)


class ItemTensorRequest(ItemRequest):
    """A request about items that were sent as tensors: the answers are tensors, too."""

    def __init__(
        self, pipeline: ItemPipeline[Any], body: Mapping[str, Any], outputs: Sequence[str] | None
    ) -> None:
        super().__init__(pipeline, body)
        self._outputs = outputs

    async def answer(self, run: Run, most_rows: Callable[[], int]) -> Answered:
        answered = await super().answer(run, most_rows)
        tensors = await _do(self._is_long, partial(self._pipeline.tensors_of, answered.answers or ()))
        answered.outputs = (
            tensors if self._outputs is None else {name: tensors[name] for name in self._outputs}
        )
        return answered


def read_request(call: Call, pipeline: Pipeline) -> TensorRequest | ItemRequest:
    """What a call asks of a version. Raises an error if the version does not answer such requests."""
    if call.task not in {None, pipeline.task}:
        raise _wrong_task(call, pipeline)
    if isinstance(call.inputs, Items):
        return ItemRequest(_for_items(pipeline, call.inputs.body), call.inputs.body)
    inputs = call.inputs(pipeline.callers_signature) if callable(call.inputs) else call.inputs
    if not isinstance(pipeline, ItemPipeline):
        return TensorRequest(pipeline.signature, inputs, call.outputs)
    if inputs.keys() <= {spec.name for spec in pipeline.items.inputs}:
        return ItemRequest.of_tensors(pipeline, inputs, call.outputs)
    return TensorRequest(pipeline.signature, inputs, call.outputs)  # the caller does the pre-processing


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
    known = (pipeline.one, pipeline.several, *pipeline.options) if isinstance(pipeline, ItemPipeline) else ()
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
) -> tuple[list[Any], int]:
    """Answer a request in words: an answer for each item, and how many bytes the model's outputs had.

    At most `most_rows` rows share a run. Long texts are read in a thread. Groups of rows run at the same time; in a
    thread, one after another.
    """
    is_long = _is_long(body)
    encoded = await _do(is_long, partial(pipeline.encode, body))
    groups = [part for group in encoded.groups for part in group.split(max(1, most_rows))]
    inputs = await _do(is_long, lambda: [pipeline.prepare(group.tensors) for group in groups])
    if len(groups) > 1 and asyncio._get_running_loop() is not None:
        answers = await asyncio.gather(*(run(tensors, pipeline.model_outputs) for tensors in inputs))
    else:
        answers = [await run(tensors, pipeline.model_outputs) for tensors in inputs]
    outputs = [answer.outputs for answer in answers]
    decode = partial(_decode, pipeline, encoded, groups, outputs)
    return await _do(is_long, decode), sum(map(byte_size, outputs))


def _decode(pipeline: ItemPipeline[Any], encoded: Encoded[Any], groups: Any, outputs: Any) -> list[Any]:
    return pipeline.decode(rows_of(groups, outputs), encoded)


async def _do(is_long: bool, work: Callable[[], Any]) -> Any:
    return await off_loop(work) if is_long else work()


def _is_long(body: Mapping[str, Any]) -> bool:
    return _characters(body) > _LOOP_CHARACTERS


def _characters(body: Mapping[str, Any]) -> int:
    """How long the texts of a request are, about."""
    return sum(
        len(value) if isinstance(value, str) else sum(len(item) for item in value if isinstance(item, str))
        for value in body.values()
        if isinstance(value, (str, list))
    )
