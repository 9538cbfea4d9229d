"""Checks a `tokenizer.json` before the library tokenizers reads it.

The library trusts its files: some make it panic, which it does not always survive, and others make it ask for all memory,
which ends the process; sometimes only when a caller sends a certain text. What published tokenizers have passes.
"""

import base64
import binascii
from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import Any

import orjson

from inference.pipelines.errors import BadTokenizer

MAX_FILE_BYTES = 32 * 2**20
MAX_ID, MAX_MERGES = 2_000_000, 1_000_000
MAX_WORD_LENGTH = 200  # WordPiece takes time by its cube
MAX_ADDED_TOKENS, MAX_TOKEN_LENGTH = 20_000, 1_000
MAX_AFFIX_LENGTH = 16
MAX_SPECIAL_TOKENS = 64
MAX_GROWTH = 400  # how many characters the steps before the model may make of one; NFKC makes up to 18
_STEPS_BEFORE, _STEP_AFTER = ("normalizer", "pre_tokenizer"), "post_processor"
_INNER = ("normalizers", "pretokenizers", "processors")
_DEEPEST, _MOST_STEPS = 8, 64
_TYPES = frozenset({
    "BertNormalizer", "Lowercase", "NFC", "NFD", "NFKC", "NFKD", "Nmt", "Precompiled", "Prepend", "Replace", "Strip",
    "StripAccents",
    "BertPreTokenizer", "ByteLevel", "CharDelimiterSplit", "Digits", "Metaspace", "Punctuation", "Split", "UnicodeScripts",
    "Whitespace", "WhitespaceSplit",
    "BertProcessing", "RobertaProcessing", "TemplateProcessing",
    "Sequence",
})  # fmt: skip
# How many characters Unicode's forms make of one, at most; one after another, they make no more than the greatest does
_FORMS = {"NFC": 3, "NFD": 4, "NFKC": 18, "NFKD": 18, "BertNormalizer": 4, "Lowercase": 3}
_BYTES_OF_CHARACTER = 4
# Regular expressions run in the tokenizer on callers' texts, without a time limit. These are the ones that published
# tokenizers split texts with; others are refused, as they may take exponential time.
_KNOWN_PATTERNS = frozenset({
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r" {2,}", r"\s+", r"\s{2,}|\u00a0", r"[\r\n]", r"\d", r"[0-9]", r"\p{N}", r"\p{P}",
})  # fmt: skip


def checked_definition(data: bytes) -> str:
    """What the library may read. Raises BadTokenizer.

    Cutting and padding belong to the task configuration, and a decoder is of no use here: they are left out.
    """
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
    _check_added_tokens(content.get("added_tokens") or [])
    before = [step for name in _STEPS_BEFORE for step in _steps(content.get(name), name)]
    after = list(_steps(content.get(_STEP_AFTER), _STEP_AFTER))
    _check_steps(before, after)
    kept = {
        name: content.get(name) for name in ("version", "added_tokens", *_STEPS_BEFORE, _STEP_AFTER, "model")
    }
    try:
        return orjson.dumps({**kept, "truncation": None, "padding": None, "decoder": None}).decode()
    except TypeError:  # thousands of levels deep where the library wants none
        raise BadTokenizer("tokenizer.json is nested too deeply.") from None


def _is_whole(number: Any, most: int) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and 0 <= number <= most


def _is_short(text: Any, most: int) -> bool:
    return isinstance(text, str) and len(text) <= most


# -- the model


def _check_model(model: Mapping[str, Any]) -> None:
    vocabulary, merges = model.get("vocab"), model.get("merges") or []
    if not isinstance(vocabulary, (dict, list)) or not isinstance(merges, list):
        raise BadTokenizer("`model` in tokenizer.json must have a `vocab`.")
    if len(vocabulary) > MAX_ID:
        raise BadTokenizer(f"A vocabulary may have at most {MAX_ID:,} tokens.")
    if len(merges) > MAX_MERGES:
        raise BadTokenizer(f"A tokenizer may have at most {MAX_MERGES:,} merges.")
    longest = model.get("max_input_chars_per_word")
    if longest is not None and not (_is_whole(longest, MAX_WORD_LENGTH) and longest):
        raise BadTokenizer(f"`max_input_chars_per_word` must be at most {MAX_WORD_LENGTH:,}.")
    for name in ("continuing_subword_prefix", "end_of_word_suffix"):
        if not _is_short(model.get(name) or "", MAX_AFFIX_LENGTH):
            raise BadTokenizer(f"`{name}` must be a text of at most {MAX_AFFIX_LENGTH} characters.")
    _check_merges(merges, model.get("continuing_subword_prefix") or "")
    if model.get("dropout"):
        raise BadTokenizer(
            "`dropout` must be null: with it, a text has other tokens each time. It is meant for training."
        )
    if isinstance(vocabulary, dict):
        _check_words(vocabulary, model)
    else:
        _check_scored_words(vocabulary, model.get("unk_id"))


