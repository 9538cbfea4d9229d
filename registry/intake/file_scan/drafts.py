"""Rewritten messages: spans of the old file, with new bytes between them."""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from registry.intake.file_scan.wire import LENGTH, MessageSpec, WireFile


class Span(NamedTuple):
    """Bytes of the model file."""

    start: int
    size: int


class ExternalSpan(NamedTuple):
    """Bytes of a data file."""

    location: str
    start: int
    size: int
    label: str  # the tensor's name, for error messages


Part = Span | ExternalSpan | bytes


class Draft:
    """The content of a message, part by part."""

    __slots__ = ("parts", "size")

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.size = 0

    def copy(self, start: int, end: int) -> None:
        """Append a span of the model file."""
        self._append(Span(start, end - start))
        self.size += end - start

    def write(self, content: bytes) -> None:
        self.parts.append(content)
        self.size += len(content)

    def take(self, external: ExternalSpan) -> None:
        self.parts.append(external)
        self.size += external.size

    def nest(self, tag: int, inner: "Draft") -> None:
        """Append a message with its tag and its new length."""
        self.write(varint(tag) + varint(inner.size))
        for part in inner.parts:
            self._append(part)
        self.size += inner.size

    def _append(self, part: Part) -> None:
        last = self.parts[-1] if self.parts else None
        if isinstance(part, Span) and isinstance(last, Span) and last.start + last.size == part.start:
            self.parts[-1] = Span(last.start, last.size + part.size)
        else:
            self.parts.append(part)


REMOVED: Final = Draft()  # marks a field that is left out
Rule = Callable[
    [int, int], Draft | None
]  # a field's start and end -> its new content, REMOVED, or None to keep it


def redraft(
    file: WireFile, message: MessageSpec, start: int, end: int, rules: Mapping[str, Rule]
) -> Draft | None:
    """Apply the rules to the fields of a message; None if nothing changes."""
    draft, at = None, start
    for what, begin, stop in file.fields(message, start, end):
        rule = rules.get(what)
        edit = rule(begin, stop) if rule is not None else None
        if edit is not None and draft is None:
            draft = Draft()
            draft.copy(start, at)
        if draft is not None:
            if edit is None:
                draft.copy(at, stop)
            elif edit is not REMOVED:
                draft.nest(_tag(message, what), edit)
        at = stop
    return draft


def _tag(message: MessageSpec, what: str) -> int:
    return next(tag for tag, known in message.known.items() if known.name == what)


def varint(number: int) -> bytes:
    pieces = bytearray()
    while number > 0x7F:
        pieces.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*pieces, number])


def field(number: int, content: bytes) -> bytes:
    """A length-delimited field."""
    return varint(number << 3 | LENGTH) + varint(len(content)) + content


def number_field(number: int, value: int) -> bytes:
    return varint(number << 3) + varint(value)
