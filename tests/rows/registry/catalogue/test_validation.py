import pytest

from registry.catalogue.validation import checked_config
from registry.errors import Invalid
from tests.support.factories import a_model, an_uploaded_version

GOOD = {"labels": ["cat", "dog"], "scores": "logits"}


def test_a_good_classification_is_kept_as_it_is():
    assert checked_config("classification", GOOD) == GOOD


def test_a_tensor_model_says_nothing():
    assert checked_config("tensor", {}) == {}


@pytest.mark.parametrize(
    ("task", "config", "blamed"),
    [
        ("tensor", {"labels": ["a"]}, "labels"),
        ("classification", {}, "scores"),
        ("classification", {**GOOD, "scores": "votes"}, "scores"),
        ("classification", {**GOOD, "scores": ["logits"]}, "scores"),
        ("classification", {"scores": "logits"}, "labels"),
        ("classification", {**GOOD, "labels": []}, "labels"),
        ("classification", {**GOOD, "labels": "cat"}, "labels"),
        ("classification", {**GOOD, "labels": ["cat", 2]}, "entry 1"),
        ("classification", {**GOOD, "labels": ["cat", " "]}, "entry 1"),
        ("classification", {**GOOD, "labels": ["x" * 201]}, "entry 0"),
        ("classification", {**GOOD, "labels": ["a\0b"]}, "entry 0"),
        ("classification", {**GOOD, "labels": ["cat", "cat"]}, "twice"),
        ("classification", {**GOOD, "threshold": 0.5}, "threshold"),
    ],
)
def test_what_is_wrong_is_named(task, config, blamed):
    with pytest.raises(Invalid, match=blamed):
        checked_config(task, config)


@pytest.mark.django_db
def test_a_version_is_checked_against_the_task_of_its_model():
    model = a_model(task="classification")

    assert an_uploaded_version(model, task_config=GOOD).task_config == GOOD
    with pytest.raises(Invalid):
        an_uploaded_version(model)
