"""Rows of texts on which checks run a version: several of one width for the batch proof, and the longest for its memory."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, islice
from typing import Any

import numpy as np

from inference.checks.examples import example_rows
from inference.pipelines.pipeline import ItemPipeline, Pipeline
from inference.tensors.arrays import Tensors
from inference.tensors.errors import InvalidInput
from inference.tensors.samples import Sample
from inference.tensors.signature import Signature

_ENOUGH_ROWS, _RANDOM_ROWS, _SEED = 12, 8, 7
_SUBJECTS = ("The train", "Her answer", "This coffee", "London", "My bank account")
_TEXTS = [f"{subject} was {said}." for said in ("good", "bad", "late") for subject in _SUBJECTS]


def text_rows(pipeline: Pipeline, examples: Iterable[Mapping[str, Any]]) -> Tensors | None:
    """Rows of one width: texts, and for models that read tokens also any tokens. None for other tasks.

    `examples` are inputs as people wrote them; their texts come first.
    """
    if not isinstance(pipeline, ItemPipeline) or pipeline.several != "texts":
        return None
    try:
        groups = pipeline.encode({"texts": [*_texts_of(examples), *_TEXTS]}).groups
    except InvalidInput:  # the step that runs the examples tells what is wrong with them
        groups = pipeline.encode({"texts": _TEXTS}).groups
    group = max(groups, key=lambda group: min(len(group.places), _ENOUGH_ROWS))
    tensors = pipeline.prepare(next(group.split(_ENOUGH_ROWS)).tensors)
    rows = pipeline.token_rows
    if rows is None:
        return tensors
    others = rows.random_rows(tensors, np.random.default_rng(_SEED), _RANDOM_ROWS)
    return {name: np.concatenate([tensor, others[name]]) for name, tensor in tensors.items()}


def proof_rows(
    pipeline: Pipeline | None, signature: Signature, examples: Iterable[Mapping[str, Any]]
) -> Tensors | None:
    """Rows for the batch proof, if some are known: texts, or the examples of other tasks."""
    texts = text_rows(pipeline, examples) if pipeline is not None else None
    return texts or example_rows(signature, examples)


def longest_sample(pipeline: Pipeline | None, signature: Signature) -> Sample | None:
    """A row with as many tokens as a text may have, so that the memory of batches is that of long texts."""
    rows = pipeline.token_rows if pipeline is not None else None
    return Sample.of(signature, rows.longest_row()) if rows is not None else None


def _texts_of(examples: Iterable[Mapping[str, Any]]) -> Sequence[str]:
    given = [example.get("text") for example in examples]
    texts = chain.from_iterable(one if isinstance(one, list) else [one] for one in given)
    return [text for text in islice(texts, _ENOUGH_ROWS) if isinstance(text, str)]
