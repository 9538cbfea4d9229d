"""Rows for a model of which nobody has said what it takes: shapes, ranges and styles on which it runs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from inference.engine.backends import Tensors, type_ndarray
from inference.engine.errors import RunTimedOut
from inference.engine.samples import Sample, required
from inference.tensors.errors import InferenceError
from inference.tensors.signature import Signature, TensorSpec

Run = Callable[[Tensors], Any]

_AXES = (8, 1, 32, 224, 64, 2)  # sizes of free axes other than the first
_BELOW = (1000, 100, 10, 2)  # whole numbers are drawn from 0 to one of these: they may be places in a table
_WORDS = ("red", "a green leaf", "12", "blue sky at noon", "yes", "no", "Grün", "the end")
_LARGE, _LARGE_FP16 = 1000.0, 100.0


class Maker(Protocol):
    """Makes rows of one kind."""

    specs: Sequence[TensorSpec]  # the inputs it fills

    def rows(self, rng: np.random.Generator, count: int) -> dict[str, type_ndarray]: ...


def makers(signature: Signature, examples: Tensors | None, sample: Sample, run: Run) -> Iterator[Maker]:
    """Ways of making rows on which the model runs, the likeliest first; one on which it does not, if there is none.

    Rows have the sample's sizes where it says any but 1, which hardly any model can tell rows apart by.
    """
    if examples is not None:
        yield _FromExamples(signature, examples)
    specs = required(signature)
    has_free_axes = any(dim is None for spec in specs for dim in spec.shape[1:])
    has_floats = any(spec.dtype.kind == "f" for spec in specs)
    known = {name: shape[1:] for name, shape in sample.shapes.items()}
    has_sizes = any(
        dim is None and known[spec.name][place] > 1
        for spec in specs
        if spec.name in known and not spec.any_rank
        for place, dim in enumerate(spec.shape[1:])
    )
    sizes = [known] if has_sizes else [_alike(specs, axis) for axis in (_AXES if has_free_axes else (1,))]
    maker = None
    for shapes in sizes:
        found = False
        for style in _STYLES if has_floats else _STYLES[:1]:
            maker = _MadeUp(specs, shapes, style)
            if _runs(maker, run):
                maker.widen(run)
                found = True
                yield maker
        if found:
            return
    if maker is not None:
        yield maker


def _alike(specs: Sequence[TensorSpec], axis: int) -> dict[str, tuple[int, ...]]:
    """The shapes of rows whose free axes all have one size."""
    return {spec.name: tuple(axis if dim is None else dim for dim in spec.shape[1:]) for spec in specs}


def is_mask(spec: TensorSpec) -> bool:
    """Whether an input says which places of another count, as far as its name tells."""
    return "mask" in spec.name.lower() and spec.datatype != "BYTES"


def neighbours(
    maker: Maker, rng: np.random.Generator, batch: Tensors
) -> Iterator[tuple[str, dict[str, type_ndarray]]]:
    """What else could stand beside a row of the batch, with its name; of the batch's shapes."""
    count = len(next(iter(batch.values())))
    masks = {spec.name for spec in maker.specs if is_mask(spec)}
    fixed = masks | {spec.name for spec in maker.specs if spec.datatype == "BYTES"}

    def changed(change: Callable[[type_ndarray], type_ndarray]) -> dict[str, type_ndarray]:
        return {name: tensor if name in fixed else change(tensor) for name, tensor in batch.items()}

    yield "other rows", maker.rows(rng, count)
    yield "rows of zeros", changed(np.zeros_like)
    yield "copies of one row", {name: np.repeat(tensor[:1], count, axis=0) for name, tensor in batch.items()}
    kinds = {tensor.dtype.kind for name, tensor in batch.items() if name not in fixed}
    if "f" in kinds:
        yield "rows 1,000 times larger", changed(_enlarged)
    if masks:
        yield (
            "shorter rows",
            {name: _shortened(tensor) if name in masks else tensor for name, tensor in batch.items()},
        )
    if kinds & {"i", "u"}:
        yield "the extremes of integers", changed(_extremes)


