"""Generates rows for a model whose inputs are unknown: finds shapes, ranges and styles on which it runs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from inference.engine.errors import RunTimedOut
from inference.tensors.arrays import Array, Tensors
from inference.tensors.errors import InferenceError
from inference.tensors.samples import Sample
from inference.tensors.signature import Signature, TensorSpec

Run = Callable[[Tensors], Any]

_AXES = (8, 1, 32, 224, 64, 2)  # sizes of free axes other than the first
_BOUNDS = (1000, 100, 10, 2)  # integers are drawn from 0 up to one of these: they may be indexes into a table
_WORDS = ("red", "a green leaf", "12", "blue sky at noon", "yes", "no", "Grün", "the end")
_LARGE, _LARGE_FP16 = 1000.0, 100.0


class RowGenerator(Protocol):
    """Generates rows of one kind."""

    specs: Sequence[TensorSpec]  # the inputs it fills

    def rows(self, rng: np.random.Generator, count: int) -> dict[str, Array]: ...


def row_generators(
    signature: Signature, examples: Tensors | None, sample: Sample, run: Run
) -> Iterator[RowGenerator]:
    """Generators of rows on which the model runs, the likeliest first. If there are none, yields one on which it fails.

    Rows have the sample's sizes, unless those are all 1: hardly any model can tell such rows apart.
    """
    if examples is not None:
        yield _FromExamples(signature, examples)
    specs = signature.required_inputs
    has_free_axes = any(dim is None for spec in specs for dim in spec.shape[1:])
    has_floats = any(spec.dtype.kind == "f" for spec in specs)
    known = {name: shape[1:] for name, shape in sample.shapes.items()}
    has_sizes = any(
        dim is None and known[spec.name][axis] > 1
        for spec in specs
        if spec.name in known and not spec.any_rank
        for axis, dim in enumerate(spec.shape[1:])
    )
    sizes = (
        [known] if has_sizes else [_equal_sizes(specs, size) for size in (_AXES if has_free_axes else (1,))]
    )
    generator = None
    for shapes in sizes:
        has_run = False
        for style in _STYLES if has_floats else _STYLES[:1]:
            generator = _RandomRows(specs, shapes, style)
            if _runs(generator, run):
                generator.widen(run)
                has_run = True
                yield generator
        if has_run:
            return
    if generator is not None:
        yield generator


def _equal_sizes(specs: Sequence[TensorSpec], size: int) -> dict[str, tuple[int, ...]]:
    """Shapes of rows whose free axes all have this size."""
    return {spec.name: tuple(size if dim is None else dim for dim in spec.shape[1:]) for spec in specs}


def is_mask(spec: TensorSpec) -> bool:
    """Whether the input seems to be a mask over another one, judging by its name."""
    return "mask" in spec.name.lower() and spec.datatype != "BYTES"


def neighbours(
    generator: RowGenerator, rng: np.random.Generator, batch: Tensors
) -> Iterator[tuple[str, dict[str, Array]]]:
    """Yield other neighbours that a row of the batch could have, with a description. Shapes stay the same."""
    count = len(next(iter(batch.values())))
    masks = {spec.name for spec in generator.specs if is_mask(spec)}
    fixed = masks | {spec.name for spec in generator.specs if spec.datatype == "BYTES"}

    def changed(change: Callable[[Array], Array]) -> dict[str, Array]:
        return {name: tensor if name in fixed else change(tensor) for name, tensor in batch.items()}

    yield "other rows", generator.rows(rng, count)
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
        yield "extreme integers", changed(_extremes)


class _FromExamples:
    """The version's own examples, and mixtures of them."""

    def __init__(self, signature: Signature, examples: Tensors) -> None:
        self.specs: Sequence[TensorSpec] = [spec for spec in signature.inputs if spec.name in examples]
        self._examples = examples

    def rows(self, rng: np.random.Generator, count: int) -> dict[str, Array]:
        available = len(next(iter(self._examples.values())))
        own = rng.permutation(available)[:count]
        missing = count - len(own)
        first, second = rng.integers(available, size=missing), rng.integers(available, size=missing)
        rows = {}
        for name, tensor in self._examples.items():
            mixed = np.where(rng.random((len(first), *tensor.shape[1:])) < 0.5, tensor[first], tensor[second])
            if tensor.dtype.kind == "f":
                mixed = (mixed * rng.normal(1, 0.3, mixed.shape)).astype(tensor.dtype)
            rows[name] = np.concatenate([tensor[own], mixed])
        return rows


