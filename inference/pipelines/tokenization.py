"""Texts to token ids: reads a version's tokenizer, cuts long texts or divides them into windows, and pads batches.

`tokenizers` is imported when the first tokenizer is read: processes that serve tensors only never load it.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from inference.pipelines.errors import BadTokenizer, InvalidText, TextTooLong
from inference.pipelines.tokenizer_json import MAX_FILE_BYTES, checked_definition
from inference.pipelines.tokenizer_json import MAX_ID as MAX_ID

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

Ids = NDArray[np.int32]
SEND_LESS = "Divide them, and send them in several requests."
_READ_AT_ONCE = 4_096  # tokens


@dataclass(frozen=True, slots=True)
class Window:
    """The part of a text that one row of a batch holds."""

    ids: Ids
    spans: NDArray[np.int32]  # first and last code point of each token, in the whole text
    words: NDArray[np.int32]  # the word that each token belongs to; -1 for special tokens

    def part(self, start: int, end: int) -> "Window":
        return Window(self.ids[start:end], self.spans[start:end], self.words[start:end])


@dataclass(frozen=True, slots=True)
class TokenizedText:
    """A text in one window, or in several that overlap."""

    windows: Sequence[Window]
    given: int  # tokens of the whole text, special ones included once
    used: int  # tokens of the windows, those of overlaps counted once

    @property
    def is_cut(self) -> bool:
        return self.used < self.given


class TextTokenizer:
    """A version's tokenizer. May be used by several threads at once."""

    def __init__(self, definition: str) -> None:
        """`definition` is the text of a checked `tokenizer.json`."""
        self._definition = definition
        self._tokenizer = _read_definition(definition)
        self.largest_id = max(self._tokenizer.get_vocab(with_added_tokens=True).values(), default=0)
        self._before, self._after = self._added_ids()

    @property
    def special_tokens(self) -> int:
        """How many tokens are added to every window."""
        return len(self._before) + len(self._after)

    @classmethod
    def from_json(cls, data: bytes) -> "TextTokenizer":
        """Read a `tokenizer.json`. Raises BadTokenizer, also for what would make texts slow to read."""
        return cls._checked(checked_definition(data))

    @classmethod
    def from_words(cls, data: bytes, *, lower_case: bool, unknown: str = "[UNK]") -> "TextTokenizer":
        """Read a list of words, one per line: a text is split at white space, and each word has one id."""
        from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

        words = _read_words(data)
        if unknown not in words:
            raise BadTokenizer(f"The list of words lacks {unknown!r}, which stands for unknown words.")
        tokenizer = Tokenizer(models.WordLevel(words, unk_token=unknown))
        tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        if lower_case:
            tokenizer.normalizer = normalizers.Lowercase()
        return cls._checked(tokenizer.to_str())

    @classmethod
    def from_word_pieces(
        cls, data: bytes, *, lower_case: bool, strip_accents: bool | None = None, split_chinese: bool = True
    ) -> "TextTokenizer":
        """Read a BERT model's `vocab.txt`. Unless said otherwise, accents go if letters become lower case."""
        from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

        words = _read_words(data)
        if missing := [word for word in ("[UNK]", "[CLS]", "[SEP]") if word not in words]:
            raise BadTokenizer(
                f"vocab.txt lacks {', '.join(missing)}, so it is not the vocabulary of a BERT model."
            )
        tokenizer = Tokenizer(models.WordPiece(words, unk_token="[UNK]", max_input_chars_per_word=100))  # noqa: S106
        tokenizer.normalizer = normalizers.BertNormalizer(
            lowercase=lower_case,
            strip_accents=None
            if strip_accents == lower_case
            else strip_accents,  # one digest for one meaning
            handle_chinese_chars=split_chinese,
        )
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        tokenizer.post_processor = processors.BertProcessing(
            ("[SEP]", words["[SEP]"]), ("[CLS]", words["[CLS]"])
        )
        return cls._checked(tokenizer.to_str())

    @classmethod
    def _checked(cls, definition: str) -> "TextTokenizer":
        try:
            return cls(definition)
        except InvalidText as error:
            raise BadTokenizer(str(error)) from None

    @cached_property
    def digest(self) -> str:
        """Two tokenizers with the same digest make the same ids of every text."""
        return hashlib.sha256(self._definition.encode()).hexdigest()

    def tokenize(
        self,
        texts: Sequence[str],
        *,
        max_tokens: int,
        overlap: int | None = None,
        most_windows: int | None = None,
    ) -> list[TokenizedText]:
        """Tokenize texts, and cut them after `max_tokens`; with an overlap, divide them into windows instead.

        The lock of the interpreter is not held meanwhile. Raises TextTooLong for more than `most_windows`.
        """
        check_texts(texts)
        encodings = self._encode(texts, add_special_tokens=False)
        room = max_tokens - self.special_tokens
        if most_windows is not None:  # counted before any of them is made
            windows = sum(len(_window_starts(len(encoding), room, overlap)) for encoding in encodings)
            if windows > most_windows:
                raise TextTooLong(
                    f"The texts of a request may have at most {most_windows:,} windows of {room:,} tokens together;"
                    f" these have {windows:,}. {SEND_LESS}",
                    field="texts",
                )
        return [self._text(encoding, room, overlap) for encoding in encodings]

    def _text(self, encoding: "Encoding", room: int, overlap: int | None) -> TokenizedText:
        given = len(encoding)
        used = given if overlap is not None else min(given, room)
        tokens = _tokens_of(encoding, used)
        starts = _window_starts(given, room, overlap)
        windows = [self._window(tokens.part(start, start + room)) for start in starts]
        return TokenizedText(windows, given + self.special_tokens, used + self.special_tokens)

    def _window(self, tokens: Window) -> Window:
        """The tokens with the special ones around them."""
        around = len(self._before), len(self._after)
        return Window(
            np.concatenate([self._before, tokens.ids, self._after]),
            np.pad(tokens.spans, (around, (0, 0))),
            np.pad(tokens.words, around, constant_values=-1),
        )

    def _added_ids(self) -> tuple[Ids, Ids]:
        """The ids that are added before and after a text."""
        (plain,), (whole,) = (
            self._encode(["Hello, wörld"], add_special_tokens=added) for added in (False, True)
        )
        before = next((at for at, text in enumerate(whole.sequence_ids) if text is not None), len(whole))
        after = before + len(plain)
        if whole.ids[before:after] != plain.ids:
            raise BadTokenizer("The tokens that tokenizer.json adds to a text are not around it.")
        return np.array(whole.ids[:before], np.int32), np.array(whole.ids[after:], np.int32)

    def _encode(self, texts: Sequence[str], *, add_special_tokens: bool) -> list["Encoding"]:
        try:
            return self._tokenizer.encode_batch(list(texts), add_special_tokens=add_special_tokens)
        except BaseException as error:
            if not _is_of_the_library(error):
                raise
            raise InvalidText(
                f"The version's tokenizer cannot read this: {str(error)[:200]}.", field="texts"
            ) from None


