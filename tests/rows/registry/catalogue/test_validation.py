import pytest

from registry.catalogue.errors import InvalidTaskConfig
from registry.catalogue.task_kinds import checked_config
from tests.support.factories import a_model, an_uploaded_version

GOOD = {"labels": ["cat", "dog"], "scores": "logits"}


def test_a_good_configuration_is_kept_as_it_is():
    assert checked_config("classification", GOOD) == GOOD
    assert checked_config("tensor", {}) == {}


@pytest.mark.parametrize(
    ("task", "config", "field"),
    [
        ("tensor", {"labels": ["a"]}, "labels"),
        ("classification", {**GOOD, "scores": "votes"}, "scores"),
        ("classification", {**GOOD, "labels": ["a\0b"]}, "labels"),
        ("entities", {"labels": ["O", "B-X"], "patterns": [{"MA\0IL": "x"}]}, "patterns"),
    ],
    ids=["unknown", "wrong", "no database stores it", "nor that"],
)
def test_the_field_that_is_wrong_is_named(task, config, field):
    with pytest.raises(InvalidTaskConfig) as caught:
        checked_config(task, config)

    assert caught.value.members["errors"][0]["pointer"] == f"#/task_config/{field}"


@pytest.mark.django_db
def test_a_version_is_checked_against_the_task_of_its_model():
    model = a_model(task="classification")

    assert an_uploaded_version(model, task_config=GOOD).task_config == GOOD
    with pytest.raises(InvalidTaskConfig):
        an_uploaded_version(model)