@dataclass(frozen=True, slots=True)
class _Style:
    """How floats are drawn."""

    draw: Callable[[np.random.Generator, tuple[int, ...], int], Any]
    is_whole: bool = False


_STYLES = (
    _Style(lambda rng, shape, bound: rng.normal(0, 1, shape)),
    _Style(lambda rng, shape, bound: rng.normal(0, 100, shape)),
    _Style(lambda rng, shape, bound: rng.random(shape)),
    _Style(lambda rng, shape, bound: rng.integers(0, bound, shape), is_whole=True),
)


@dataclass
class _RandomRows:
    """Random rows of these shapes."""

    specs: Sequence[TensorSpec]
    shapes: Mapping[str, tuple[int, ...]]
    style: _Style
    bounds: dict[str, int] = field(
        default_factory=dict
    )  # for each integer input: values are less than this; 1: only zeros

    def rows(self, rng: np.random.Generator, count: int) -> dict[str, Array]:
        return {spec.name: self._draw(spec, rng, count) for spec in self.specs}

    def widen(self, run: Run) -> None:
        """Find the widest range on which the model runs, for each integer input."""
        for spec in self.specs:
            is_whole = spec.dtype.kind in "iu" or (spec.dtype.kind == "f" and self.style.is_whole)
            if not is_whole or is_mask(spec):
                continue
            for bound in _BOUNDS:
                self.bounds[spec.name] = min(bound, _highest(spec.dtype))
                if _runs(self, run, highest=spec.name):
                    break
                self.bounds[spec.name] = 1

    def _draw(self, spec: TensorSpec, rng: np.random.Generator, count: int) -> Array:
        shape = (count, *self.shapes[spec.name])
        bound, kind = self.bounds.get(spec.name, 1), spec.dtype.kind
        if is_mask(spec):
            mask = np.ones(shape, spec.dtype)
            mask[2::3] = _shortened(mask)[2::3]  # some rows are shorter than others, as in real traffic
            return mask
        if kind == "O":
            texts = np.array(_WORDS, object)[rng.integers(len(_WORDS), size=shape)]
            return np.asarray(texts, object)
        if kind == "b":
            return rng.random(shape) < 0.5
        if kind in "iu":
            return rng.integers(0, bound, shape).astype(spec.dtype)
        return np.asarray(self.style.draw(rng, shape, bound)).astype(spec.dtype)


def _highest(dtype: np.dtype[Any]) -> int:
    return int(np.iinfo(dtype).max) if dtype.kind in "iu" else max(_BOUNDS)


def _runs(generator: _RandomRows, run: Run, highest: str = "") -> bool:
    """Whether the model runs on two rows, one at a time. `highest`: an input to fill with the highest value of its range."""
    rows = generator.rows(np.random.default_rng(0), 2)
    if highest:
        rows[highest][:] = generator.bounds[highest] - 1
    try:
        for at in range(2):
            run({name: tensor[at : at + 1] for name, tensor in rows.items()})
    except RunTimedOut:
        raise
    except InferenceError:
        return False
    return True


def _enlarged(tensor: Array) -> Array:
    if tensor.dtype.kind != "f":
        return tensor
    limit = float(np.finfo(tensor.dtype.name).max)
    factor = _LARGE_FP16 if tensor.dtype == np.float16 else _LARGE
    return np.clip(tensor.astype(np.float64) * factor, -limit, limit).astype(tensor.dtype)


def _shortened(mask: Array) -> Array:
    """Masks that end earlier, in each row at a different position."""
    if mask.ndim < 2:
        return mask
    short = mask.copy()
    for at, row in enumerate(short):
        row[..., 1 + at % max(1, mask.shape[-1] - 1) :] = 0
    return short


def _extremes(tensor: Array) -> Array:
    if tensor.dtype.kind not in "iu":
        return tensor
    limits = np.iinfo(tensor.dtype.name)
    extreme = np.full_like(tensor, limits.max)
    extreme[::2] = limits.min
    return extreme