def _window_starts(given: int, room: int, overlap: int | None) -> range:
    """Each begins where the one before has `overlap` tokens left; the last one ends with the text."""
    if overlap is None or given <= room:
        return range(1)
    return range(0, given - overlap, room - overlap)


def _read_definition(definition: str) -> "Tokenizer":
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_str(definition)
    except BaseException as error:
        if not _is_of_the_library(error):
            raise
        raise BadTokenizer(f"The tokenizer cannot be read: {str(error)[:200]}.") from None


def _tokens_of(encoding: "Encoding", count: int) -> Window:
    """The first tokens of an encoding, without special ones.

    Its lists are made in one go, during which no other thread can run; so those of a long text are read token by token.
    """
    if len(encoding) <= _READ_AT_ONCE:
        return _window(encoding.ids[:count], encoding.offsets[:count], encoding.word_ids[:count])
    ids, parts = encoding.ids, []
    for start in range(0, count, _READ_AT_ONCE):
        part = range(start, min(start + _READ_AT_ONCE, count))
        spans = [encoding.token_to_chars(at) for at in part]
        parts.append(_window(ids[part.start : part.stop], spans, [encoding.token_to_word(at) for at in part]))
    return Window(
        np.concatenate([part.ids for part in parts]),
        np.concatenate([part.spans for part in parts]),
        np.concatenate([part.words for part in parts]),
    )


def _window(ids: Sequence[int], spans: Sequence[Any], words: Sequence[int | None]) -> Window:
    return Window(
        np.array(ids, np.int32),
        np.array(spans, np.int32).reshape(-1, 2),
        np.array([-1 if word is None else word for word in words], np.int32),
    )


def _is_of_the_library(error: BaseException) -> bool:
    """Whether the library tokenizers raised it: a plain Exception, or a panic, which is no Exception at all."""
    return type(error) is Exception or type(error).__name__ == "PanicException"


def pad(windows: Sequence[Window], *, length: int, padding_id: int) -> Ids:
    """The ids of the windows as rows of one length."""
    padded = np.full((len(windows), length), padding_id, np.int32)
    for row, window in zip(padded, windows, strict=True):
        row[: len(window.ids)] = window.ids
    return padded


def check_texts(texts: Sequence[Any]) -> None:
    for place, text in enumerate(texts):
        if not isinstance(text, str):
            raise InvalidText(f"{text_name(place, texts)} is not a string.", field="texts")
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise InvalidText(
                f"{text_name(place, texts)} is not Unicode: it has half of a surrogate pair at {error.start:,}.",
                field="texts",
            ) from None


def text_name(place: int, texts: Sequence[Any]) -> str:
    """What messages call one of these texts."""
    return "The text" if len(texts) == 1 else f"Text {place + 1}"


def _read_words(data: bytes) -> dict[str, int]:
    """The words of a file with one per line, and their ids."""
    if len(data) > MAX_FILE_BYTES:
        raise BadTokenizer(f"A list of words may have at most {MAX_FILE_BYTES >> 20} MiB.")
    try:
        # Not splitlines, which also splits at characters that are words of some vocabularies
        lines = data.decode().removesuffix("\n").split("\n")
    except UnicodeDecodeError:
        raise BadTokenizer("The list of words is not UTF-8.") from None
    if len(lines) > MAX_ID:
        raise BadTokenizer(f"A list of words may have at most {MAX_ID:,} lines.")
    words = {line.rstrip("\r"): number for number, line in enumerate(lines)}
    if len(words) < len(lines):
        raise BadTokenizer("The list of words has the same word twice, so their ids are not clear.")
    return words
