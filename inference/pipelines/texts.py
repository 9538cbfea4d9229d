"""What the tasks that read texts share: their tokenizer, the inputs of their models, and how texts become rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from inference.pipelines.errors import BadTaskConfig, TextTooLong
from inference.pipelines.pipeline import Fields, Files
from inference.pipelines.tokenization import TextTokenizer, TokenizedText, pad
from inference.tensors.arrays import Tensors
from inference.tensors.signature import Signature, TensorSpec

MAX_TEXTS, MAX_TOKENS = 256, 32_768
_IDS, _MASK, _TYPES = "input_ids", "attention_mask", "token_type_ids"
_MOST_TOKENS = 512  # of models that accept any length and whose configuration names none


class LongTexts(StrEnum):
    """What happens to a text with more tokens than the model reads. Never in silence: answers tell both numbers."""

    CUT = "cut"
    REFUSE = "refuse"
    WINDOWS = "windows"


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


class TextInputs:
    """Turns texts into rows of tokens, and those into a model's inputs."""

    def __init__(self, fields: Fields, files: Files, signature: Signature, *, may_use_windows: bool) -> None:
        self.inputs = TokenInputs.of(signature)
        self.tokenizer = _read_tokenizer(fields, files)
        longest = self.inputs.fixed_length or MAX_TOKENS
        self.max_tokens = fields.number("max_tokens", min(longest, _MOST_TOKENS), least=3, most=longest)
        choices = [choice for choice in LongTexts if choice is not LongTexts.WINDOWS or may_use_windows]
        default = LongTexts.WINDOWS if may_use_windows else LongTexts.CUT
        self.long_texts = LongTexts(fields.choice("long_texts", choices, default))
        room = self.max_tokens - self.tokenizer.special_tokens
        self.overlap = fields.number("overlap", room // 4, least=0, most=room - 1)
        self.padding_id = fields.number("padding_id", 0, least=0, most=self.tokenizer.largest_id)

    @property
    def hashed(self) -> Sequence[Any]:
        return [self.tokenizer.digest, self.max_tokens, self.long_texts, self.overlap, self.padding_id]

    def tokenize(self, texts: Sequence[str]) -> list[TokenizedText]:
        """The texts' tokens; TextTooLong where the version refuses to cut."""
        overlap = self.overlap if self.long_texts is LongTexts.WINDOWS else None
        tokenized = self.tokenizer.tokenize(texts, max_tokens=self.max_tokens, overlap=overlap)
        if self.long_texts is LongTexts.REFUSE:
            for number, text in enumerate(tokenized):
                if text.is_cut:
                    raise TextTooLong(
                        f"Text {number + 1} has {text.given:,} tokens; the model reads at most {self.max_tokens:,}.",
                        field="texts",
                    )
        return tokenized

    def rows(self, texts: Sequence[TokenizedText]) -> Tensors:
        """A row for each window: its ids, and how many there are. Rows of equal width share runs of the model."""
        windows = [window for text in texts for window in text.windows]
        lengths = np.array([len(window.ids) for window in windows], np.int32)
        width = self.inputs.fixed_length or row_width(int(lengths.max()), self.max_tokens)
        return {"ids": pad(windows, length=width, padding_id=self.padding_id), "lengths": lengths}

    def prepare(self, rows: Tensors) -> Tensors:
        ids, lengths = rows["ids"], rows["lengths"]
        made = {self.inputs.ids.name: ids.astype(self.inputs.ids.dtype)}
        if self.inputs.mask is not None:
            is_token = np.arange(ids.shape[1]) < lengths[:, None]
            made[self.inputs.mask.name] = is_token.astype(self.inputs.mask.dtype)
        if self.inputs.types is not None:
            made[self.inputs.types.name] = np.zeros(ids.shape, self.inputs.types.dtype)
        return made


def row_width(tokens: int, most: int) -> int:
    """A width that many rows share, at most an eighth wider than needed beyond 64 tokens."""
    step = max(8, 1 << max(0, (tokens - 1).bit_length() - 4))
    return min(most, -(-tokens // step) * step)


def _read_tokenizer(fields: Fields, files: Files) -> TextTokenizer:
    name = fields.text("tokenizer") or next(
        (name for name in ("tokenizer.json", "vocab.txt") if name in files), ""
    )
    kind = fields.choice("vocabulary", ("word_pieces", "words"), "word_pieces")
    lower_case = fields.flag("lower_case", default=True)
    if name not in files:
        raise BadTaskConfig(
            f"There is no file {name!r} beside the model."
            if name
            else "A tokenizer.json or vocab.txt is missing.",
            field="tokenizer",
        )
    if name.endswith(".json"):
        return TextTokenizer.from_json(files[name])
    if kind == "words":
        return TextTokenizer.from_words(files[name], lower_case=lower_case)
    return TextTokenizer.from_word_pieces(files[name], lower_case=lower_case)
