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

from inference.pipelines.errors import BadTokenizer, InvalidText
from inference.pipelines.tokenizer_json import MAX_FILE_BYTES, checked_definition
from inference.pipelines.tokenizer_json import MAX_ID as MAX_ID

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

Ids = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Window:
    """The part of a text that one row of a batch holds."""

    ids: Ids
    spans: NDArray[np.int32]  # first and last code point of each token, in the whole text
    words: NDArray[np.int32]  # the word that each token belongs to; -1 for special tokens


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
        self._tokenizers: dict[tuple[int, int], Tokenizer] = {}  # by window and overlap
        first = self._new()
        self.largest_id = max(first.get_vocab(with_added_tokens=True).values(), default=0)
        self.special_tokens = int(first.num_special_tokens_to_add(is_pair=False))  # added to every window
        self._unused = [first]  # large ones take a second to read

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
    def from_word_pieces(cls, data: bytes, *, lower_case: bool) -> "TextTokenizer":
        """Read a BERT model's `vocab.txt`."""
        from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

        words = _read_words(data)
        if missing := [word for word in ("[UNK]", "[CLS]", "[SEP]") if word not in words]:
            raise BadTokenizer(
                f"vocab.txt lacks {', '.join(missing)}, so it is not the vocabulary of a BERT model."
            )
        tokenizer = Tokenizer(models.WordPiece(words, unk_token="[UNK]", max_input_chars_per_word=100))  # noqa: S106
        tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lower_case)
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        tokenizer.post_processor = processors.BertProcessing(
            ("[SEP]", words["[SEP]"]), ("[CLS]", words["[CLS]"])
        )
        return cls._checked(tokenizer.to_str())

    @classmethod
    def _checked(cls, definition: str) -> "TextTokenizer":
        made = cls(definition)
        try:
            made.tokenize(["Hello, wörld"], max_tokens=made.special_tokens + 64)
        except InvalidText as error:
            raise BadTokenizer(str(error)) from None
        return made

    @cached_property
    def digest(self) -> str:
        """Two tokenizers with the same digest make the same ids of every text."""
        return hashlib.sha256(self._definition.encode()).hexdigest()

    def tokenize(
        self, texts: Sequence[str], *, max_tokens: int, overlap: int | None = None
    ) -> list[TokenizedText]:
        """Tokenize texts, and cut them after `max_tokens`; with an overlap, divide them into windows instead.

        The lock of the interpreter is not held meanwhile.
        """
        check_texts(texts)
        tokenizer = self._cutting(max_tokens, overlap or 0)
        try:
            encodings = tokenizer.encode_batch(list(texts), add_special_tokens=True)
        except BaseException as error:
            if not _is_of_the_library(error):
                raise
            raise InvalidText(
                f"The version's tokenizer cannot read this: {str(error)[:200]}.", field="texts"
            ) from None
        return [self._text(encoding, overlap) for encoding in encodings]

    def _text(self, encoding: "Encoding", overlap: int | None) -> TokenizedText:
        encodings = [encoding, *encoding.overflowing]
        # Every window repeats the special tokens, and all but the first repeat the overlap.
        repeated = (len(encodings) - 1) * (self.special_tokens + (overlap or 0))
        given = sum(map(len, encodings)) - repeated
        if overlap is None:
            return TokenizedText([_window(encoding)], given, len(encoding))
        return TokenizedText([_window(one) for one in encodings], given, given)

    def _cutting(self, max_tokens: int, overlap: int) -> "Tokenizer":
        """A tokenizer that cuts like this; the settings of one that is in use must not change."""
        known = self._tokenizers.get((max_tokens, overlap))
        if known is None:
            try:
                known = self._unused.pop()
            except IndexError:
                known = self._new()
            try:
                known.enable_truncation(max_tokens, stride=overlap)
            except BaseException as error:
                if not _is_of_the_library(error):
                    raise
                raise BadTokenizer(f"{max_tokens} tokens cannot be cut out of a text: {error}.") from None
            self._tokenizers[max_tokens, overlap] = known
        return known

    def _new(self) -> "Tokenizer":
        from tokenizers import Tokenizer

        try:
            return Tokenizer.from_str(self._definition)
        except BaseException as error:
            if not _is_of_the_library(error):
                raise
            raise BadTokenizer(f"The tokenizer cannot be read: {str(error)[:200]}.") from None


def _is_of_the_library(error: BaseException) -> bool:
    """Whether the library tokenizers raised it: a plain Exception, or a panic, which is no Exception at all."""
    return type(error) is Exception or type(error).__name__ == "PanicException"


def pad(windows: Sequence[Window], *, length: int, padding_id: int) -> Ids:
    """The ids of the windows as rows of one length."""
    padded = np.full((len(windows), length), padding_id, np.int32)
    for row, window in zip(padded, windows, strict=True):
        row[: len(window.ids)] = window.ids
    return padded


def _window(encoding: "Encoding") -> Window:
    words = [-1 if word is None else word for word in encoding.word_ids]
    return Window(
        np.array(encoding.ids, np.int32),
        np.array(encoding.offsets, np.int32).reshape(-1, 2),
        np.array(words, np.int32),
    )


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