class _FromExamples:
    """The version's own examples, and crossings of them."""

    def __init__(self, signature: Signature, examples: Tensors) -> None:
        self.specs: Sequence[TensorSpec] = [spec for spec in signature.inputs if spec.name in examples]
        self._examples = examples

    def rows(self, rng: np.random.Generator, count: int) -> dict[str, type_ndarray]:
        have = len(next(iter(self._examples.values())))
        own = rng.permutation(have)[:count]
        first, second = rng.integers(have, size=count - len(own)), rng.integers(have, size=count - len(own))
        made = {}
        for name, tensor in self._examples.items():
            crossed = np.where(
                rng.random((len(first), *tensor.shape[1:])) < 0.5, tensor[first], tensor[second]
            )
            if tensor.dtype.kind == "f":
                crossed = (crossed * rng.normal(1, 0.3, crossed.shape)).astype(tensor.dtype)
            made[name] = np.concatenate([tensor[own], crossed])
        return made


@dataclass(frozen=True, slots=True)
class _Style:
    """How decimals are drawn."""

    draw: Callable[[np.random.Generator, tuple[int, ...], int], Any]
    is_whole: bool = False


_STYLES = (
    _Style(lambda rng, shape, below: rng.normal(0, 1, shape)),
    _Style(lambda rng, shape, below: rng.normal(0, 100, shape)),
    _Style(lambda rng, shape, below: rng.random(shape)),
    _Style(lambda rng, shape, below: rng.integers(0, below, shape), is_whole=True),
)


@dataclass
class _MadeUp:
    """Random rows of these shapes."""

    specs: Sequence[TensorSpec]
    shapes: Mapping[str, tuple[int, ...]]
    style: _Style
    below: dict[str, int] = field(default_factory=dict)  # whole numbers per input; 1: zeros only

    def rows(self, rng: np.random.Generator, count: int) -> dict[str, type_ndarray]:
        return {spec.name: self._drawn(spec, rng, count) for spec in self.specs}

    def widen(self, run: Run) -> None:
        """Find for each input of whole numbers the widest range on which the model runs."""
        for spec in self.specs:
            is_whole = spec.dtype.kind in "iu" or (spec.dtype.kind == "f" and self.style.is_whole)
            if not is_whole or is_mask(spec):
                continue
            for below in _BELOW:
                self.below[spec.name] = min(below, _highest(spec.dtype))
                if _runs(self, run, highest=spec.name):
                    break
                self.below[spec.name] = 1

    def _drawn(self, spec: TensorSpec, rng: np.random.Generator, count: int) -> type_ndarray:
        shape = (count, *self.shapes[spec.name])
        below, kind = self.below.get(spec.name, 1), spec.dtype.kind
        if is_mask(spec):
            mask = np.ones(shape, spec.dtype)
            mask[2::3] = _shortened(mask)[2::3]  # some rows are shorter than others, as in traffic
            return mask
        if kind == "O":
            texts = np.array(_WORDS, object)[rng.integers(len(_WORDS), size=shape)]
            return np.asarray(texts, object)
        if kind == "b":
            return rng.random(shape) < 0.5
        if kind in "iu":
            return rng.integers(0, below, shape).astype(spec.dtype)
        return np.asarray(self.style.draw(rng, shape, below)).astype(spec.dtype)


def _highest(dtype: np.dtype[Any]) -> int:
    return int(np.iinfo(dtype).max) if dtype.kind in "iu" else max(_BELOW)


def _runs(maker: _MadeUp, run: Run, highest: str = "") -> bool:
    """Whether the model runs on two rows, one at a time; `highest`: the input that holds the largest of its range."""
    rows = maker.rows(np.random.default_rng(0), 2)
    if highest:
        rows[highest][:] = maker.below[highest] - 1
    try:
        for at in range(2):
            run({name: tensor[at : at + 1] for name, tensor in rows.items()})
    except RunTimedOut:
        raise
    except InferenceError:
        return False
    return True


def _enlarged(tensor: type_ndarray) -> type_ndarray:
    if tensor.dtype.kind != "f":
        return tensor
    limit = float(np.finfo(tensor.dtype.name).max)
    factor = _LARGE_FP16 if tensor.dtype == np.float16 else _LARGE
    return np.clip(tensor.astype(np.float64) * factor, -limit, limit).astype(tensor.dtype)


def _shortened(mask: type_ndarray) -> type_ndarray:
    """Masks whose last places do not count, in each row another number of them."""
    if mask.ndim < 2:
        return mask
    short = mask.copy()
    for at, row in enumerate(short):
        row[..., 1 + at % max(1, mask.shape[-1] - 1) :] = 0
    return short


def _extremes(tensor: type_ndarray) -> type_ndarray:
    if tensor.dtype.kind not in "iu":
        return tensor
    limits = np.iinfo(tensor.dtype.name)
    extreme = np.full_like(tensor, limits.max)
    extreme[::2] = limits.min
    return extreme
