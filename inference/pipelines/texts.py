"""What the tasks that read texts share: their tokenizer, the inputs of their models, and how texts become rows."""

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise
from typing import Any

import numpy as np

from inference.pipelines.errors import BadTaskConfig, TextTooLong
from inference.pipelines.hugging_face import read_id2label, read_object
from inference.pipelines.pipeline import Fields, Files, RowGroup
from inference.pipelines.tokenization import (
    MAX_ID,
    SEND_LESS,
    TextTokenizer,
    TokenizedText,
    Window,
    check_texts,
    pad,
    text_name,
)
from inference.tensors.arrays import Tensors
from inference.tensors.signature import Signature, TensorSpec

MAX_TEXTS, MAX_TOKENS = 256, 32_768
_SUBJECTS = ("The train", "Her answer", "This coffee", "London", "My bank account")
SAMPLE_TEXTS = [f"{subject} was {said}." for said in ("good", "bad", "late") for subject in _SUBJECTS]
MAX_CHARACTERS, MAX_WINDOWS = 1_000_000, 2_048  # of all texts of a request together
TOKEN_BUDGET = 16_384  # of one run, padding included
TOKENIZER_FILES = ("tokenizer.json", "vocab.txt")
_IDS, _MASK, _TYPES = "input_ids", "attention_mask", "token_type_ids"
_MOST_TOKENS = 512  # of models that accept any length and whose configuration names none
_ATOL, _RTOL = 1e-4, 1e-3


# Tokenizer options of tokenizer_config.json, and the fields that they become
_OF_VOCABULARIES = {
    "do_lower_case": "lower_case",
    "strip_accents": "strip_accents",
    "tokenize_chinese_chars": "split_chinese",
}
# Model types that number the positions from `pad_token_id` + 1 on
_FIRST_POSITION_AFTER_PADDING = (
    "roberta",
    "roberta-prelayernorm",
    "xlm-roberta",
    "xlm-roberta-xl",
    "camembert",
    "longformer",
    "mpnet",
    "data2vec-text",
    "ibert",
    "xmod",
    "luke",
)
_USUAL_PADDING = 1  # of those types


class LongTexts(StrEnum):
    """What happens to a text with more tokens than the model reads. Never in silence: answers tell both numbers."""

    CUT = "cut"
    REFUSE = "refuse"
    WINDOWS = "windows"


class TextFields:
    """What a task configuration says about texts."""

    _OF_WORD_PIECES = ("strip_accents", "split_chinese")
    _NAMES = (
        "tokenizer",
        "vocabulary",
        "lower_case",
        *_OF_WORD_PIECES,
        "max_tokens",
        "long_texts",
        "overlap",
        "padding_id",
    )

    def __init__(self, fields: Fields, *, may_use_windows: bool) -> None:
        self.given = [name for name in self._NAMES if name in fields.given]
        self.tokenizer = fields.text("tokenizer")
        self.vocabulary = fields.choice("vocabulary", ("word_pieces", "words"), "word_pieces")
        self.lower_case = fields.flag("lower_case", default=True)
        self.strip_accents = fields.flag("strip_accents", default=self.lower_case)
        self.split_chinese = fields.flag("split_chinese", default=True)
        self.max_tokens = fields.number("max_tokens", None, least=3, most=MAX_TOKENS)
        choices = [choice for choice in LongTexts if choice is not LongTexts.WINDOWS or may_use_windows]
        default = LongTexts.WINDOWS if may_use_windows else LongTexts.CUT
        self.long_texts = LongTexts(fields.choice("long_texts", choices, default))
        self.overlap = fields.number("overlap", None, least=0, most=MAX_TOKENS) if may_use_windows else None
        self.padding_id = fields.number("padding_id", 0, least=0, most=MAX_ID)

    def check_files(self, files: Collection[str]) -> None:
        """Raise BadTaskConfig if a file that it names is not there."""
        if self.tokenizer and self.tokenizer not in files:
            raise BadTaskConfig(f"There is no file {self.tokenizer!r} beside the model.", field="tokenizer")

    def read_tokenizer(self, files: Files) -> TextTokenizer:
        name = self.tokenizer or next((name for name in TOKENIZER_FILES if name in files), "")
        if name not in files:
            raise BadTaskConfig(
                f"There is no file {name!r} beside the model."
                if name
                else "A tokenizer.json or vocab.txt is missing.",
                field="tokenizer",
            )
        is_json = name.endswith(".json")
        if is_json or self.vocabulary == "words":
            for field in self._OF_WORD_PIECES:
                if field in self.given:
                    raise BadTaskConfig("Only a vocab.txt of word pieces reads it.", field=field)
        if is_json:
            return TextTokenizer.from_json(files[name])
        if self.vocabulary == "words":
            return TextTokenizer.from_words(files[name], lower_case=self.lower_case)
        return TextTokenizer.from_word_pieces(
            files[name],
            lower_case=self.lower_case,
            strip_accents=self.strip_accents,
            split_chinese=self.split_chinese,
        )


