"""The tasks that read texts: from a request to a model's inputs, and from its outputs to an answer."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.pipelines.entities import Entities
from inference.pipelines.errors import BadTaskConfig, InvalidItem, TextTooLong, TooManyItems
from inference.pipelines.pipeline import FilesBeside
from inference.pipelines.spans import OffsetUnit
from inference.pipelines.text_classification import TextClassification
from inference.pipelines.texts import row_width
from inference.pipelines.tokenization import TextTokenizer
from inference.tensors.signature import Signature, TensorSpec
from tests.support.pipelines import decoded, inputs_of
from tests.support.tokenizers_of_tests import a_tokenizer

WORDS = b"[PAD]\n[UNK]\ni\nlove\nhate\nit\nann\nlee\nparis"
FILES = {"words.txt": WORDS, "tokenizer.json": a_tokenizer("word_piece_uncased").encode()}
BERT = tuple(
    TensorSpec(name, "INT64", (None, None)) for name in ("input_ids", "attention_mask", "token_type_ids")
)
SEED = (TensorSpec("text", "FP32", (1, 128)),)
SENTIMENTS = ["negative", "neutral", "positive"]
TAGS = ["O", "B-PER", "I-PER"]
SIMPLE = {"tokenizer": "words.txt", "vocabulary": "words"}


def classifier(inputs=BERT, labels=SENTIMENTS, **config):
    outputs = (TensorSpec("logits", "FP32", (None, len(labels))),)
    return TextClassification({"labels": labels, **config}, FILES, Signature(inputs, outputs))


def entities(**config):
    outputs = (TensorSpec("logits", "FP32", (None, None, len(TAGS))),)
    return Entities({"labels": TAGS, **SIMPLE, **config}, FILES, Signature(BERT[:2], outputs))


def test_a_text_becomes_ids_mask_and_types():
    pipeline = classifier(**SIMPLE)

    inputs = inputs_of(pipeline, {"texts": ["I love it", "Paris"]})

    assert {name: tensor.tolist() for name, tensor in inputs.items()} == {
        "input_ids": [[2, 3, 5, 0, 0, 0, 0, 0], [8, 0, 0, 0, 0, 0, 0, 0]],
        "attention_mask": [[1, 1, 1, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0, 0]],
        "token_type_ids": [[0] * 8] * 2,
    }
    assert {tensor.dtype for tensor in inputs.values()} == {np.dtype(np.int64)}


def test_a_model_of_fixed_length_that_takes_ids_as_floats():
    """As the first sentiment models of this product did."""
    pipeline = classifier(inputs=SEED, **SIMPLE)

    (ids,) = inputs_of(pipeline, {"text": "I LOVE unknown words"}).values()

    assert (ids.shape, ids.dtype) == ((1, 128), np.dtype(np.float32))
    assert ids[0, :5].tolist() == [2, 3, 1, 1, 0]


def test_a_text_without_any_word_has_one_place_for_padding():
    inputs = inputs_of(classifier(**SIMPLE), {"text": ""})

    assert inputs["input_ids"].tolist() == inputs["attention_mask"].tolist() == [[0] * 8]


def test_a_model_may_read_strings_itself():
    """As exports of scikit-learn do."""
    pipeline = classifier(inputs=(TensorSpec("documents", "BYTES", (None, 1)),), function="none")

    (answer,) = pipeline.answer({"text": "fine"}, lambda _: {"logits": np.array([[0.2, 0.1, 0.7]])})

    assert inputs_of(pipeline, {"texts": ["fine", "bad"]})["documents"].tolist() == [["fine"], ["bad"]]
    assert (answer.label, answer.tokens_given) == ("positive", None)


def test_rows_of_very_different_length_run_apart():
    pipeline = classifier(**SIMPLE)

    groups = pipeline.encode({"texts": ["it", "it " * 500, "i"]}).groups

    assert [(group.tensors["ids"].shape, list(group.places)) for group in groups] == [
        ((2, 8), [0, 2]),
        ((1, 512), [1]),
    ]


def test_a_model_that_computes_with_padding_is_found():
    def mean_of_all(inputs):
        ids = inputs["input_ids"].astype(float)
        return {"logits": np.repeat(ids.mean(axis=1, keepdims=True), 3, axis=1)}

    def mean_of_tokens(inputs):
        ids, mask = inputs["input_ids"].astype(float), inputs["attention_mask"]
        return {"logits": np.repeat((ids * mask).sum(axis=1, keepdims=True) / mask.sum(), 3, axis=1)}

    pipeline = classifier(**SIMPLE, padding_id=5)

    assert pipeline.padding_is_harmless(mean_of_tokens)
    assert not pipeline.padding_is_harmless(mean_of_all)
    pipeline.forbid_padding()
    assert inputs_of(pipeline, {"text": "i love it"})["input_ids"].tolist() == [[2, 3, 5]]


def test_padding_of_long_rows_is_tried_too():
    """A window of attention, for example, may let padding in only where rows are long."""
    widths = []

    def counts_padding_of_long_rows(inputs):
        ids, mask = inputs["input_ids"].astype(float), inputs["attention_mask"]
        widths.append(ids.shape[1])
        counted = ids * mask if ids.shape[1] < 100 else ids
        return {"logits": np.repeat(counted.sum(axis=1, keepdims=True), 3, axis=1)}

    pipeline = classifier(**SIMPLE, padding_id=5, max_tokens=256)

    assert not pipeline.padding_is_harmless(counts_padding_of_long_rows)
    assert widths[-2:] == [248, 256]


def test_what_a_file_states_is_filled_in():
    config = {
        "id2label": {"0": "bad", "1": "good"}, "max_position_embeddings": 64, "pad_token_id": 1,
        "problem_type": "multi_label_classification",
    }  # fmt: skip
    said = b'{"do_lower_case": false, "model_max_length": 1e30}'

    filled = TextClassification.prefill(
        FilesBeside({"config.json": json.dumps(config).encode(), "tokenizer_config.json": said})
    )

    assert filled == {
        "labels": ["bad", "good"], "max_tokens": 64, "padding_id": 1, "function": "sigmoid", "lower_case": False,
    }  # fmt: skip


def filled_in(config=None, tokenizer=None, **files):
    said = {"config.json": config or {}, "tokenizer_config.json": tokenizer or {}}
    return TextClassification.prefill(
        FilesBeside({name: json.dumps(content).encode() for name, content in said.items()} | files)
    )


@pytest.mark.parametrize(
    ("config", "tokens"),
    [
        ({"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 1}, 512),
        ({"model_type": "xlm-roberta", "max_position_embeddings": 514}, 512),
        ({"model_type": "longformer", "max_position_embeddings": 4098, "pad_token_id": 1}, 4096),
        ({"model_type": "camembert", "max_position_embeddings": 514, "pad_token_id": 0}, 513),
        ({"model_type": "mpnet", "max_position_embeddings": 514, "pad_token_id": "1"}, 512),
        ({"model_type": "bert", "max_position_embeddings": 512, "pad_token_id": 0}, 512),
        ({"model_type": ["roberta"], "max_position_embeddings": 514}, 514),
        ({"model_type": "roberta", "max_position_embeddings": 4}, None),
        ({"model_type": "roberta", "max_position_embeddings": "514"}, None),
    ],
)
def test_positions_that_are_no_tokens_are_not_counted(config, tokens):
    assert filled_in(config).get("max_tokens") == tokens


ACCENTED = "[PAD]\n[UNK]\n[CLS]\n[SEP]\ncafe\ncafé\n東京\n東\n京\n##京".encode()


@pytest.mark.parametrize(
    ("said", "config", "ids"),
    [
        ({}, {}, [2, 4, 7, 8, 3]),
        ({"strip_accents": None, "do_lower_case": True}, {"lower_case": True}, [2, 4, 7, 8, 3]),
        ({"strip_accents": False}, {"strip_accents": False}, [2, 5, 7, 8, 3]),
        ({"do_lower_case": False}, {"lower_case": False}, [2, 5, 7, 8, 3]),
        ({"do_lower_case": False, "strip_accents": True}, {"lower_case": False, "strip_accents": True}, [2, 4, 7, 8, 3]),
        ({"tokenize_chinese_chars": True}, {}, [2, 4, 7, 8, 3]),
        ({"tokenize_chinese_chars": False}, {"split_chinese": False}, [2, 4, 6, 3]),
    ],
    ids=["nothing", "null", "keeps accents", "cased", "cased without accents", "as usual", "Chinese words"],
)  # fmt: skip
def test_a_vocabulary_is_read_as_its_tokenizers_file_states(said, config, ids):
    filled = filled_in(tokenizer=said)
    outputs = (TensorSpec("logits", "FP32", (None, 1)),)

    pipeline = TextClassification(
        {"labels": ["x"], **filled}, {"vocab.txt": ACCENTED}, Signature(BERT, outputs)
    )

    assert filled == config
    assert inputs_of(pipeline, {"text": "café 東京"})["input_ids"][0, : len(ids)].tolist() == ids


@pytest.mark.parametrize("name", ["tokenizer.json", "tone-tokenizer.json"])
def test_a_tokenizers_own_file_states_it_itself(name):
    said = {"do_lower_case": False, "strip_accents": False, "tokenize_chinese_chars": False}

    assert filled_in(tokenizer=said, **{name: b"{}"}) == {}


@pytest.mark.parametrize("field", ["strip_accents", "split_chinese"])
@pytest.mark.parametrize("other", [SIMPLE, {"tokenizer": "tokenizer.json"}], ids=["words", "json"])
def test_what_would_have_no_effect_is_refused(field, other):
    with pytest.raises(BadTaskConfig, match="word pieces") as refused:
        classifier(**other, **{field: False})

    assert refused.value.field == field


@pytest.mark.parametrize(
    "by_id", [{"0": "LABEL_0", "1": "LABEL_1"}, {"0": "a", "2": "b"}, ["a"], {"0": 1}], ids=str
)
def test_labels_that_a_file_does_not_clearly_state_are_not_guessed(by_id):
    assert (
        TextClassification.prefill(FilesBeside({"config.json": json.dumps({"id2label": by_id}).encode()}))
        == {}
    )


def test_labels_come_best_first_with_the_tokens():
    pipeline = classifier(**SIMPLE, max_tokens=3)
    encoded = pipeline.encode({"texts": ["i hate it", "i love it it it"], "top_k": 2})

    first, second = decoded(pipeline, {"logits": np.log([[0.7, 0.1, 0.2], [0.1, 0.1, 0.8]])}, encoded)

    assert [(one.label, round(one.score, 3)) for one in first.labels] == [
        ("negative", 0.7),
        ("positive", 0.2),
    ]
    assert (first.tokens_given, first.tokens_used) == (3, 3)
    assert (second.tokens_given, second.tokens_used) == (5, 3)


@pytest.mark.parametrize(
    ("function", "labels", "outputs", "scores"),
    [
        (None, ["bad"], [[0.0]], [0.5]),
        ("sigmoid", SENTIMENTS, [[0.0, -1e9, 1e9]], [1.0, 0.5, 0.0]),
        ("none", ["stars"], [[4.5]], [4.5]),
        (None, SENTIMENTS, [[1e4, 1e4, -1e4]], [0.5, 0.5, 0.0]),
    ],
    ids=["one label", "several labels at once", "a regression", "large outputs"],
)
def test_functions(function, labels, outputs, scores):
    pipeline = classifier(labels=labels, **SIMPLE, **({"function": function} if function else {}))

    (answer,) = decoded(pipeline, {"logits": np.array(outputs)}, pipeline.encode({"text": "it"}))

    assert [label.score for label in answer.labels] == scores


def test_a_version_may_refuse_long_texts():
    with pytest.raises(TextTooLong, match="Text 2 has 4 tokens; the model reads at most 3"):
        classifier(**SIMPLE, max_tokens=3, long_texts="refuse").encode({"texts": ["it", "it it it it"]})


READERS = {
    "strings": lambda: classifier(inputs=(TensorSpec("documents", "BYTES", (None,)),)),
    "cut": lambda: classifier(**SIMPLE),
    "windows": lambda: entities(),
}


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
def test_the_characters_of_a_request_are_limited(reader, monkeypatch):
    """Before anything reads them."""
    monkeypatch.setattr(TextTokenizer, "tokenize", None)

    with pytest.raises(
        TextTooLong, match=r"at most 1,000,000 characters together; these have 1,000,002\. Divide"
    ):
        reader().encode({"texts": ["x" * 500_001] * 2})


def test_the_windows_of_a_request_are_limited(monkeypatch):
    pipeline = entities(max_tokens=4, overlap=2)
    assert len(pipeline.encode({"text": "it " * (2 * 2_048 + 2)}).context.tokens[0].windows) == 2_048
    monkeypatch.setattr(TextTokenizer, "_text", None)

    with pytest.raises(
        TextTooLong, match=r"at most 2,048 windows of 4 tokens together; these have 2,049\. Divide"
    ):
        pipeline.encode({"texts": ["it", "it " * (2 * 2_048 + 2)]})


def test_of_a_text_that_is_cut_the_rest_is_only_counted():
    encoded = classifier(**SIMPLE, max_tokens=3).encode({"text": "it " * 100_000})

    assert encoded.groups[0].tensors["ids"].shape == (1, 3)
    assert encoded.context.tokens == [(100_000, 3)]


@pytest.mark.parametrize(("max_tokens", "most"), [(9, 4), (4, 2), (3, 1)])
def test_windows_share_at_most_half(max_tokens, most):
    entities(max_tokens=max_tokens, overlap=most)

    with pytest.raises(BadTaskConfig, match=f"at most {most}") as refused:
        entities(max_tokens=max_tokens, overlap=most + 1)

    assert refused.value.field == "overlap"


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({}, InvalidItem),
        ({"text": "a", "texts": ["a"]}, InvalidItem),
        ({"texts": []}, InvalidItem),
        ({"texts": "a"}, InvalidItem),
        ({"texts": ["a", 1]}, InvalidItem),
        ({"text": None}, InvalidItem),
        ({"text": "a", "top_k": 0}, InvalidItem),
        ({"text": "a", "top_k": True}, InvalidItem),
        ({"texts": ["a"] * 257}, TooManyItems),
    ],
    ids=["nothing", "both", "none", "no list", "a number", "null", "top 0", "top true", "too many"],
)
def test_bad_requests_are_refused(body, error):
    with pytest.raises(error):
        classifier(**SIMPLE).encode(body)


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"labels": ["a", "b"]}, "labels"),
        ({"labels": ["a", "a", "b"]}, "labels"),
        ({"labels": ["a", " ", "b"]}, "labels"),
        ({"labels": ["a", "b\n", "c"]}, "labels"),
        ({"labels": "abc"}, "labels"),
        ({"labels": ["a", "", "c"]}, "labels[1]"),
        ({"tokenizer": "nowhere.json"}, "tokenizer"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"long_texts": "windows"}, "long_texts"),
        ({"function": "tanh"}, "function"),
        ({"padding_id": 9}, "padding_id"),
        ({"output": "nothing"}, "output"),
        ({"lable": "x"}, "lable"),
    ],
    ids=lambda value: value if isinstance(value, str) else next(iter(value)),
)
def test_a_bad_configuration_names_the_field(config, field):
    outputs = (TensorSpec("logits", "FP32", (None, 3)),)

    with pytest.raises(BadTaskConfig) as refused:
        TextClassification({"labels": SENTIMENTS, **SIMPLE, **config}, FILES, Signature(BERT, outputs))

    assert refused.value.field == field


@pytest.mark.parametrize(
    "inputs",
    [
        (TensorSpec("pixels", "FP32", (None, 3, 224, 224)),),
        (TensorSpec("a", "INT64", (None, None)), TensorSpec("b", "INT64", (None, None))),
        (TensorSpec("input_ids", "BYTES", (None, 2)),),
        (),
    ],
    ids=["pixels", "two unknown", "texts", "none"],
)
def test_a_model_that_takes_no_tokens_is_refused(inputs):
    with pytest.raises(BadTaskConfig) as refused:
        classifier(inputs=inputs)

    assert refused.value.field == "inputs"


@pytest.mark.parametrize(
    "change",
    [
        {"labels": ["neutral", "negative", "positive"]}, {"max_tokens": 9}, {"function": "sigmoid"}, {"long_texts": "refuse"},
        {"tokenizer": "tokenizer.json"}, {"lower_case": False}, {"padding_id": 1}, {"top_k": 1},
    ],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_what_changes_answers_changes_the_hash(change):
    assert (
        classifier(**SIMPLE).digest
        == classifier(**SIMPLE).digest
        != classifier(**{**SIMPLE, **change}).digest
    )


@given(st.integers(1, 32_768))
def test_widths_waste_little(tokens):
    width = row_width(tokens, 32_768)

    assert tokens <= width <= max(tokens + 7, tokens * 1.125 + 1)
    assert width == row_width(width, 32_768)


def test_few_widths_serve_all_lengths():
    assert len({row_width(tokens, 512) for tokens in range(1, 513)}) <= 40


@pytest.mark.parametrize(
    ("unit", "places"),
    [("codepoint", (2, 9)), ("utf16", (3, 10)), ("byte", (5, 12))],
    ids=lambda value: str(value),
)
def test_entities_of_long_texts_in_the_callers_unit(unit, places):
    """Three windows of the second text, one of the first."""
    pipeline = entities(max_tokens=4, overlap=1)
    encoded = pipeline.encode({"texts": ["😀 ann lee", "it it it it it it it it ann"], "offset_unit": unit})
    rows = pipeline.prepare(encoded.groups[0].tensors)["input_ids"]
    tags = np.select([rows == 6, rows == 7], [1, 2], 0)

    first, second = decoded(pipeline, {"logits": 9 * np.eye(3, dtype=np.float32)[tags]}, encoded)

    assert [(one.label, one.text, (one.start, one.end)) for one in first.entities] == [
        ("PER", "ann lee", places)
    ]
    assert [(one.text, one.start) for one in second.entities] == [("ann", 24)]
    assert (first.offset_unit, second.tokens_given, second.tokens_used) == (OffsetUnit(unit), 9, 9)


def test_patterns_stand_beside_the_model():
    pipeline = entities(patterns=[{"CARD": r"\d{4}"}])
    encoded = pipeline.encode({"text": "ann 1234"})
    tags = np.zeros(encoded.groups[0].tensors["ids"].shape, int)
    tags[0, 0] = 1

    (answer,) = decoded(pipeline, {"logits": 9 * np.eye(3)[tags]}, encoded)

    assert [(one.label, one.text) for one in answer.entities] == [("PER", "ann"), ("CARD", "1234")]


@pytest.mark.parametrize("patterns", ["x", [1], [{"A": 1}], [{"A": "a", "B": "b"}], [{"A": "("}]])
def test_bad_patterns_are_refused(patterns):
    with pytest.raises(BadTaskConfig, match=r"object|regular expression"):
        entities(patterns=patterns)


@pytest.mark.parametrize(
    ("configured", "asked", "found"),
    [
        ("simple", {}, [("PER", "ann lee")]),
        ("simple", {"grouping": "none"}, [("B-PER", "ann"), ("I-PER", "lee")]),
        ("none", {}, [("B-PER", "ann"), ("I-PER", "lee")]),
        ("none", {"grouping": "max"}, [("PER", "ann lee")]),
    ],
    ids=["version", "request", "version-none", "request-max"],
)
def test_a_request_may_choose_the_grouping(configured, asked, found):
    pipeline = entities(grouping=configured)
    encoded = pipeline.encode({"text": "ann lee", **asked})
    tags = np.zeros(encoded.groups[0].tensors["ids"].shape, int)
    tags[0, :2] = 1, 2

    (answer,) = decoded(pipeline, {"logits": 9 * np.eye(3)[tags]}, encoded)

    assert [(one.label, one.text) for one in answer.entities] == found
    assert pipeline.digest == entities(grouping=configured).digest


@pytest.mark.parametrize("option", ["offset_unit", "grouping"])
@pytest.mark.parametrize("value", [[], {}, None, 1, "word", True], ids=str)
def test_options_that_do_not_exist_are_refused(option, value):
    with pytest.raises(InvalidItem) as refused:
        entities().encode({"text": "ann", option: value})

    assert refused.value.field == option


def test_only_patterns_are_slow_to_decode():
    assert not classifier(**SIMPLE).is_slow_to_decode
    assert not entities().is_slow_to_decode
    assert entities(patterns=[{"CARD": r"\d{4}"}]).is_slow_to_decode


def test_examples_are_answered():
    for pipeline in (classifier(**SIMPLE), entities()):
        assert inputs_of(pipeline, pipeline.example)
