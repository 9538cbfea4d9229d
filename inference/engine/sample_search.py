"""Finds something on which a file runs: what is known of its inputs first, then sizes that models often have."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice, product
from math import prod
from typing import Any

from inference.engine.backends import LoadedSession
from inference.engine.errors import RunFailed, RunTimedOut
from inference.engine.samples import MOST_VALUES, Sample, required, sample_inputs
from inference.tensors.errors import InferenceError
from inference.tensors.prepare import Array
from inference.tensors.signature import Signature, TensorSpec

SIZES = (1, 2, 8, 32, 64, 224, 256, 320, 640)
TIME_LIMIT_S = 10.0
_MOST_ELEMENTS = 1 << 26  # of one input
_MOST_MIXED = 3  # free sizes that are tried in all combinations
_MOST_TEXTS = 512
_SHOWN = 4
_Axis = str | tuple[str, int]  # free axes of one name have one size; the others stand for themselves
_Sizes = Mapping[_Axis, int]


@dataclass(frozen=True, slots=True)
class FoundSample:
    """Something on which the file ran."""

    sample: Sample
    source: str  # examples | given shapes | made up
    tries: int


def find_sample(
    session: LoadedSession,
    *,
    examples: Sequence[Mapping[str, Array]] = (),
    shapes: Mapping[str, Sequence[int]] | None = None,
    time_limit_s: float = TIME_LIMIT_S,
    clock: Callable[[], float] = time.monotonic,
) -> FoundSample:
    """Run the file until something works; raise RunFailed with the smallest run that failed, and what to give.

    1. The examples: their sizes, and their whole numbers and texts.
    2. The shapes that were given, with 1 on every other free axis.
    3. Plausible sizes for the free axes that nobody has given: all alike first, then each for itself; first with
       zeros, then with ones in inputs of whole numbers, and with texts that the file knows.

    The time limit is for the search alone: a first run is as slow as the model.
    """
    search = _Search(session, dict(shapes or {}))
    for tensors in examples:
        sample = Sample.of(session.signature, tensors)
        if search.runs(sample):
            return FoundSample(sample, "examples", search.tries)
    ends_at = None
    for sample in search.made_up():
        if search.runs(sample, None if ends_at is None else ends_at - clock()):
            return FoundSample(sample, "given shapes" if shapes else "made up", search.tries)
        ends_at = ends_at or clock() + time_limit_s
        if clock() >= ends_at:
            break
    raise search.refusal()


class _Search:
    """The runs that were tried on one session."""

    def __init__(self, session: LoadedSession, given: Mapping[str, Sequence[int]]) -> None:
        self._session = session
        self._specs = required(session.signature)
        self._given = {name: tuple(map(int, shape)) for name, shape in given.items()}
        self._axes = {spec.name: _axes(spec, session.axis_names.get(spec.name, ())) for spec in self._specs}
        self._smallest: tuple[Sample, InferenceError] | None = None  # run that failed
        self.tries = 0
        check_shapes(session.signature, self._given)

    def runs(self, sample: Sample, limit_s: float | None = None) -> bool:
        try:
            self.tries += 1
            self._session.run(sample_inputs(self._session.signature, sample), soft_limit_s=limit_s)
        except InferenceError as error:
            if self._smallest is None or _elements(sample) < _elements(self._smallest[0]):
                self._smallest = sample, error
            if limit_s is None and isinstance(error, RunTimedOut):
                raise
            return False
        except (MemoryError, ValueError):  # sizes that no memory holds; values that do not fit the sizes
            return False
        return True

    def made_up(self) -> Iterator[Sample]:
        """What to try, the likeliest first."""
        zeros: dict[str, Any] = {}
        ones = {spec.name: 1 for spec in self._specs if spec.dtype.kind in "iu"}
        for ways in (self._alike, self._mixed, self._with_rows):
            if ways == self._mixed:
                yield from (self._sample({}, texts) for texts in self._texts())
            for values in (zeros, ones) if ones else (zeros,):
                for sizes in ways():
                    sample = self._sample(sizes, values)
                    if all(prod(shape) <= _MOST_ELEMENTS for shape in sample.shapes.values()):
                        yield sample

    def refusal(self) -> RunFailed:
        """What to give comes first: the runtime's own words are long, and may be cut."""
        sample, error = self._smallest or (Sample(), RunFailed())
        shown = [f"{name[:80]!r} of {_written(shape)}" for name, shape in sample.shapes.items()]
        on = ", ".join(shown[:_SHOWN]) + (" and others" if len(shown) > _SHOWN else "")
        tried = f"any of {self.tries:,} inputs made up for it"
        if self._is_all_given:
            tried = "the sizes that were given"
        if not self._is_fixed:
            tried += f"; say which sizes it takes, as in {self._hint()}, or give it an example"
        return RunFailed(f"It does not run on {tried}. With {on or 'no input'}: {error}")

    @property
    def _is_fixed(self) -> bool:
        return not any(self._axes.values())

    @property
    def _is_all_given(self) -> bool:
        return bool(self._given) and not self._free()

    def _hint(self) -> str:
        name = next(name for name, axes in self._axes.items() if axes)
        spec = next(spec for spec in self._specs if spec.name == name)
        dims = (1, 3, None, None) if spec.any_rank else spec.shape
        sizes = [1 if dim is None and place == 0 else dim or 320 for place, dim in enumerate(dims)]
        return f"{name[:80]}={','.join(map(str, sizes))}"

    def _free(self) -> list[_Axis]:
        """Axes whose size nobody has given, but those that may count rows."""
        rows = self._row_axes()
        known = {axis for name, axes in self._axes.items() if name in self._given for axis in axes.values()}
        every = chain.from_iterable(axes.values() for axes in self._axes.values())
        return [axis for axis in dict.fromkeys(every) if axis not in rows and axis not in known]

    def _row_axes(self) -> set[_Axis]:
        return {axes[0] for axes in self._axes.values() if 0 in axes}

    def _alike(self) -> Iterator[_Sizes]:
        for size in SIZES if self._free() else (1,):
            yield dict.fromkeys(self._free(), size)

    def _mixed(self) -> Iterator[_Sizes]:
        free = self._free()
        if 2 <= len(free) <= _MOST_MIXED:
            combined = [sizes for sizes in product(SIZES, repeat=len(free)) if len(set(sizes)) > 1]
            for sizes in sorted(combined, key=lambda sizes: (sum(size > 1 for size in sizes), sum(sizes))):
                yield dict(zip(free, sizes, strict=True))
        elif len(free) > _MOST_MIXED:
            for base, other in product(SIZES, SIZES):
                for axis in free if base != other else ():
                    yield {**dict.fromkeys(free, base), axis: other}

    def _with_rows(self) -> Iterator[_Sizes]:
        """As the person gave them, first axis and all; then as many rows as anything else."""
        rows, free = self._row_axes(), self._free()
        if not rows:
            return
        if any(shape[:1] > (1,) for shape in self._given.values()):
            yield {
                **dict.fromkeys(free, 1),
                **{
                    self._axes[name][0]: shape[0]
                    for name, shape in self._given.items()
                    if 0 in self._axes.get(name, {})
                },
            }
        for size in SIZES[1:]:
            yield dict.fromkeys([*rows, *free], size)

    def _texts(self) -> Iterator[dict[str, Any]]:
        """What the file knows, for each input of texts; most encoders refuse all others."""
        names = [spec.name for spec in self._specs if spec.datatype == "BYTES"]
        ways = product(self._session.texts, repeat=len(names)) if names else ()
        for texts in islice(ways, _MOST_TEXTS):
            yield dict(zip(names, texts, strict=True))

    def _sample(self, sizes: _Sizes, values: Mapping[str, Any]) -> Sample:
        """Of these sizes, with one value everywhere in the small inputs that are named."""
        rows = self._row_axes()
        known = {
            axis: self._given[name][place]
            for name, axes in self._axes.items()
            if name in self._given
            for place, axis in axes.items()
            if axis not in rows
        }
        shapes = {spec.name: self._shape(spec, {**known, **sizes}, rows) for spec in self._specs}
        small = {name: value for name, value in values.items() if prod(shapes[name]) <= MOST_VALUES}
        return Sample(shapes, {name: _nested(value, shapes[name]) for name, value in small.items()})

    def _shape(self, spec: TensorSpec, sizes: _Sizes, rows: set[_Axis]) -> tuple[int, ...]:
        """As it was given, but for the axis of rows; else of these sizes."""
        given = self._given.get(spec.name)
        if spec.any_rank and given is not None:
            return given
        shape = [1] if spec.any_rank else [dim or 0 for dim in spec.shape]
        for place, axis in self._axes[spec.name].items():
            shape[place] = sizes.get(axis, 1) if given is None or axis in rows else given[place]
        return tuple(shape)


