"""Labels with scores: which names are accepted, and which of them an answer has."""

import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.pipelines.errors import BadTaskConfig
from inference.pipelines.labels import read_labels
from inference.pipelines.pipeline import Fields
from inference.pipelines.scores import best
from inference.pipelines.text_classification import TextClassification
from inference.tensors.signature import Signature, TensorSpec


@pytest.mark.parametrize(
    "label", ["prix\u00a0fixe", "می\u200cخواهم", "👩‍👩‍👧", "क्\u200dष", "a\u00adb", "\ue000"]
)
def test_every_writing_is_accepted(label):
    assert read_labels(Fields({"labels": [label]})) == [label]


@pytest.mark.parametrize(
    "label", [" ", "\u00a0\u3000", "a\nb", "\x00", "a\x7f", "a\x85", "\ud83d", "a\udc00"], ids=ascii
)
def test_blank_labels_and_control_characters_are_refused(label):
    with pytest.raises(BadTaskConfig) as refused:
        read_labels(Fields({"labels": ["fine", label]}))

    assert refused.value.field == "labels"


@given(st.characters())
def test_of_characters_in_a_word_only_control_characters_and_surrogates_are_refused(character):
    refused = False
    try:
        read_labels(Fields({"labels": [f"a{character}b"]}))
    except BadTaskConfig:
        refused = True

    assert refused is (unicodedata.category(character) in {"Cc", "Cs"})


@given(st.lists(st.integers(0, 9), min_size=1, max_size=200), st.integers(1, 200))
def test_the_best_are_those_of_a_stable_sort(scores, count):
    scores = np.array(scores, np.float64)

    found = best(scores, min(count, len(scores)))

    assert found.tolist() == sorted(range(len(scores)), key=lambda at: -scores[at])[:count]


def many(count, **config):
    signature = Signature(
        (TensorSpec("documents", "BYTES", (None,)),), (TensorSpec("scores", "FP32", (None, count)),)
    )
    return TextClassification({"labels": [f"l{at}" for at in range(count)], **config}, {}, signature)


@pytest.mark.parametrize(
    ("count", "config", "body", "labels"),
    [(100, {}, {}, 100), (101, {}, {}, 100), (5_000, {"top_k": 200}, {}, 200), (5_000, {}, {"top_k": 5_000}, 5_000)],
    ids=["up to 100", "more", "configured", "requested"],
)  # fmt: skip
def test_how_many_labels_an_answer_has(count, config, body, labels):
    def run(inputs):
        return {"scores": np.arange(count, dtype=np.float32)[None]}

    (answer,) = many(count, **config).answer({"text": "it", **body}, run)

    assert len(answer.labels) == labels


def test_answers_as_tensors_have_every_score():
    pipeline = many(150, function="none")
    body = pipeline.body_of({"text": np.array(["it"], object)})

    answers = pipeline.answer(body, lambda _: {"scores": np.arange(150, dtype=np.float32)[None]})

    assert pipeline.tensors_of(answers)["scores"].tolist() == [list(range(150))]
