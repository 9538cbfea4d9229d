"""Rows of items on which checks run a version: several of equal shapes for the batch proof, and the longest for its memory."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, islice
from typing import Any

import numpy as np

from inference.checks.examples import example_rows
from inference.pipelines.pipeline import ItemPipeline, Pipeline, RowGroup
from inference.tensors.arrays import Tensors
from inference.tensors.errors import InvalidInput
from inference.tensors.samples import Sample
from inference.tensors.signature import Signature

_ENOUGH_ROWS, _RANDOM_ROWS, _SEED = 12, 8, 7


def item_rows(pipeline: Pipeline, examples: Iterable[Mapping[str, Any]]) -> Tensors | None:
    """Rows of equal shapes: items, and for models that read tokens also any tokens. None for other tasks.

    `examples` are inputs as people wrote them; their items come first.
    """
    if not isinstance(pipeline, ItemPipeline):
        return None
    samples = list(pipeline.samples())
    try:
        groups = _groups_of(pipeline, [*_items_of(pipeline.one, examples), *samples])
    except InvalidInput:  # the step that runs the examples tells what is wrong with them
        groups = _groups_of(pipeline, samples)
    group = max(groups, key=lambda group: min(len(group.places), _ENOUGH_ROWS))
    tensors = pipeline.prepare(next(group.split(_ENOUGH_ROWS)).tensors)
    rows = pipeline.token_rows
    if rows is None:
        return tensors
    others = rows.random_rows(tensors, np.random.default_rng(_SEED), _RANDOM_ROWS)
    return {name: np.concatenate([tensor, others[name]]) for name, tensor in tensors.items()}


def _groups_of(pipeline: ItemPipeline[Any], items: list[Any]) -> Sequence[RowGroup]:
    return pipeline.encode({pipeline.several: items[: pipeline.most_items]}).groups


def proof_rows(
    pipeline: Pipeline | None, signature: Signature, examples: Iterable[Mapping[str, Any]]
) -> Tensors | None:
    """Rows for the batch proof, if some are known: items, or the examples of other tasks."""
    items = item_rows(pipeline, examples) if pipeline is not None else None
    return items or example_rows(signature, examples)


def longest_sample(pipeline: Pipeline | None, signature: Signature) -> Sample | None:
    """A row with as many tokens as a text may have, so that the memory of batches is that of long texts."""
    rows = pipeline.token_rows if pipeline is not None else None
    return Sample.of(signature, rows.longest_row()) if rows is not None else None


def _items_of(name: str, examples: Iterable[Mapping[str, Any]]) -> Sequence[str]:
    given = [example.get(name) for example in examples]
    items = chain.from_iterable(one if isinstance(one, list) else [one] for one in given)
    return [item for item in islice(items, _ENOUGH_ROWS) if isinstance(item, str)]
