"""Rows of items on which checks run a version: several of equal shapes for the batch proof, and the longest for its memory."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any

import numpy as np

from inference.checks.examples import example_rows, read_example
from inference.pipelines.pipeline import ItemPipeline, Pipeline, RowGroup
from inference.tensors.arrays import Tensors
from inference.tensors.errors import InvalidInput
from inference.tensors.samples import Sample
from inference.tensors.signature import Signature

_ENOUGH_ROWS, _RANDOM_ROWS, _SEED = 12, 8, 7


def item_rows(pipeline: Pipeline, examples: Iterable[Mapping[str, Any]]) -> Tensors | None:
    """Rows of equal shapes: items, and for models that read tokens also any tokens. None if the task knows none.

    `examples` are inputs as people wrote them; their items come first.
    """
    if not isinstance(pipeline, ItemPipeline):
        return None
    bodies = [_body_of(pipeline, inputs) for inputs in islice(examples, _ENOUGH_ROWS)]
    groups = [
        group
        for body in (*bodies, pipeline.samples())
        if body is not None
        for group in _groups(pipeline, body)
    ]
    if not groups:
        return None
    by_shape: dict[Any, list[RowGroup]] = {}
    for group in groups:
        shape = tuple((name, rows.shape[1:]) for name, rows in group.tensors.items())
        by_shape.setdefault(shape, []).append(group)
    alike = max(by_shape.values(), key=lambda alike: min(sum(len(one.places) for one in alike), _ENOUGH_ROWS))
    encoded = {
        name: np.concatenate([group.tensors[name] for group in alike])[:_ENOUGH_ROWS]
        for name in alike[0].tensors
    }
    tensors = pipeline.prepare(encoded)
    rows = pipeline.token_rows
    if rows is None:
        return tensors
    others = rows.random_rows(tensors, np.random.default_rng(_SEED), _RANDOM_ROWS)
    return {name: np.concatenate([tensor, others[name]]) for name, tensor in tensors.items()}


def _groups(pipeline: ItemPipeline[Any], body: Mapping[str, Any]) -> Sequence[RowGroup]:
    """Nothing for an example that does not fit: the step that runs the examples says what is wrong."""
    try:
        return pipeline.encode(body).groups
    except InvalidInput:
        return ()


def _body_of(pipeline: ItemPipeline[Any], inputs: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """An example's inputs as the body of a request: they may be items as tensors, or a body."""
    with suppress(InvalidInput):
        return pipeline.body_of(read_example(pipeline.items, inputs)[0])
    return inputs if inputs.keys() <= {pipeline.one, pipeline.several, *pipeline.options} else None


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
