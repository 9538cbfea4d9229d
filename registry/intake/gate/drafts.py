"""A message of a file as it will be: spans of the old one, and what is new between them."""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from registry.intake.gate.wire import LENGTH, Message, WireFile


class Span(NamedTuple):
    """Bytes of the model file."""

    start: int
    size: int


class Outside(NamedTuple):
    """Bytes of a file that came along."""

    location: str
    start: int
    size: int
    told: str  # names the tensor in a sentence


Part = Span | Outside | bytes


class Draft:
    """The content of a message, part by part."""

    __slots__ = ("parts", "size")

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.size = 0

    def copy(self, start: int, end: int) -> None:
        """Take over a span of the file."""
        self._append(Span(start, end - start))
        self.size += end - start

    def write(self, content: bytes) -> None:
        self.parts.append(content)
        self.size += len(content)

    def take(self, outside: Outside) -> None:
        self.parts.append(outside)
        self.size += outside.size

    def nest(self, tag: int, inner: "Draft") -> None:
        """Put a message in, under its tag and its new length."""
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


GONE: Final = Draft()  # a field that is left out
Rule = Callable[[int, int], Draft | None]


def redraft(
    file: WireFile, message: Message, start: int, end: int, rules: Mapping[str, Rule]
) -> Draft | None:
    """Give the message as the rules change it; None where they change nothing.

    A rule is given a field's content, and gives its new content, GONE, or None where it stays.
    """
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
            elif edit is not GONE:
                draft.nest(_tag(message, what), edit)
        at = stop
    return draft


def _tag(message: Message, what: str) -> int:
    return next(tag for tag, known in message.known.items() if known.name == what)


def varint(number: int) -> bytes:
    pieces = bytearray()
    while number > 0x7F:
        pieces.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*pieces, number])


def field(number: int, content: bytes) -> bytes:
    """Write a field whose content has a length."""
    return varint(number << 3 | LENGTH) + varint(len(content)) + content


def number_field(number: int, value: int) -> bytes:
    return varint(number << 3) + varint(value)
