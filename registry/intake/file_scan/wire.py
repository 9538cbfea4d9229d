"""Walks the protobuf fields of an untrusted file through a small window, never loading the whole file.

Stricter than protobuf where two readers could understand a file differently: singular fields must not repeat, and
unknown fields are refused. The file is read, not mapped: a mapped file that shrinks would kill the process.
"""

import os
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from registry.intake.file_scan.errors import Malformed, NameTooLong, TooDeep, TooMuch, Truncated, quote_name
from registry.intake.file_scan.limits import ScanLimits

VARINT, EIGHT, LENGTH, FOUR = 0, 1, 2, 5
_WINDOW_BYTES = 1 << 16
_LONGEST = 20  # bytes of a tag and a number
_PADDING = bytes(_LONGEST + 1)  # zeros end every number, so that none is read past the file's end
_CONTINUED = bytes(range(0x80, 0x100))


class FieldSpec(NamedTuple):
    """One field of a message."""

    name: str
    once: int  # its bit among the singular fields; 0: may be repeated
    is_name: bool
    run: re.Pattern[bytes] | None  # matches many in a row, which count as one field


class MessageSpec(NamedTuple):
    """The fields of a message by tag (number and wire type)."""

    what: str
    known: Mapping[int, FieldSpec]


class WireFile:
    """A file as nested fields."""

    def __init__(self, descriptor: int, size: int, limits: ScanLimits) -> None:
        self._descriptor, self.size, self._limits = descriptor, size, limits
        self._window, self._base, self._safe = b"", 0, -1
        self._depth = self._count = 0

    def fields(self, message: MessageSpec, start: int, end: int) -> Iterator[tuple[str, int, int]]:
        """Yield name, start and end of every field between two offsets; callers must exhaust it."""
        known, longest_name = message.known, self._limits.max_name_bytes
        at, seen = start, 0
        self._enter(message)
        while at < end:
            if not self._base <= at <= self._safe:
                self._move_to(at)
            window, base = self._window, self._base
            cursor = at - base + 1
            tag = window[cursor - 1]
            if tag > 0x7F:
                tag, cursor = _varint(window, cursor - 1)
            field = known.get(tag)
            if field is None or seen & field.once:
                raise self._unexpected(message, tag, at)
            seen |= field.once
            wire = tag & 7
            if field.run is not None:
                cursor, stop = at - base, self._end_of_run(field.run, at, end)
            elif wire == LENGTH:
                size = window[cursor]
                cursor += 1
                if size > 0x7F:
                    size, cursor = _varint(window, cursor - 1)
                stop = base + cursor + size
                if field.is_name and size > longest_name:
                    raise self._long_name(message, field, base + cursor, size)
            elif wire == VARINT:
                stop = base + _varint(window, cursor)[1]
            else:
                stop = base + cursor + (8 if wire == EIGHT else 4)
            if stop > end:
                raise self._beyond(message, field, at, stop)
            self._count += 1
            if self._count > self._limits.max_fields:
                raise TooMuch(
                    f"The file has more than {self._limits.max_fields:,} fields; send a smaller model."
                )
            at = stop
            yield field.name, base + cursor, stop
        self._depth -= 1

    def number(self, at: int) -> int:
        """Read the number of a field as a signed 64-bit integer."""
        self._move_near(at)
        return _signed(_varint(self._window, at - self._base)[0])

    def numbers(self, start: int, end: int) -> list[int]:
        """Read packed numbers; for short lists only."""
        packed, numbers, cursor = self.text(start, end) + _PADDING, [], 0
        while cursor < end - start:
            value, cursor = _varint(packed, cursor)
            numbers.append(_signed(value))
        return numbers

    def text(self, start: int, end: int) -> bytes:
        """Read the bytes of a field; for fields known to be short."""
        if self._base <= start and end <= self._base + len(self._window) - len(_PADDING):
            return self._window[start - self._base : end - self._base]
        return self._read(start, end - start)

    def count_ends(self, start: int, end: int) -> int:
        """Count the bytes that end a varint."""
        count = 0
        for at in range(start, end, 1 << 20):
            piece = self._read(at, min(1 << 20, end - at))
            count += len(piece.translate(None, _CONTINUED))
        return count

    def _enter(self, message: MessageSpec) -> None:
        self._depth += 1
        if self._depth > self._limits.max_depth:
            raise TooDeep(
                f"Messages are nested more than {self._limits.max_depth} deep, the innermost of type '{message.what}';"
                " export the model with fewer nested graphs."
            )

    def _end_of_run(self, run: re.Pattern[bytes], at: int, end: int) -> int:
        start = at
        while at < end:
            self._move_near(at)
            last = min(end - self._base, len(self._window) - len(_PADDING))
            match = run.match(self._window, at - self._base, last)
            if match is None:
                break
            at = self._base + match.end()
        return at if at > start else self.size + 1  # nothing matches

    def _move_near(self, at: int) -> None:
        if not self._base <= at <= self._safe:
            self._move_to(at)

    def _move_to(self, at: int) -> None:
        piece = self._read(at, min(_WINDOW_BYTES, self.size - at))
        self._window, self._base = piece + _PADDING, at
        end = at + len(piece)
        self._safe = end if end == self.size else end - _LONGEST

    def _read(self, at: int, size: int) -> bytes:
        pieces: list[bytes] = []
        while size > 0:
            piece = os.pread(self._descriptor, size, at)
            if not piece:
                raise Truncated(
                    f"The file became shorter while it was being read (at byte {at:,}); send it again."
                )
            pieces.append(piece)
            at, size = at + len(piece), size - len(piece)
        return b"".join(pieces)

    def _unexpected(self, message: MessageSpec, tag: int, at: int) -> Malformed:
        field = message.known.get(tag)
        what = f"a second {field.name}" if field else f"an unknown field ({tag >> 3}, wire type {tag & 7})"
        return Malformed(
            f"A message of type '{message.what}' has {what} at byte {at:,}; export the file again."
        )

    def _beyond(self, message: MessageSpec, field: FieldSpec, at: int, stop: int) -> Truncated | Malformed:
        what = f"the {field.name} in a message of type '{message.what}', which begins at byte {at:,},"
        if stop > self.size:
            return Truncated(
                f"The file is incomplete: {what} ends after the file's {self.size:,} bytes; send it again."
            )
        return Malformed(f"The file is damaged: {what} is larger than its parent; export the file again.")

    def _long_name(self, message: MessageSpec, field: FieldSpec, start: int, size: int) -> NameTooLong:
        begin = self.text(start, min(start + 64, self.size))
        return NameTooLong(
            f"The {field.name} in a message of type '{message.what}', {quote_name(begin)}, has {size:,} bytes;"
            f" shorten it to at most {self._limits.max_name_bytes:,}."
        )


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Read an unsigned 64-bit number; return it and where it ends."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, at
        shift += 7
        if shift > 63:
            raise Malformed("The file has a number longer than 64 bits; export it again.")


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value
