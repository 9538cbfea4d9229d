"""Small models that read texts, whose answers follow from single words, and versions of them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from inference.engine.backends import SessionOptions
from registry.catalogue import artifacts
from registry.catalogue import services as catalogue
from registry.catalogue.models import Model, Version
from registry.intake.examples.services import add_examples
from tests.support.factories import a_model, an_actor
from tests.support.onnx_models import save, value

OPTIONS = SessionOptions()
MOODS = ["negative", "positive"]
MOOD_WORDS = {"bad": "negative", "awful": "negative", "good": "positive", "lovely": "positive"}
TAGS = ["O", "B-PER", "I-PER", "B-LOC"]
NAME_WORDS = {"Ada": "B-PER", "Lovelace": "I-PER", "Bob": "B-PER", "London": "B-LOC", "Paris": "B-LOC"}
_COMMON = ["the", "train", "was", "and", "met", "in", "on", "time", "coffee", "a", "day"]
UNKNOWN = "[UNK]"


def vocabulary(words: Mapping[str, str], *, more: Sequence[str] = ()) -> list[str]:
    return [UNKNOWN, *words, *_COMMON, *more]


def write_classifier(
    path: Path,
    words: Mapping[str, str] = MOOD_WORDS,
    *,
    labels=MOODS,
    masked=True,
    mixing=False,
    most_tokens: int | None = None,
) -> Path:
    """Each word of a label adds 2 to its logit. Without its mask, it counts every token, and 0.5 for unknown words.

    `mixing`: its rows also get the mean of all rows. `most_tokens`: it knows no places after these.
    """
    table = _table(words, labels)
    table[0, 0] = 0 if masked else 0.5
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["scores"])]
    if masked:
        nodes += [
            helper.make_node("Cast", ["attention_mask"], ["is_token"], to=TensorProto.FLOAT),
            helper.make_node("Unsqueeze", ["is_token", "last"], ["weights"]),
            helper.make_node("Mul", ["scores", "weights"], ["counted"]),
        ]
    of_tokens = "counted" if masked else "scores"
    if most_tokens is not None:
        nodes += [
            helper.make_node("Shape", ["input_ids"], ["shape"]),
            helper.make_node("Gather", ["shape", "one"], ["length"]),
            helper.make_node("Range", ["zero", "length", "one"], ["places"]),
            helper.make_node("Gather", ["of_place", "places"], ["of_places"]),
            helper.make_node("Add", [of_tokens, "of_places"], ["placed"]),
        ]
        of_tokens = "placed"
    summed = "sums" if mixing else "logits"
    nodes.append(helper.make_node("ReduceSum", [of_tokens, "tokens_axis"], [summed], keepdims=0))
    if mixing:
        nodes += [
            helper.make_node("ReduceMean", ["sums"], ["mean"], axes=[0], keepdims=1),
            helper.make_node("Add", ["sums", "mean"], ["logits"]),
        ]
    known = [numpy_helper.from_array(np.zeros((most_tokens or 1, len(labels)), np.float32), "of_place")]
    return _save(path, nodes, table, [value("logits", ("rows", len(labels)))], known, masked=masked)


def write_tagger(path: Path, words: Mapping[str, str] = NAME_WORDS, *, labels=TAGS) -> Path:
    """Each token's best label is that of its word."""
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["logits"])]
    table = _table(words, labels)
    table[:, 0] += 1
    shape = ("rows", "tokens", len(labels))
    return _save(path, nodes, table, [value("logits", shape)], masked=True)


def _table(words: Mapping[str, str], labels: Sequence[str]) -> np.ndarray:
    """The logits of each word of the vocabulary."""
    table = np.zeros((len(vocabulary(words)), len(labels)), np.float32)
    for place, label in enumerate(words.values(), start=1):
        table[place, labels.index(label)] = 2
    return table


def _save(path: Path, nodes, table: np.ndarray, outputs, weights=(), *, masked: bool) -> Path:
    shape = ("rows", "tokens")
    inputs = [value("input_ids", shape, TensorProto.INT64)]
    if masked:
        inputs.append(value("attention_mask", shape, TensorProto.INT64))
    weights = [
        *weights,
        numpy_helper.from_array(np.array(0, np.int64), "zero"),
        numpy_helper.from_array(np.array(1, np.int64), "one"),
        numpy_helper.from_array(table, "table"),
        numpy_helper.from_array(np.array([1], np.int64), "tokens_axis"),
        numpy_helper.from_array(np.array([2], np.int64), "last"),
    ]
    used = {name for node in nodes for name in node.input}
    return save(path, nodes, inputs, outputs, [weight for weight in weights if weight.name in used])


def bring_in(
    path: Path,
    model: Model,
    *,
    words: Mapping[str, str] = MOOD_WORDS,
    labels=MOODS,
    files: Mapping[str, bytes] | None = None,
    more_words: Sequence[str] = (),
    config: Mapping[str, object] | None = None,
    examples: Sequence[Mapping[str, object]] = (),
) -> Version:
    """Store and register a model with its tokenizer as an upload does; nothing has checked it yet."""
    with path.open("rb") as source:
        file = artifacts.store(artifacts.read_chunks(source))
    if files is None:
        files = {"vocab.txt": "\n".join(vocabulary(words, more=more_words)).encode()}
    own = {"vocabulary": "words", "lower_case": False} if "vocab.txt" in files else {}
    version = catalogue.register_version(
        model=model,
        file=file,
        task_config={"labels": labels, "max_tokens": 64, **own, **(config or {})},
        task_files={name: artifacts.store([content]).sha256 for name, content in files.items()},
        by=an_actor(),
    )
    if examples:
        add_examples(version=version, examples=examples, by=an_actor())
    return version


def a_classifier(folder: Path, model: Model | None = None, *, masked=True, **more) -> Version:
    path = write_classifier(folder / "moods.onnx", masked=masked)
    return bring_in(path, model or a_model(task="text-classification"), **more)


def a_tagger(folder: Path, model: Model | None = None, **more) -> Version:
    return bring_in(
        write_tagger(folder / "names.onnx"),
        model or a_model(task="entities"),
        words=NAME_WORDS,
        labels=TAGS,
        **more,
    )


def hostile_tokenizer() -> bytes:
    """A tokenizer.json that turns each `l` into 10^12 characters."""
    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": {
            "type": "Sequence",
            "normalizers": [{"type": "Replace", "pattern": {"String": "l"}, "content": "l" * 1_000}] * 4,
        },
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "post_processor": None,
        "decoder": None,
        "model": {"type": "WordLevel", "vocab": {UNKNOWN: 0, "good": 1}, "unk_token": UNKNOWN},
    }
    return json.dumps(tokenizer).encode()