@dataclass(frozen=True, slots=True)
class ReadTexts:
    """The texts of a request as rows of the model, and their tokens if the model reads tokens."""

    groups: Sequence[RowGroup]
    tokens: Sequence[TokenizedText | None]


class TextInputs(ABC):
    """Turns texts into rows, and those into a model's inputs."""

    @property
    @abstractmethod
    def hashed(self) -> Sequence[Any]:
        """What the pre-processing hash depends on."""

    @abstractmethod
    def read(self, texts: Sequence[Any]) -> ReadTexts:
        """Raises InvalidText for what is not text, and TextTooLong for what is too long at once.

        TextTooLong also where the version refuses to cut.
        """

    @abstractmethod
    def prepare(self, tensors: Tensors) -> Tensors: ...


def text_inputs(said: TextFields, files: Files, signature: Signature) -> "TextInputs":
    """How the model reads texts: as strings if it has one input of strings, otherwise as tokens."""
    inputs = signature.required_inputs
    if len(inputs) == 1 and inputs[0].datatype == "BYTES":
        return WholeTexts(said, inputs[0])
    return TokenRows(said, files, signature)


class WholeTexts(TextInputs):
    """For models that read strings themselves, as exports of scikit-learn do."""

    def __init__(self, said: TextFields, spec: TensorSpec) -> None:
        if said.given:
            raise BadTaskConfig(
                "The model reads texts itself, so this would have no effect.", field=said.given[0]
            )
        if len(spec.shape) > 2 or (len(spec.shape) == 2 and spec.shape[1] not in {None, 1}):
            raise BadTaskConfig(f"Input `{spec.name}` must hold one text in each row.", field="inputs")
        self._spec = spec

    @property
    def hashed(self) -> Sequence[Any]:
        return [self._spec.name]

    def read(self, texts: Sequence[Any]) -> ReadTexts:
        check_length(texts)
        check_texts(texts)
        return ReadTexts(
            [RowGroup({"texts": np.array(texts, object)}, range(len(texts)))], [None] * len(texts)
        )

    def prepare(self, tensors: Tensors) -> Tensors:
        texts = tensors["texts"]
        return {self._spec.name: texts.reshape(-1, 1) if len(self._spec.shape) == 2 else texts}


@dataclass(frozen=True, slots=True)
class TokenInputs:
    """The model's inputs that are made from tokens."""

    ids: TensorSpec
    mask: TensorSpec | None
    types: TensorSpec | None

    @classmethod
    def of(cls, signature: Signature) -> "TokenInputs":
        by_name = {spec.name: spec for spec in signature.required_inputs}
        others = [name for name in by_name if name not in {_IDS, _MASK, _TYPES}]
        ids = by_name.get(_IDS) or (by_name[others.pop()] if len(others) == 1 else None)
        if ids is None or others:
            raise BadTaskConfig(
                f"The model must take `{_IDS}`, and may take `{_MASK}` and `{_TYPES}`;"
                f" it takes {', '.join(f'`{name}`' for name in by_name)}.",
                field="inputs",
            )
        found = cls(ids, by_name.get(_MASK), by_name.get(_TYPES))
        for spec in (found.ids, found.mask, found.types):
            if spec is not None and (len(spec.shape) != 2 or spec.datatype not in {"INT32", "INT64", "FP32"}):
                raise BadTaskConfig(
                    f"Input `{spec.name}` must be a table of whole numbers or FP32: rows and tokens.",
                    field="inputs",
                )
        return found

    @property
    def fixed_length(self) -> int | None:
        return self.ids.shape[1]