def _check_merges(merges: Sequence[Any], prefix: str) -> None:
    """The library cuts the prefix off each second part without looking. In the middle of a character, that ends the process."""
    for merge in merges if prefix else ():
        second = _second_part(merge)
        if not (isinstance(second, str) and second.startswith(prefix)):
            raise BadTokenizer("The second part of each merge must start with `continuing_subword_prefix`.")


def _second_part(merge: Any) -> Any:
    if isinstance(merge, str):
        return merge.partition(" ")[2]
    return merge[1] if isinstance(merge, list) and len(merge) == 2 else None


def _check_words(vocabulary: Mapping[str, Any], model: Mapping[str, Any]) -> None:
    """Ids are indexes into the model's table: one that is far too large asks for memory."""
    for number in vocabulary.values():
        if not _is_whole(number, MAX_ID):
            raise BadTokenizer(f"Token ids must be whole numbers from 0 to {MAX_ID:,}.")
    unknown = model.get("unk_token")
    if model.get("type") in ("WordPiece", "WordLevel") and not (
        isinstance(unknown, str) and unknown in vocabulary
    ):
        raise BadTokenizer("`unk_token` must be a token of the vocabulary; it stands for unknown words.")


def _check_scored_words(vocabulary: Sequence[Any], unknown: Any) -> None:
    if not vocabulary or not _is_whole(unknown, len(vocabulary) - 1):
        raise BadTokenizer("`unk_id` must be the number of a token; it stands for unknown characters.")
    for entry in vocabulary:
        if not (isinstance(entry, list) and len(entry) == 2 and _is_short(entry[0], MAX_TOKEN_LENGTH)):
            raise BadTokenizer(
                f"A `vocab` that is a list must have pairs of a token with at most {MAX_TOKEN_LENGTH:,} characters"
                " and its score."
            )


def _check_added_tokens(added: Any) -> None:
    if not isinstance(added, list) or not all(isinstance(token, dict) for token in added):
        raise BadTokenizer("`added_tokens` in tokenizer.json must be a list of objects.")
    if len(added) > MAX_ADDED_TOKENS:
        raise BadTokenizer(f"`added_tokens` may have at most {MAX_ADDED_TOKENS:,} tokens.")
    for token in added:
        if not _is_whole(token.get("id"), MAX_ID):
            raise BadTokenizer(f"Token ids must be whole numbers from 0 to {MAX_ID:,}.")
        if not _is_short(token.get("content"), MAX_TOKEN_LENGTH):
            raise BadTokenizer(f"An added token may have at most {MAX_TOKEN_LENGTH:,} characters.")


# -- the steps before and after it


def _steps(step: Any, name: str, depth: int = 0) -> Iterator[Mapping[str, Any]]:
    """The step and those inside it, each with a type that is known."""
    if step is None:
        return
    if depth > _DEEPEST:
        raise BadTokenizer(f"`{name}` in tokenizer.json is nested too deeply.")
    if not isinstance(step, dict) or not isinstance(step.get("type"), str) or step["type"] not in _TYPES:
        said = str(step.get("type"))[:80] if isinstance(step, dict) else type(step).__name__
        raise BadTokenizer(f"`{name}` in tokenizer.json has a step of an unknown type, {said!r}.")
    yield step
    for inner in _INNER:
        parts = step.get(inner)
        if isinstance(parts, list):
            if len(parts) > _MOST_STEPS:
                raise BadTokenizer(f"`{name}` in tokenizer.json may have at most {_MOST_STEPS} steps.")
            for part in parts:
                yield from _steps(part, name, depth + 1)


def _check_steps(before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]) -> None:
    """`before` the model and `after` it."""
    if len(before) + len(after) > _MOST_STEPS:
        raise BadTokenizer(f"tokenizer.json may have at most {_MOST_STEPS} steps.")
    forms = max((_FORMS.get(step["type"], 1) for step in before), default=1)
    if forms * prod(map(_growth, before)) > MAX_GROWTH:
        raise BadTokenizer(
            f"The steps in tokenizer.json may make more than {MAX_GROWTH} characters of one."
            " Replace with shorter texts, or in fewer steps."
        )
    if sum(map(_special_tokens, after)) > MAX_SPECIAL_TOKENS:
        raise BadTokenizer(f"tokenizer.json adds more than {MAX_SPECIAL_TOKENS} special tokens to each text.")