def check_shapes(signature: Signature, shapes: Mapping[str, Sequence[int]]) -> None:
    """Raise RunFailed where a given shape is not one of the file's."""
    specs = {spec.name: spec for spec in signature.inputs}
    for name, shape in shapes.items():
        spec = specs.get(name)
        if spec is None:
            inputs = ", ".join(repr(known[:80]) for known in specs) or "no inputs"
            raise RunFailed(
                f"A shape is given for {name[:80]!r}, which is no input of the file; it takes {inputs}."
            )
        if spec.any_rank:
            continue
        fits = len(shape) == len(spec.shape) and all(
            want in {None, have} for want, have in zip(spec.shape, shape, strict=True)
        )
        if not fits:
            takes = _written(["any" if dim is None else dim for dim in spec.shape])
            raise RunFailed(
                f"The shape {_written(shape)} is given for {name[:80]!r}, and the file takes {takes}; give one that fits."
            )


def _axes(spec: TensorSpec, names: Sequence[str]) -> dict[int, _Axis]:
    """The free axes of an input, by place."""
    dims = (None,) if spec.any_rank else spec.shape
    named = [*names, *[""] * len(dims)]
    return {place: named[place] or (spec.name, place) for place, dim in enumerate(dims) if dim is None}


def _elements(sample: Sample) -> int:
    return sum(map(prod, sample.shapes.values()))


def _nested(value: Any, shape: Sequence[int]) -> Any:
    nested = value
    for size in reversed(shape):
        nested = [nested] * size
    return nested


def _written(shape: Sequence[object]) -> str:
    return " x ".join(map(str, shape)) or "one number"
