"""Small models that read texts, whose answers can be told from the words."""

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from registry.catalogue import artifacts
from tests.support.live_models import put_live
from tests.support.onnx_models import save, value

SENTIMENTS = ["negative", "neutral", "positive"]
TAGS = ["O", "B-PER", "I-PER", "B-LOC"]
# By word, what is added for each label.
_SENTIMENT_OF = {"bad": [4, 0, 0], "good": [0, 0, 4], "fine": [0, 0, 2], "parcel": [0, 1, 0]}
_TAG_OF = {"ann": "B-PER", "lee": "I-PER", "paris": "B-LOC", "met": "O", "in": "O"}
WORDS = ["[PAD]", "[UNK]", *_SENTIMENT_OF, *_TAG_OF]
FILES = {"words.txt": "\n".join(WORDS).encode()}
_READING = {"tokenizer": "words.txt", "vocabulary": "words", "max_tokens": 64}
TONE = {"labels": SENTIMENTS, **_READING}
NAMES = {"labels": TAGS, "patterns": [{"MAIL": r"\S+@\S+"}], **_READING}


def save_tone(path: Path) -> Path:
    """The sum of what a text's words say."""
    table = [_SENTIMENT_OF.get(word, [0, 0, 0]) for word in WORDS]
    nodes = [helper.make_node("ReduceSum", ["of_tokens", "axis"], ["logits"], keepdims=0)]
    return _save(path, table, nodes, value("logits", ("rows", len(SENTIMENTS))), [_constant("axis", [1])])


def save_names(path: Path) -> Path:
    """A label for each word by itself."""
    table = [[6.0 * (_TAG_OF.get(word, "O") == tag) for tag in TAGS] for word in WORDS]
    nodes = [helper.make_node("Identity", ["of_tokens"], ["logits"])]
    return _save(path, table, nodes, value("logits", ("rows", "tokens", len(TAGS))))


def put_tone(folder: Path, slug: str = "tone", **config):
    """A live Model whose answers are `SENTIMENTS`."""
    return _put(slug, save_tone(folder / f"{slug}.onnx"), "text-classification", {**TONE, **config})


def put_names(folder: Path, slug: str = "names", **config):
    """A live Model that finds persons, places and addresses of mail."""
    return _put(slug, save_names(folder / f"{slug}.onnx"), "entities", {**NAMES, **config})


def _put(slug, path, task, config):
    files = {name: artifacts.store([data]).sha256 for name, data in FILES.items()}
    return put_live(slug, path, task=task, task_config=config, task_files=files)


def _save(path, table, nodes, output, weights=()):
    """A table's lines for the ids of the tokens, nothing for the padding, and then these nodes."""
    ids, mask = (
        value(name, ("rows", "tokens"), TensorProto.INT64) for name in ("input_ids", "attention_mask")
    )
    looked_up = [
        helper.make_node("Gather", ["table", "input_ids"], ["lines"], axis=0),
        helper.make_node("Cast", ["attention_mask"], ["is_token"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["is_token", "last"], ["factors"]),
        helper.make_node("Mul", ["lines", "factors"], ["of_tokens"]),
    ]
    constants = [
        numpy_helper.from_array(np.array(table, np.float32), "table"),
        _constant("last", [-1]),
        *weights,
    ]
    return save(path, [*looked_up, *nodes], [ids, mask], [output], constants)


def _constant(name, numbers):
    return numpy_helper.from_array(np.array(numbers, np.int64), name)
