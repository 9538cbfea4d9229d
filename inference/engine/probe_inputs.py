"""Inputs on which the probe runs a file: first a sample that works, then extreme integers that callers may send."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, islice, product
from math import prod
from typing import Any

import numpy as np

from inference.engine.backends import LoadedSession
from inference.engine.errors import RunFailed, RunTimedOut
from inference.tensors.arrays import Array
from inference.tensors.errors import InferenceError
from inference.tensors.samples import MAX_VALUES, Sample, sample_inputs
from inference.tensors.signature import Signature, TensorSpec

SIZES = (1, 2, 8, 32, 64, 224, 256, 320, 640)
TIME_LIMIT_S = 10.0
_MAX_ELEMENTS = 1 << 26  # of one input
_MAX_MIXED = 3  # free axes whose sizes are tried in all combinations
_MAX_TEXTS = 512
_SHOWN = 4
_Axis = (
    str | tuple[str, int]
)  # free axes with the same name have the same size; an unnamed axis is independent
_Sizes = Mapping[_Axis, int]


@dataclass(frozen=True, slots=True)
class FoundSample:
    """A sample on which the file ran."""

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
    """Run the file until a sample works; otherwise raise RunFailed with the smallest run that failed, and advice.

    1. Samples from the examples: their sizes, integers and texts.
    2. The given shapes, with 1 on every other free axis.
    3. Plausible sizes for the other free axes: first all equal, then mixed; first with zeros, then with ones in integer
       inputs, and with texts that the file knows.

    The time limit is for the search only: the first run may take as long as the model needs.
    """
    search = _Search(session, dict(shapes or {}))
    for tensors in examples:
        sample = Sample.of(session.signature, tensors)
        if search.works(sample):
            return FoundSample(sample, "examples", search.tries)
    ends_at = None
    for sample in search.candidates():
        if search.works(sample, None if ends_at is None else ends_at - clock()):
            return FoundSample(sample, "given shapes" if shapes else "made up", search.tries)
        ends_at = ends_at or clock() + time_limit_s
        if clock() >= ends_at:
            break
    raise search.refusal()


class _Search:
    """Tries samples on one session."""

    def __init__(self, session: LoadedSession, given: Mapping[str, Sequence[int]]) -> None:
        self._session = session
        self._specs = session.signature.required_inputs
        self._given = {name: tuple(map(int, shape)) for name, shape in given.items()}
        self._axes = {spec.name: _axes(spec, session.axis_names.get(spec.name, ())) for spec in self._specs}
        self._smallest: tuple[Sample, InferenceError] | None = None  # run that failed
        self.tries = 0
        check_shapes(session.signature, self._given)

    def works(self, sample: Sample, limit_s: float | None = None) -> bool:
        try:
            self.tries += 1
            self._session.run(sample_inputs(self._session.signature, sample), soft_limit_s=limit_s)
        except InferenceError as error:
            if self._smallest is None or _elements(sample) < _elements(self._smallest[0]):
                self._smallest = sample, error
            if limit_s is None and isinstance(error, RunTimedOut):
                raise
            return False
        except (MemoryError, ValueError):  # sizes too large for memory, or values that do not fit the sizes
            return False
        return True

    def candidates(self) -> Iterator[Sample]:
        """Samples to try, the likeliest first."""
        zeros: dict[str, Any] = {}
        ones = {spec.name: 1 for spec in self._specs if spec.dtype.kind in "iu"}
        for size_choices in (self._equal_sizes, self._mixed_sizes, self._sizes_with_rows):
            if size_choices == self._mixed_sizes:
                yield from (self._sample({}, texts) for texts in self._texts())
            for values in (zeros, ones) if ones else (zeros,):
                for sizes in size_choices():
                    sample = self._sample(sizes, values)
                    if all(prod(shape) <= _MAX_ELEMENTS for shape in sample.shapes.values()):
                        yield sample

    def refusal(self) -> RunFailed:
        """Put the advice first: the runtime's message is long and may be cut off."""
        sample, error = self._smallest or (Sample(), RunFailed())
        shown = [f"{name[:80]!r} of {_format_shape(shape)}" for name, shape in sample.shapes.items()]
        on = ", ".join(shown[:_SHOWN]) + (" and others" if len(shown) > _SHOWN else "")
        tried = f"any of {self.tries:,} generated inputs"
        if self._has_all_sizes:
            tried = "the given sizes"
        if not self._is_fixed:
            tried += f"; give sizes that it accepts, such as {self._hint()}, or an example"
        return RunFailed(f"The file does not run on {tried}. With {on or 'no input'}: {error}")

    @property
    def _is_fixed(self) -> bool:
        return not any(self._axes.values())

    @property
    def _has_all_sizes(self) -> bool:
        return bool(self._given) and not self._free()

    def _hint(self) -> str:
        name = next(name for name, axes in self._axes.items() if axes)
        spec = next(spec for spec in self._specs if spec.name == name)
        dims = (1, 3, None, None) if spec.any_rank else spec.shape
        sizes = [1 if dim is None and place == 0 else dim or 320 for place, dim in enumerate(dims)]
        return f"{name[:80]}={','.join(map(str, sizes))}"

    def _free(self) -> list[_Axis]:
        """Free axes without a given size, except those that may count rows."""
        rows = self._row_axes()
        known = {axis for name, axes in self._axes.items() if name in self._given for axis in axes.values()}
        every = chain.from_iterable(axes.values() for axes in self._axes.values())
        return [axis for axis in dict.fromkeys(every) if axis not in rows and axis not in known]

    def _row_axes(self) -> set[_Axis]:
        return {axes[0] for axes in self._axes.values() if 0 in axes}

    def _equal_sizes(self) -> Iterator[_Sizes]:
        for size in SIZES if self._free() else (1,):
            yield dict.fromkeys(self._free(), size)

    def _mixed_sizes(self) -> Iterator[_Sizes]:
        free = self._free()
        if 2 <= len(free) <= _MAX_MIXED:
            combined = [sizes for sizes in product(SIZES, repeat=len(free)) if len(set(sizes)) > 1]
            for sizes in sorted(combined, key=lambda sizes: (sum(size > 1 for size in sizes), sum(sizes))):
                yield dict(zip(free, sizes, strict=True))
        elif len(free) > _MAX_MIXED:
            for base, other in product(SIZES, SIZES):
                for axis in free if base != other else ():
                    yield {**dict.fromkeys(free, base), axis: other}

    def _sizes_with_rows(self) -> Iterator[_Sizes]:
        """First the given shapes including the first axis, then row counts equal to all the other sizes."""
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
        """Texts that the file knows, for each text input; most encoders reject all others."""
        names = [spec.name for spec in self._specs if spec.datatype == "BYTES"]
        combinations = product(self._session.texts, repeat=len(names)) if names else ()
        for texts in islice(combinations, _MAX_TEXTS):
            yield dict(zip(names, texts, strict=True))

    def _sample(self, sizes: _Sizes, values: Mapping[str, Any]) -> Sample:
        """A sample of these sizes. Each small input in `values` is filled with its value."""
        rows = self._row_axes()
        known = {
            axis: self._given[name][place]
            for name, axes in self._axes.items()
            if name in self._given
            for place, axis in axes.items()
            if axis not in rows
        }
        shapes = {spec.name: self._shape(spec, {**known, **sizes}, rows) for spec in self._specs}
        small = {name: value for name, value in values.items() if prod(shapes[name]) <= MAX_VALUES}
        return Sample(shapes, {name: _filled_list(value, shapes[name]) for name, value in small.items()})

    def _shape(self, spec: TensorSpec, sizes: _Sizes, rows: set[_Axis]) -> tuple[int, ...]:
        """The given shape except for the row axis, or these sizes."""
        given = self._given.get(spec.name)
        if spec.any_rank and given is not None:
            return given
        shape = [1] if spec.any_rank else [dim or 0 for dim in spec.shape]
        for place, axis in self._axes[spec.name].items():
            shape[place] = sizes.get(axis, 1) if given is None or axis in rows else given[place]
        return tuple(shape)


