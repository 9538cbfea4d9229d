"""Texts to token ids: reads a version's tokenizer, cuts long texts or divides them into windows, and pads batches.

`tokenizers` is imported when the first tokenizer is read: processes that serve tensors only never load it.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
from numpy.typing import NDArray

from inference.pipelines.errors import BadTokenizer, InvalidText

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

MAX_FILE_BYTES = 32 * 2**20
MAX_ID, MAX_MERGES, MAX_WORD_LENGTH = 2_000_000, 1_000_000, 1_000
_STEPS = ("normalizer", "pre_tokenizer", "post_processor", "decoder")
_DEEPEST = 8
# Regular expressions run in the tokenizer on callers' texts, without a time limit. These are the ones that published
# tokenizers split texts with; others are refused, as they may take exponential time.
_KNOWN_PATTERNS = frozenset({
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r" {2,}", r"\s+", r"\s{2,}|\u00a0", r"[\r\n]", r"\d", r"[0-9]", r"\p{N}", r"\p{P}",
})  # fmt: skip

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

    @classmethod
    def from_json(cls, data: bytes) -> "TextTokenizer":
        """Read a `tokenizer.json`. Raises BadTokenizer, also for what would make texts slow to read."""
        if len(data) > MAX_FILE_BYTES:
            raise BadTokenizer(f"tokenizer.json may have at most {MAX_FILE_BYTES >> 20} MiB.")
        try:
            content = orjson.loads(data)
        except orjson.JSONDecodeError as error:
            raise BadTokenizer(f"tokenizer.json is not valid JSON: {error}.") from None
        if not isinstance(content, dict) or not isinstance(content.get("model"), dict):
            raise BadTokenizer(
                "tokenizer.json must be an object with a `model`, as the library tokenizers saves it."
            )
        _check_model(content["model"])
        _check_ids(content)
        for step in _STEPS:
            _check_patterns(content.get(step), step)
        # Cutting and padding are the task configuration's.
        return cls._checked(orjson.dumps({**content, "truncation": None, "padding": None}).decode())

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
        made.tokenize(["Hello, wörld"], max_tokens=64)
        return made

    @cached_property
    def digest(self) -> str:
        """Two tokenizers with the same digest make the same ids of every text."""
        return hashlib.sha256(self._definition.encode()).hexdigest()

    @property
    def largest_id(self) -> int:
        return max(self._whole.get_vocab(with_added_tokens=True).values(), default=0)

    @property
    def special_tokens(self) -> int:
        """How many tokens are added to every window."""
        return int(self._whole.num_special_tokens_to_add(is_pair=False))

    def tokenize(
        self, texts: Sequence[str], *, max_tokens: int, overlap: int | None = None
    ) -> list[TokenizedText]:
        """Tokenize texts, and cut them after `max_tokens`; with an overlap, divide them into windows instead.

        The lock of the interpreter is not held meanwhile.
        """
        check_texts(texts)
        tokenizer = self._cutting(max_tokens, overlap or 0)
        encodings = tokenizer.encode_batch(list(texts), add_special_tokens=True)
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
            known = self._new()
            try:
                known.enable_truncation(max_tokens, stride=overlap)
            except BaseException as error:  # noqa: BLE001 (panics of the library are no Exceptions)
                raise BadTokenizer(f"{max_tokens} tokens cannot be cut out of a text: {error}.") from None
            self._tokenizers[max_tokens, overlap] = known
        return known

    @cached_property
    def _whole(self) -> "Tokenizer":
        return self._new()

    def _new(self) -> "Tokenizer":
        from tokenizers import Tokenizer

        try:
            return Tokenizer.from_str(self._definition)
        except Exception as error:  # noqa: BLE001 (the library raises plain Exceptions)
            raise BadTokenizer(f"The tokenizer cannot be read: {str(error)[:200]}.") from None


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
        lines = data.decode().splitlines()
    except UnicodeDecodeError:
        raise BadTokenizer("The list of words is not UTF-8.") from None
    if len(lines) > MAX_ID:
        raise BadTokenizer(f"A list of words may have at most {MAX_ID:,} lines.")
    words = {line.rstrip("\r\n"): number for number, line in enumerate(lines)}
    if len(words) < len(lines):
        raise BadTokenizer("The list of words has the same word twice, so their ids are not clear.")
    return words


def _check_model(model: Mapping[str, Any]) -> None:
    vocabulary, merges = model.get("vocab"), model.get("merges", [])
    if not isinstance(vocabulary, (dict, list)) or not isinstance(merges, list):
        raise BadTokenizer("`model` in tokenizer.json must have a `vocab`.")
    if len(vocabulary) > MAX_ID:
        raise BadTokenizer(f"A vocabulary may have at most {MAX_ID:,} tokens.")
    if len(merges) > MAX_MERGES:
        raise BadTokenizer(f"A tokenizer may have at most {MAX_MERGES:,} merges.")
    longest = model.get("max_input_chars_per_word")
    if longest is not None and not (isinstance(longest, int) and 0 < longest <= MAX_WORD_LENGTH):
        raise BadTokenizer(f"`max_input_chars_per_word` must be at most {MAX_WORD_LENGTH:,}.")


def _check_ids(content: Mapping[str, Any]) -> None:
    """Ids are indexes into the model's table: one that is far too large asks for memory."""
    vocabulary = content["model"]["vocab"]
    added = content.get("added_tokens") or []
    if not isinstance(added, list) or not all(isinstance(token, dict) for token in added):
        raise BadTokenizer("`added_tokens` in tokenizer.json must be a list of objects.")
    numbers = list(vocabulary.values()) if isinstance(vocabulary, dict) else []
    for number in (*numbers, *(token.get("id") for token in added)):
        if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number <= MAX_ID:
            raise BadTokenizer(f"Token ids must be whole numbers from 0 to {MAX_ID:,}.")


def _check_patterns(step: Any, name: str, depth: int = 0) -> None:
    if depth > _DEEPEST:
        raise BadTokenizer(f"`{name}` in tokenizer.json is nested too deeply.")
    for pattern in _patterns(step):
        if pattern not in _KNOWN_PATTERNS:
            raise BadTokenizer(
                f"`{name}` in tokenizer.json has the regular expression {pattern[:80]!r}, which no known tokenizer uses."
                " It would run on callers' texts without a time limit, so it is refused."
            )
    for inner in _inner_steps(step):
        _check_patterns(inner, name, depth + 1)


def _patterns(step: Any) -> Iterator[str]:
    pattern = step.get("pattern") if isinstance(step, Mapping) else None
    if isinstance(pattern, Mapping) and "Regex" in pattern:
        yield str(pattern["Regex"])


def _inner_steps(step: Any) -> Iterator[Any]:
    if isinstance(step, Mapping):
        for name in ("normalizers", "pretokenizers", "processors", "decoders"):
            inner = step.get(name)
            if isinstance(inner, list):
                yield from inner
