"""What the forms' searchable field for a Model is answered."""

import pytest
from django.urls import reverse

from registry.access.policies import Role
from registry.catalogue.model_choices import MAX_CHOICES
from tests.support.factories import a_model, a_person

pytestmark = pytest.mark.django_db
CHOICES = reverse("model-choices")


@pytest.fixture
def search(client):
    client.force_login(a_person(Role.VIEWER))
    return lambda text="": client.get(CHOICES, {"q": text}).json()


def slugs(found):
    return [model["slug"] for model in found["models"]]


def test_names_and_titles_match_and_names_that_start_with_the_text_come_first(search):
    for slug, title in [("old-demand", ""), ("demand", "Demand per hour"), ("sales", "On demand")]:
        a_model(slug, title=title)
    a_model("fruit")

    assert slugs(search("DEMAND")) == ["demand", "old-demand", "sales"]
    assert search("demand")["models"][0]["title"] == "Demand per hour"
    assert slugs(search()) == ["demand", "fruit", "old-demand", "sales"]


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("demnd", "demand"),
        ("demand", ""),
        ("Demanf", "demand"),
        ("xemand", "demand"),
        ("fraud", ""),
        ("d", ""),
        ("e" * 99, ""),
    ],
)
def test_a_wrong_name_is_told_what_was_probably_meant(search, text, near):
    a_model("demand")

    assert search(text)["near"] == near


def test_thousands_of_models_are_not_all_sent(search):
    for number in range(MAX_CHOICES + 1):
        a_model(f"model-number-{number}")

    found = search("number")

    assert (len(found["models"]), found["more"]) == (MAX_CHOICES, True)


def test_few_queries(search, django_assert_max_num_queries):
    a_model("demand")
    search("demnd")

    with django_assert_max_num_queries(8):
        search("demnd")


def test_only_the_models_that_the_person_may_see(client):
    mine = a_model("mine")
    a_model("zebra-crossing")
    client.force_login(a_person(Role.OPERATOR, models=[mine.pk]))

    assert slugs(client.get(CHOICES).json()) == ["mine"]
    assert client.get(CHOICES, {"q": "minee"}).json()["near"] == "mine"
    assert client.get(CHOICES, {"q": "zebra-crosing"}).json()["near"] == ""


def test_any_text_is_answered(search):
    a_model("demand")

    for text in ["\0", "%", "_", "'", "\\", "é" * 200]:
        assert slugs(search(text)) == [] or text == "\0"