def check_shapes(signature: Signature, shapes: Mapping[str, Sequence[int]]) -> None:
    """Raise RunFailed if a given shape does not fit the file."""
    specs = {spec.name: spec for spec in signature.inputs}
    for name, shape in shapes.items():
        spec = specs.get(name)
        if spec is None:
            inputs = ", ".join(repr(known[:80]) for known in specs) or "no inputs"
            raise RunFailed(
                f"A shape is given for {name[:80]!r}, which is not an input of the file; it accepts {inputs}."
            )
        if spec.any_rank:
            continue
        fits = len(shape) == len(spec.shape) and all(
            want in {None, have} for want, have in zip(spec.shape, shape, strict=True)
        )
        if not fits:
            takes = _format_shape(["any" if dim is None else dim for dim in spec.shape])
            raise RunFailed(
                f"The shape {_format_shape(shape)} does not fit {name[:80]!r}: the file accepts {takes}; give one that fits."
            )


def _axes(spec: TensorSpec, names: Sequence[str]) -> dict[int, _Axis]:
    """The free axes of an input, by position."""
    dims = (None,) if spec.any_rank else spec.shape
    named = [*names, *[""] * len(dims)]
    return {place: named[place] or (spec.name, place) for place, dim in enumerate(dims) if dim is None}


