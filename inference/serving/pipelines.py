"""The pipelines of this process's versions, and how a request in words is answered with one."""

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from inference.checks.version_tasks import pipeline_of
from inference.engine.errors import LoadFailed
from inference.engine.requests import EngineAnswer
from inference.pipelines.errors import BadTaskConfig
from inference.pipelines.pipeline import Encoded, ItemPipeline, Pipeline, rows_of
from inference.serving.off_loop import off_loop
from inference.tensors.arrays import Tensors, byte_size
from inference.tensors.signature import Signature
from registry.catalogue.models import Version
from registry.errors import ArtifactMissing

_MOST_KEPT = 64  # a tokenizer takes some megabytes
# Longer texts would hold up the loop for more than about a millisecond.
_LOOP_CHARACTERS = 2_000


class Pipelines:
    """A version's pipeline is built once, by one thread, and kept while it is among those used last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._building: dict[int, threading.Lock] = {}
        self._built: OrderedDict[int, Pipeline] = OrderedDict()

    def known(self, version_id: int) -> Pipeline | None:
        return self._built.get(version_id)

    def get(self, version_id: int, signature: Signature) -> Pipeline:
        """The version's pipeline; reads its files the first time. Raises LoadFailed."""
        with self._lock:
            building = self._building.setdefault(version_id, threading.Lock())
        with building:
            known = self._built.get(version_id)
            if known is None:
                known = _build(version_id, signature)
                with self._lock:
                    self._built[version_id] = known
                    while len(self._built) > _MOST_KEPT:
                        self._built.popitem(last=False)
        return known


def _build(version_id: int, signature: Signature) -> Pipeline:
    version = Version.objects.select_related("model").get(pk=version_id)
    try:
        return pipeline_of(version, signature)
    except (BadTaskConfig, ArtifactMissing, OSError) as error:
        raise LoadFailed(f"The task of {version} cannot be read: {error}") from error


@dataclass(frozen=True, slots=True)
class ItemsAnswered:
    """The answers of a request in words, one for each item."""

    answers: Sequence[Any]
    nbytes: int  # of the model's outputs
    is_long: bool  # whether working on them would hold up the loop


async def answer_items(
    pipeline: ItemPipeline[Any],
    body: Mapping[str, Any],
    infer: Callable[[Tensors], Awaitable[EngineAnswer]],
    *,
    most_rows: int,
) -> ItemsAnswered:
    """Answer a request in words. `infer` runs the model for rows that may share a run, `most_rows` of them at most.

    Long texts are read in a thread. Groups of rows run at the same time; in a thread, one after another.
    """
    is_long = _characters(body) > _LOOP_CHARACTERS
    encoded = await do_off_loop(is_long, partial(pipeline.encode, body))
    groups = [part for group in encoded.groups for part in group.split(max(1, most_rows))]
    inputs = await do_off_loop(is_long, lambda: [pipeline.prepare(group.tensors) for group in groups])
    if len(groups) > 1 and asyncio._get_running_loop() is not None:
        answers = await asyncio.gather(*map(infer, inputs))
    else:
        answers = [await infer(tensors) for tensors in inputs]
    outputs = [answer.outputs for answer in answers]
    decode = partial(_decode, pipeline, encoded, groups, outputs)
    return ItemsAnswered(await do_off_loop(is_long, decode), sum(map(byte_size, outputs)), is_long)


def _decode(pipeline: ItemPipeline[Any], encoded: Encoded[Any], groups: Any, outputs: Any) -> list[Any]:
    return pipeline.decode(rows_of(groups, outputs), encoded)


async def do_off_loop(is_long: bool, work: Callable[[], Any]) -> Any:
    return await off_loop(work) if is_long else work()


def _characters(body: Mapping[str, Any]) -> int:
    """How long the texts of a request are, about."""
    return sum(
        len(value) if isinstance(value, str) else sum(len(item) for item in value if isinstance(item, str))
        for value in body.values()
        if isinstance(value, (str, list))
    )
