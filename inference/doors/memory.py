"""The memory that prediction requests may hold: bodies, parsed bodies and answers, in one budget for all doors.

Memory is counted before it is used, by an estimate that errs on the high side.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from django.conf import settings
from numpy.typing import NDArray

from inference.engine.errors import OutputTooLarge, Overloaded
from registry.errors import BodyTooLarge

# Shares of the budget. A request that waits to be parsed already holds its body, so on top of all bodies there must be room to
# parse any one of them; and the longest body must not have to wait until every small request has ended.
_LONGEST_BODY = 0.2
_FOR_BODIES, _FOR_ONE = 0.25, 0.625
_FOR_LARGE = 0.875  # the rest is for small requests, which large ones never delay
_SMALL = 1 << 20

# Sizes of Python's objects as measured with orjson, tensors included: an object, a list, a value with its slot in one of
# them, a string or a key. Their delimiter bytes are counted, even inside strings.
_OBJECT, _LIST, _VALUE, _TEXT = 112, 88, 72, 112
# Bytes per character of text; texts are joined and encoded for checking, at four bytes each if one is above U+FFFF.
_NARROW, _WIDE = 3, 9
_WORST = 40  # times the size of the JSON, at worst
_NOT_COUNTED = 4 << 10  # bytes of JSON; for less, the worst case is assumed
_COUNTED_AT_ONCE = 256 << 10  # fits into the processor's cache

TEXT_BYTES = 136  # overhead per string in a binary tensor, on top of its characters
_WIDEST = 20  # characters of a number in JSON, and a comma
_WIDER = 26
_CHARACTERS: Mapping[str, int] = {
    "bool": 6, "int8": 5, "uint8": 4, "int16": 7, "uint16": 6, "int32": 12, "uint32": 11,
    "float16": 64,  # converted to Python numbers first
    "float32": _WIDEST,
}  # fmt: skip
_ESCAPED = 6  # JSON characters per character of text, at worst


class RequestMemory:
    """The budget of a process; thread-safe."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0
        self.lock = threading.Lock()

    @property
    def most_of_one(self) -> int:
        """The most that a request may hold for its parsed body, or for its answer."""
        return int(_FOR_ONE * self.limit)

    @property
    def longest_body(self) -> int:
        return int(_LONGEST_BODY * self.limit)

    def room_for_body(self, nbytes: int) -> bool:
        return self.held + nbytes <= _FOR_BODIES * self.limit

    def room(self, nbytes: int) -> bool:
        share = 1.0 if nbytes <= _SMALL else _FOR_LARGE
        return self.held + nbytes <= share * self.limit

    def check_body(self, needed: int) -> None:
        """Raise BodyTooLarge for a parsed body that could never fit."""
        if needed > self.most_of_one:
            raise BodyTooLarge(
                f"When parsed, this body would take about {_mib(needed)}; one request may take {_mib(self.most_of_one)}."
                " Send fewer values at once, or send tensors in binary."
            )


class MemoryHolding:
    """What one request holds. Used by one thread at a time, except for `end`, which frees it all and must be called."""

    def __init__(self, memory: RequestMemory) -> None:
        self.memory = memory
        self._bytes = 0
        self._is_over = False

    def take(self, nbytes: int) -> bool:
        """Add this many bytes, if there is room."""
        return self._take(nbytes, self.memory.room)

    def take_for_body(self, nbytes: int) -> bool:
        """Like `take`, but for a large body, or the part of it held at one time, before it is read."""
        return self._take(nbytes, self.memory.room_for_body)

    def add(self, nbytes: int) -> None:
        """Add this many bytes; raises Overloaded if there is no room now."""
        if not self.take(nbytes):
            raise no_room(self.memory)

    def give_back(self, nbytes: int) -> None:
        with self.memory.lock:
            if not self._is_over:
                self._bytes -= nbytes
                self.memory.held -= nbytes

    def end(self) -> None:
        memory = self.memory
        with memory.lock:
            self._is_over = True
            memory.held -= self._bytes
            self._bytes = 0

    def _take(self, nbytes: int, has_room: Callable[[int], bool]) -> bool:
        with self.memory.lock:
            if self._is_over or not has_room(nbytes):
                return False
            self.memory.held += nbytes
            self._bytes += nbytes
            return True


memory = RequestMemory(settings.PREDICT_MEMORY_BYTES)


def no_room(memory: RequestMemory) -> Overloaded:
    return Overloaded(
        f"All {_mib(memory.limit)} that requests may use in this process are in use. Try again in a second."
    )


def hold_answer(holding: MemoryHolding, outputs: int, written: int) -> None:
    """Add an answer's tensors and its written form; raises if there is no room now, or never could be."""
    most = holding.memory.most_of_one
    if outputs + written > most:
        raise OutputTooLarge(
            f"The answer and its tensors would take about {_mib(outputs + written)}; one request may take"
            f" {_mib(most)}. Request binary data, less data at once, or fewer outputs."
        )
    holding.add(outputs + written)


def hold_rows(holding: MemoryHolding, nbytes: int) -> None:
    """Add what a request's items will take as rows; raises if there is no room now, or never could be."""
    holding.memory.check_body(nbytes)
    holding.add(nbytes)


def parsed_bytes(text: bytes) -> int:
    """An upper bound on the memory of parsed JSON and its tensors. Counting bytes costs a fiftieth of parsing."""
    if len(text) <= _NOT_COUNTED:
        return _WORST * len(text)
    needed = _OBJECT * _count(text, b"{") + _LIST * _count(text, b"[") + _VALUE * (1 + _count(text, b","))
    needed += len(text)  # a copy, while it is parsed
    if quotes := _count(text, b'"'):
        width = _NARROW if text.isascii() and b"\\" not in text else _WIDE
        needed += _TEXT * (quotes // 2) + width * len(text)
    return needed


def json_bytes(outputs: Sequence[NDArray[Any]]) -> int:
    """An upper bound on the tensors' size as JSON."""
    return sum(
        sum(_ESCAPED * len(text) + 4 for text in output.ravel().tolist())
        if output.dtype.kind == "O"
        else output.size * _CHARACTERS.get(output.dtype.name, _WIDER)
        for output in outputs
    )


def _count(text: bytes, mark: bytes) -> int:
    """Like `text.count`, but four times as fast. Most bodies have names only at their beginning, then numbers."""
    marks = np.frombuffer(text, np.uint8, count=text.rfind(mark) + 1)
    parts = (marks[at : at + _COUNTED_AT_ONCE] for at in range(0, len(marks), _COUNTED_AT_ONCE))
    return sum(int(np.count_nonzero(part == mark[0])) for part in parts)


def _mib(count: int) -> str:
    return f"{count / 2**20:,.0f} MiB"
