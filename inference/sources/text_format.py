"""Reads protobuf's text format, as in Triton's config.pbtxt, within limits and without a schema."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from registry.errors import Invalid

MAX_BYTES, MAX_DEPTH, MAX_TOKENS = 1 << 20, 32, 200_000
_TOKEN = re.compile(
    r"(?P<blank>\s+|\#[^\n]*)"
    r"|(?P<word>[A-Za-z_][A-Za-z0-9_]{0,255})"
    r"|(?P<number>[+-]?(?:0[xX][0-9a-fA-F]{1,16}|(?:[0-9]{1,32}(?:\.[0-9]{0,32})?|\.[0-9]{1,32})(?:[eE][+-]?[0-9]{1,4})?[fF]?)(?![A-Za-z0-9_.]))"
    r"|(?P<text>\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*')"
    r"|(?P<mark>[{}<>\[\]:,;])"
)
_ESCAPE = re.compile(rb"\\(?:x([0-9a-fA-F]{1,2})|([0-3]?[0-7]{1,2})|(.))", re.DOTALL)
_LETTERS = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"a": b"\a", b"b": b"\b", b"f": b"\f", b"v": b"\v"}
_ENDS = {"{": "}", "<": ">"}
_Kind = TypeVar("_Kind")


@dataclass(frozen=True, slots=True)
class TextMessage:
    """The values of each field, in order: texts, numbers and messages. Words such as KIND_CPU and true are texts."""

    fields: dict[str, list[object]] = field(default_factory=dict)

    def text(self, name: str) -> str:
        return self._last(name, str) or ""

    def whole(self, name: str) -> int | None:
        return self._last(name, int)

    def wholes(self, name: str) -> list[int]:
        return self._all(name, int)

    def messages(self, name: str) -> list["TextMessage"]:
        return self._all(name, TextMessage)

    def message(self, name: str) -> "TextMessage":
        """One message of all that are there: protobuf merges a message that is repeated."""
        merged = TextMessage()
        for each in self.messages(name):
            for key, values in each.fields.items():
                merged.fields.setdefault(key, []).extend(values)
        return merged

    def parameters(self, name: str) -> dict[str, str]:
        """A map such as Triton's `parameters`: its values are texts, or messages with a `string_value`."""
        return {entry.text("key"): entry._string_value() for entry in self.messages(name)}

    def _string_value(self) -> str:
        value = next(iter(self.fields.get("value", [])), "")
        return value.text("string_value") if isinstance(value, TextMessage) else str(value)

    def _last(self, name: str, kind: type[_Kind]) -> _Kind | None:
        """The last one, as protobuf reads a field that is there twice."""
        return next(reversed(self._all(name, kind)), None)

    def _all(self, name: str, kind: type[_Kind]) -> list[_Kind]:
        values = self.fields.get(name, [])
        found = [value for value in values if isinstance(value, kind)]
        if len(found) < len(values):
            raise Invalid(f"`{name}` has a value of another kind than its field takes; correct it.")
        return found


def read_text_format(content: bytes, name: str) -> TextMessage:
    """Parse a message; raise Invalid naming the file and the line that is wrong."""
    if len(content) > MAX_BYTES:
        raise Invalid(f"{name} has {len(content):,} bytes; at most {MAX_BYTES:,} are read.")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise Invalid(f"{name} is not UTF-8 text; save it as that.") from None
    return _TextFormatReader(text, name).read()


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int


class _TextFormatReader:
    """Reads one message after another by recursion, at most MAX_DEPTH deep."""

    def __init__(self, text: str, name: str) -> None:
        self._text, self._name = text, name
        self._tokens = self._split()
        self._next = next(self._tokens)

    def read(self) -> TextMessage:
        return self._message("", 0)

    def _split(self) -> Iterator[_Token]:
        at = count = 0
        while at < len(self._text):
            found = _TOKEN.match(self._text, at)
            if found is None or found.lastgroup is None:
                raise self._wrong(at, f"{self._text[at : at + 20]!r} cannot be read")
            if found.lastgroup != "blank":
                count += 1
                if count > MAX_TOKENS:
                    raise self._wrong(at, f"there are more than {MAX_TOKENS:,} words and signs")
                yield _Token(found.lastgroup, found.group(), at)
            at = found.end()
        yield _Token("end", "", at)

    def _wrong(self, at: int, what: str) -> Invalid:
        line = self._text.count("\n", 0, at) + 1
        return Invalid(f"Line {line:,} of {self._name} is not in protobuf's text format: {what}.")

    def _take(self) -> _Token:
        token = self._next
        if token.kind != "end":
            self._next = next(self._tokens)
        return token

    def _is_next(self, marks: str) -> bool:
        return self._next.kind == "mark" and self._next.text in marks

    def _message(self, end: str, depth: int) -> TextMessage:
        if depth > MAX_DEPTH:
            raise self._wrong(self._next.at, f"messages are nested more than {MAX_DEPTH} deep")
        message = TextMessage()
        while True:
            token = self._take()
            if (token.kind == "end" and not end) or (token.kind == "mark" and token.text == end):
                return message
            if token.kind != "word":
                raise self._wrong(token.at, f"a field's name is expected instead of {token.text[:20]!r}")
            message.fields.setdefault(token.text, []).extend(self._values(depth))
            if self._is_next(",;"):
                self._take()

    def _values(self, depth: int) -> list[object]:
        """What follows a field's name. Only a message, or a list of some, may follow without a colon."""
        has_colon = self._is_next(":")
        if has_colon:
            self._take()
        if not self._is_next("["):
            return [self._value(depth, has_colon)]
        self._take()
        values: list[object] = []
        while not self._is_next("]"):
            values.append(self._value(depth, has_colon))
            if not self._is_next("]"):
                self._expect(",")
        self._take()
        return values

    def _expect(self, mark: str) -> None:
        token = self._take()
        if token.kind != "mark" or token.text != mark:
            raise self._wrong(token.at, f"{mark!r} is expected instead of {token.text[:20]!r}")

    def _value(self, depth: int, has_colon: bool) -> object:
        token = self._take()
        if token.kind == "mark" and token.text in _ENDS:
            return self._message(_ENDS[token.text], depth + 1)
        readers: dict[str, Callable[[_Token], object]] = {
            "word": lambda word: word.text,
            "number": self._number,
            "text": self._joined,
        }
        if not has_colon or token.kind not in readers:
            raise self._wrong(token.at, f"a value is expected instead of {token.text[:20]!r}")
        return readers[token.kind](token)

    def _joined(self, token: _Token) -> str:
        """Texts that follow each other are one."""
        parts = [_unescape(token.text)]
        while self._next.kind == "text":
            parts.append(_unescape(self._take().text))
        try:
            return b"".join(parts).decode()
        except UnicodeDecodeError:
            raise self._wrong(token.at, "the text is not UTF-8") from None

    def _number(self, token: _Token) -> int | float:
        text = token.text
        if "x" in text.lower():
            return int(text, 16)
        try:
            return int(text, 8 if text.lstrip("+-").startswith("0") and text.lstrip("+-0") else 10)
        except ValueError:
            return float(text.rstrip("fF"))


def _unescape(quoted: str) -> bytes:
    return _ESCAPE.sub(_character, quoted[1:-1].encode())


def _character(escape: re.Match[bytes]) -> bytes:
    hexadecimal, octal, letter = escape.groups()
    if hexadecimal is not None:
        return bytes([int(hexadecimal, 16)])
    if octal is not None:
        return bytes([int(octal, 8)])
    return _LETTERS.get(letter, letter)
