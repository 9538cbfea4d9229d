"""Banners of stopped and frozen Models: on their pages, and on those of their versions."""

import pytest
from django.urls import reverse

from registry.traffic.selectors import open_holds
from registry.traffic.services import freeze_model, stop_model
from tests.support.factories import a_live_model, an_actor

pytestmark = pytest.mark.django_db
EVIL = "<script>alert(1)</script>"


@pytest.fixture
def model():
    return a_live_model(90, 10, slug="fruit")


def pages(model):
    return {
        "model": reverse("admin:registry_model_change", args=[model.pk]),
        "version": reverse("admin:registry_version_change", args=[model.versions.first().pk]),
    }


def shown(client, model):
    return {name: client.get(address).text for name, address in pages(model).items()}


def stop(model, why="x"):
    stop_model(model=model, text=why, by=an_actor())


def freeze(model, why="x"):
    freeze_model(model=model, reason=why, by=an_actor())


@pytest.mark.parametrize(
    ("hold", "state", "meanwhile"),
    [
        (stop, "is stopped", "Once it is started, version 1 answers"),
        (freeze, "is frozen", "It answers as before: version 1"),
    ],
    ids=["stopped", "frozen"],
)
def test_a_banner_says_who_why_and_what_still_works(client, operator, model, hold, state, meanwhile):
    assert not any("rh-incident" in page for page in shown(client, model).values())

    hold(model, "wrong prices")

    for page in shown(client, model).values():
        plain = " ".join(page.replace("</a>", "").split("rh-incident", 1)[1].split())
        for words in (state, "by tester", "wrong prices", f"{meanwhile} 90 %, version 2 10 %"):
            assert words in plain


@pytest.mark.parametrize(("hold", "verb"), [(stop, "start"), (freeze, "unfreeze")])
def test_its_button_ends_it(client, operator, model, hold, verb):
    hold(model)
    address = reverse(f"admin:registry_model_{verb}", args=[model.pk])
    assert all(address in page for page in shown(client, model).values())

    answer = client.post(address, {"reason": "mended"}, follow=True)

    assert open_holds(type(model).objects.get(pk=model.pk)) == {}
    assert "rh-incident" not in answer.text


def test_without_the_right_the_banner_has_no_button(client, viewer, model):
    stop(model, "wrong prices")

    for page in shown(client, model).values():
        assert "wrong prices" in page
        assert reverse("admin:registry_model_start", args=[model.pk]) not in page


def test_a_frozen_stop_says_what_comes_first(client, operator, model):
    stop(model, "x")
    freeze(model)

    page = shown(client, model)["model"]

    assert page.index("is stopped") < page.index("is frozen")
    assert "Unfreeze it first." in page


def test_what_people_wrote_is_text(client, operator, model):
    stop(model, EVIL)

    assert not any(EVIL in page for page in shown(client, model).values())
