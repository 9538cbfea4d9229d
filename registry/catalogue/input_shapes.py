"""The sizes that a person gives for a version's inputs, so that it is checked and warmed up on what it really takes."""

from collections.abc import Iterable, Mapping
from math import prod
from typing import Any

from registry.errors import Invalid

MAX_INPUTS, MAX_AXES, MAX_NAME = 100, 64, 4096
MAX_ELEMENTS = 2**28  # of one input: a gibibyte of 32-bit numbers
Shapes = dict[str, list[int]]


def checked_shapes(shapes: Mapping[str, Any]) -> Shapes:
    """Return the shapes as they are stored; raise Invalid naming the input that is wrong. The file may still refuse them."""
    if len(shapes) > MAX_INPUTS:
        raise Invalid(f"Give the shapes of {MAX_INPUTS} inputs at most; got {len(shapes):,}.")
    return {_checked_name(name): _checked_shape(name, shape) for name, shape in shapes.items()}


def read_shapes(lines: Iterable[str]) -> Shapes:
    """Read `images=1,3,320,320` as people type it, one input in each line."""
    shapes: dict[str, Any] = {}
    for line in filter(None, map(str.strip, lines)):
        name, equals, sizes = line.rpartition("=")
        if not equals or not name.strip():
            raise Invalid(f"Write a shape as name=1,3,320,320; got {line[:80]!r}.")
        if name.strip() in shapes:
            raise Invalid(f"The shape of {name.strip()[:80]!r} is given twice.")
        shapes[name.strip()] = [_number(size, line) for size in sizes.split(",")] if sizes.strip() else []
    return checked_shapes(shapes)


def _number(text: str, line: str) -> int:
    text = text.strip()
    if not (text.isascii() and text.isdigit()) or len(text) > 10:
        raise Invalid(f"A shape is made of whole numbers, as in images=1,3,320,320; got {line[:80]!r}.")
    return int(text)


def _checked_name(name: Any) -> str:
    if not isinstance(name, str) or not 1 <= len(name) <= MAX_NAME or "\0" in name:
        raise Invalid("The shapes are given by the names of inputs.")
    return name


def _checked_shape(name: str, shape: Any) -> list[int]:
    is_shape = isinstance(shape, (list, tuple)) and all(type(size) is int and size >= 1 for size in shape)
    if not is_shape or len(shape) > MAX_AXES:
        raise Invalid(
            f"The shape of {name[:80]!r} must list whole numbers from 1, such as [1, 3, 320, 320]; got {str(shape)[:80]}."
        )
    if prod(shape) > MAX_ELEMENTS:
        raise Invalid(
            f"The shape of {name[:80]!r} has {prod(shape):,} elements; {MAX_ELEMENTS:,} are the most that a check runs."
        )
    return list(shape)