def _growth(step: Mapping[str, Any]) -> float:
    """How many characters the step makes of one, at most; Unicode's forms apart."""
    kind = step["type"]
    if kind == "Prepend" and not _is_short(step.get("prepend"), MAX_AFFIX_LENGTH):
        raise BadTokenizer(f"`prepend` must be a text of at most {MAX_AFFIX_LENGTH} characters.")
    if kind == "Precompiled":
        return _growth_of_table(step.get("precompiled_charsmap"))
    if kind in {"Replace", "Split"}:
        shortest = _shortest_match(step.get("pattern"))
        content = step.get("content", "")
        if not isinstance(content, str):
            raise BadTokenizer("`content` of a step in tokenizer.json must be a text.")
        return max(1.0, len(content) / shortest)
    return _BYTES_OF_CHARACTER if kind == "ByteLevel" else 1


def _shortest_match(pattern: Any) -> int:
    """How many characters the pattern of a step matches at least."""
    if isinstance(pattern, dict) and len(pattern) == 1:
        ((kind, text),) = pattern.items()
        if kind == "String" and isinstance(text, str) and text:
            return len(text)
        if kind == "Regex" and isinstance(text, str):
            if text in _KNOWN_PATTERNS:
                return 1
            raise BadTokenizer(
                f"tokenizer.json has the regular expression {text[:80]!r}, which no known tokenizer uses."
                " It would run on callers' texts without a time limit, so it is refused."
            )
    raise BadTokenizer("`pattern` of a step in tokenizer.json must be a text that is not empty.")


def _growth_of_table(encoded: Any) -> float:
    """The length of the longest text in a SentencePiece table of characters and what they become.

    Four bytes tell the size of an index, which follows; then come the texts, each with a zero byte after it.
    """
    try:
        table = base64.b64decode(encoded, validate=True) if isinstance(encoded, str) else b""
    except (binascii.Error, ValueError):
        table = b""
    start = 4 + int.from_bytes(table[:4], "little")
    if len(table) <= start or start % 4 or start < 8:
        raise BadTokenizer("`precompiled_charsmap` in tokenizer.json is damaged.")
    try:
        texts = table[start:].decode().split("\0")
    except UnicodeDecodeError:
        raise BadTokenizer("`precompiled_charsmap` in tokenizer.json is damaged.") from None
    return max(1, *map(len, texts))


def _special_tokens(step: Mapping[str, Any]) -> int:
    """How many tokens the step adds to a text."""
    if step["type"] in {"BertProcessing", "RobertaProcessing"}:
        for name in ("sep", "cls"):
            pair = step.get(name)
            if not (isinstance(pair, list) and len(pair) == 2 and _is_whole(pair[1], MAX_ID)):
                raise BadTokenizer(
                    f"`{name}` in tokenizer.json must be a token and its id, at most {MAX_ID:,}."
                )
        return 2
    return _tokens_of_template(step) if step["type"] == "TemplateProcessing" else 0


def _tokens_of_template(step: Mapping[str, Any]) -> int:
    single, tokens = step.get("single"), step.get("special_tokens")
    if not isinstance(single, list) or not isinstance(tokens, dict):
        raise BadTokenizer("`TemplateProcessing` in tokenizer.json must have `single` and `special_tokens`.")
    added = texts = 0
    for piece in single:
        kind, said = next(iter(piece.items())) if isinstance(piece, dict) and len(piece) == 1 else ("", None)
        name = said.get("id") if isinstance(said, dict) else None
        if kind == "Sequence" and name == "A":
            texts += 1
        elif kind == "SpecialToken" and isinstance(name, str):
            added += _ids_of_special_token(tokens.get(name))
        else:
            raise BadTokenizer("`single` in tokenizer.json may have special tokens and the text, A.")
    if texts != 1:
        raise BadTokenizer("`single` in tokenizer.json must have the text, A, once.")
    return added


def _ids_of_special_token(token: Any) -> int:
    ids = token.get("ids") if isinstance(token, dict) else None
    if not (isinstance(ids, list) and ids and all(_is_whole(number, MAX_ID) for number in ids)):
        raise BadTokenizer(
            f"`special_tokens` in tokenizer.json must have, for each token, its ids, at most {MAX_ID:,}."
        )
    return len(ids)