def _elements(sample: Sample) -> int:
    return sum(map(prod, sample.shapes.values()))


def _filled_list(value: Any, shape: Sequence[int]) -> Any:
    nested = value
    for size in reversed(shape):
        nested = [nested] * size
    return nested


def _format_shape(shape: Sequence[object]) -> str:
    return " x ".join(map(str, shape)) or "one number"


EXTREMES_TIME_LIMIT_S = 3.0
MAX_EXTREME_RUNS = 100
_ALL_COMBINED = 3  # integer inputs that are tried in all combinations

Values = dict[str, int]


def try_extreme_integers(
    session: LoadedSession,
    sample: Sample,
    *,
    report: Callable[[str], object],
    time_limit_s: float = EXTREMES_TIME_LIMIT_S,
    clock: Callable[[], float] = time.monotonic,
) -> int:
    """Run the file with -1, 0, and the smallest and largest number in its integer inputs; other inputs are the sample's.

    Some files crash the process on such numbers. `report` gets the values before each run, so after a crash the last
    ones are known. Runtime errors, and running out of memory or time, do not count.
    """
    ends_at = clock() + time_limit_s
    runs = 0
    inputs = sample_inputs(session.signature, sample)
    for values in extreme_values(session.signature):
        left_s = ends_at - clock()
        if left_s <= 0 or runs == MAX_EXTREME_RUNS:
            break
        report(describe_values(values))
        runs += 1
        with suppress(InferenceError, MemoryError):
            extremes = {name: np.full_like(inputs[name], value) for name, value in values.items()}
            session.run({**inputs, **extremes}, soft_limit_s=left_s)
    return runs


def extreme_values(signature: Signature) -> Iterator[Values]:
    """First all inputs alike; then all combinations if there are few inputs, else each input alone."""
    choices = {spec.name: _extremes(spec) for spec in signature.required_inputs if spec.dtype.kind in "iu"}
    if not choices:
        return
    seen: set[tuple[tuple[str, int], ...]] = set()
    for values in (*_equal_values(choices), *_mixed_values(choices)):
        key = tuple(values.items())
        if key not in seen:
            seen.add(key)
            yield values


def describe_values(values: Values) -> str:
    shown = [f"{name[:80]!r} = {value}" for name, value in values.items()]
    return ", ".join(shown[:4]) + (" and others" if len(shown) > 4 else "")


def _extremes(spec: TensorSpec) -> list[int]:
    ends = np.iinfo(spec.dtype)
    return list(dict.fromkeys([max(-1, int(ends.min)), 0, int(ends.min), int(ends.max)]))


def _equal_values(choices: dict[str, list[int]]) -> Iterator[Values]:
    for index in range(max(map(len, choices.values()))):
        yield {name: values[min(index, len(values) - 1)] for name, values in choices.items()}


def _mixed_values(choices: dict[str, list[int]]) -> Iterator[Values]:
    if len(choices) <= _ALL_COMBINED:
        for chosen in product(*choices.values()):
            yield dict(zip(choices, chosen, strict=True))
    else:
        for name, values in choices.items():
            yield from ({name: value} for value in values)