class TokenRows(TextInputs):
    """For models that read the numbers of tokens."""

    def __init__(self, said: TextFields, files: Files, signature: Signature) -> None:
        self.inputs = TokenInputs.of(signature)
        self.tokenizer = said.read_tokenizer(files)
        longest = self.inputs.fixed_length or MAX_TOKENS
        self.max_tokens = said.max_tokens or min(longest, _MOST_TOKENS)
        if self.max_tokens > longest:
            raise BadTaskConfig(f"The model reads {longest:,} tokens.", field="max_tokens")
        self.long_texts = said.long_texts
        room = self.max_tokens - self.tokenizer.special_tokens
        if room < 1:
            raise BadTaskConfig("There is no room for any token of a text.", field="max_tokens")
        self.overlap = room // 4 if said.overlap is None else said.overlap
        if self.overlap > room // 2:
            raise BadTaskConfig(
                f"It may be at most {room // 2:,}, half of a window's tokens; otherwise long texts become very many windows.",
                field="overlap",
            )
        self.padding_id = said.padding_id
        if self.padding_id > self.tokenizer.largest_id:
            raise BadTaskConfig(
                f"The tokenizer's largest id is {self.tokenizer.largest_id:,}.", field="padding_id"
            )
        self.may_pad = True

    @property
    def hashed(self) -> Sequence[Any]:
        overlap = self.overlap if self.long_texts is LongTexts.WINDOWS else None
        return [self.tokenizer.digest, self.max_tokens, self.long_texts, overlap, self.padding_id]

    def read(self, texts: Sequence[Any]) -> ReadTexts:
        overlap = self.overlap if self.long_texts is LongTexts.WINDOWS else None
        check_length(texts)
        tokenized = self.tokenizer.tokenize(
            texts, max_tokens=self.max_tokens, overlap=overlap, most_windows=MAX_WINDOWS
        )
        if self.long_texts is LongTexts.REFUSE:
            for place, text in enumerate(tokenized):
                if text.is_cut:
                    raise TextTooLong(
                        f"{text_name(place, texts)} has {text.given:,} tokens; the model reads at most {self.max_tokens:,}.",
                        field="texts",
                    )
        return ReadTexts(self._groups([window for text in tokenized for window in text.windows]), tokenized)

    def _groups(self, windows: Sequence[Window]) -> list[RowGroup]:
        """A row for each window, by width: rows of equal width share runs of the model."""
        by_width: dict[int, list[int]] = defaultdict(list)
        for place, window in enumerate(windows):
            by_width[self._width(len(window.ids))].append(place)
        groups: list[RowGroup] = []
        for width, places in sorted(by_width.items()):
            group = RowGroup(self._rows([windows[place] for place in places], width), places)
            groups += group.split(max(1, TOKEN_BUDGET // width))
        return groups

    def _width(self, tokens: int) -> int:
        if self.inputs.fixed_length is not None:
            return self.inputs.fixed_length
        return row_width(tokens, self.max_tokens) if self.may_pad else max(tokens, 1)

    def _rows(self, windows: Sequence[Window], width: int) -> Tensors:
        lengths = np.array([len(window.ids) for window in windows], np.int32)
        return {"ids": pad(windows, length=width, padding_id=self.padding_id), "lengths": lengths}

    def prepare(self, tensors: Tensors) -> Tensors:
        ids, lengths = tensors["ids"], tensors["lengths"]
        made = {self.inputs.ids.name: ids.astype(self.inputs.ids.dtype)}
        if self.inputs.mask is not None:
            is_token = np.arange(ids.shape[1]) < lengths[:, None]
            made[self.inputs.mask.name] = is_token.astype(self.inputs.mask.dtype)
        if self.inputs.types is not None:
            made[self.inputs.types.name] = np.zeros(ids.shape, self.inputs.types.dtype)
        return made

    @property
    def largest_id(self) -> int:
        return self.tokenizer.largest_id

    def row_of(self, token_id: int, tokens: int) -> Tensors:
        """The model's inputs for a row that repeats one token, as many times as it may at most have."""
        tokens = min(tokens, self.max_tokens)
        ids = np.zeros((1, self._width(tokens)), np.int32)
        ids[:, :tokens] = token_id
        return self.prepare({"ids": ids, "lengths": np.array([tokens], np.int32)})

    def longest_row(self) -> Tensors:
        """The model's inputs for a text with as many tokens as it reads."""
        (tokenized,) = self.tokenizer.tokenize(_PADDING_SAMPLES[-1:], max_tokens=self.max_tokens)
        width = self._width(self.max_tokens)
        ids = np.resize(tokenized.windows[0].ids, (1, width))
        return self.prepare({"ids": ids, "lengths": np.array([width], np.int32)})

    def random_rows(self, like: Tensors, rng: np.random.Generator, count: int) -> Tensors:
        """The model's inputs for rows of any tokens, as wide as these; shorter ones among them if rows may be filled up."""
        width = like[self.inputs.ids.name].shape[1]
        ids = rng.integers(0, self.tokenizer.largest_id, size=(count, width), endpoint=True, dtype=np.int32)
        least = 1 if self.may_pad else width
        return self.prepare({"ids": ids, "lengths": rng.integers(least, width, size=count, endpoint=True)})

    def padding_is_harmless(self, run: Callable[[Tensors], Tensors], output: str) -> bool:
        """Whether the output for a row's tokens stays the same if the row is filled up to a greater width.

        A model without a mask, or one that ignores it, computes with the padding too.
        """
        if self.inputs.fixed_length is not None:
            return True  # it was made for rows of this width
        for window, widths in self._padding_samples():
            tokens = len(window.ids)
            outputs = [run(self.prepare(self._rows([window], width))).get(output) for width in widths]
            answers = [rows[0] for rows in outputs if rows is not None and rows.ndim and len(rows)]
            of_tokens = [answer[:tokens] if answer.ndim == 2 else answer for answer in answers]
            if len(answers) < len(outputs) or not all(
                _are_close(first, second) for first, second in pairwise(of_tokens)
            ):
                return False
        return True

    def _padding_samples(self) -> Iterator[tuple[Window, list[int]]]:
        """Short texts, and one that nearly has all tokens that are read, each with the widths to compare."""
        for text in _PADDING_SAMPLES:
            (tokenized,) = self.tokenizer.tokenize([text], max_tokens=self.max_tokens)
            (window,) = tokenized.windows
            tokens = max(len(window.ids), 1)
            widths = (tokens, row_width(tokens, self.max_tokens), 2 * tokens)
            yield window, [width for width in widths if width <= self.max_tokens]
        tokens = max(self.max_tokens - 8, 1)
        yield replace(window, ids=np.resize(window.ids, tokens)), [tokens, self.max_tokens]


_PADDING_SAMPLES = (
    "Yes.",
    "The train was on time, and the coffee was good.",
    "Ada Lovelace met Charles Babbage in London; they spoke about engines, numbers and music until late at night.",
)


def _are_close(first: Any, second: Any) -> bool:
    return bool(
        first.shape == second.shape and np.allclose(first, second, rtol=_RTOL, atol=_ATOL, equal_nan=True)
    )


def check_length(texts: Sequence[Any]) -> None:
    """Raise TextTooLong if the texts are too long to be read at once."""
    characters = sum(len(text) for text in texts if isinstance(text, str))
    if characters > MAX_CHARACTERS:
        raise TextTooLong(
            f"The texts of a request may have at most {MAX_CHARACTERS:,} characters together; these have {characters:,}."
            f" {SEND_LESS}",
            field="texts",
        )


def row_width(tokens: int, most: int) -> int:
    """A width that many rows share, at most an eighth wider than needed beyond 64 tokens. No row has none."""
    tokens = max(tokens, 1)
    step = max(8, 1 << max(0, (tokens - 1).bit_length() - 4))
    return min(most, -(-tokens // step) * step)


def prefilled(files: Files) -> dict[str, Any]:
    """What a model's `config.json` and `tokenizer_config.json` state about labels and texts, as Hugging Face writes them."""
    model, tokenizer = read_object(files, "config.json"), read_object(files, "tokenizer_config.json")
    found: dict[str, Any] = {}
    if labels := read_id2label(files):
        found["labels"] = labels
    lengths = [_positions(model), tokenizer.get("model_max_length")]
    known = [length for length in lengths if isinstance(length, int) and 3 <= length <= MAX_TOKENS]
    if known:
        found["max_tokens"] = min(known)
    padding = model.get("pad_token_id")
    if isinstance(padding, int) and not isinstance(padding, bool) and padding >= 0:
        found["padding_id"] = padding
    if not any(name.endswith("tokenizer.json") for name in files):
        found |= {
            field: tokenizer[name]
            for name, field in _OF_VOCABULARIES.items()
            if isinstance(tokenizer.get(name), bool)
        }
        if found.get("split_chinese"):
            del found["split_chinese"]  # as usual: every file of a BERT model says so
    return found


def _positions(model: Mapping[str, Any]) -> Any:
    """How many tokens the model has positions for; in some families, the first positions are no token's."""
    positions, padding = model.get("max_position_embeddings"), model.get("pad_token_id", _USUAL_PADDING)
    if model.get("model_type") not in _FIRST_POSITION_AFTER_PADDING or not isinstance(positions, int):
        return positions
    return positions - 1 - (padding if isinstance(padding, int) else _USUAL_PADDING)
