"""What holds a Model back is on its page, on its versions' pages and on the home page, with the way out of it."""

import pytest
from django.urls import reverse

from registry.access.policies import Role
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
        "home": reverse("admin:index"),
    }


def shown(client, model):
    return {name: client.get(address).text for name, address in pages(model).items()}


@pytest.mark.parametrize(
    ("hold", "words"),
    [
        (stop_model, ["fruit is stopped", "by tester", "wrong prices", "Once it is started: version 1 90 %, version 2 10 %"]),
        (freeze_model, ["fruit is frozen", "by tester", "wrong prices", "It answers as before: version 1 90 %, version 2 10 %"]),
    ],
    ids=["stopped", "frozen"],
)  # fmt: skip
def test_it_says_who_why_and_what_works_meanwhile(client, operator, model, hold, words):
    assert not any("rh-incident" in page for page in shown(client, model).values())

    hold(model=model, **{"text" if hold is stop_model else "reason": "wrong prices"}, by=an_actor())

    for page in shown(client, model).values():
        plain = " ".join(page.replace("</a>", "").split("rh-incident", 1)[1].split())
        assert all(one in plain for one in words[1:])
        assert words[0].partition(" ")[2] in plain


@pytest.mark.parametrize(("hold", "verb"), [("stopped", "start"), ("frozen", "unfreeze")])
def test_its_button_ends_it(client, operator, model, hold, verb):
    if hold == "stopped":
        stop_model(model=model, text="x", by=an_actor())
    else:
        freeze_model(model=model, reason="x", by=an_actor())
    address = reverse(f"admin:registry_model_{verb}", args=[model.pk])
    assert all(address in page for page in shown(client, model).values())

    answer = client.post(address, {"reason": "mended"}, follow=True)

    assert open_holds(type(model).objects.get(pk=model.pk)) == {}
    assert "rh-incident" not in answer.text


def test_who_may_not_end_it_sees_it_without_the_button(client, viewer, model):
    stop_model(model=model, text="wrong prices", by=an_actor())

    for page in shown(client, model).values():
        assert "wrong prices" in page
        assert reverse("admin:registry_model_start", args=[model.pk]) not in page


def test_a_frozen_stop_says_what_comes_first(client, operator, model):
    stop_model(model=model, text="x", by=an_actor())
    freeze_model(model=model, reason="y", by=an_actor())

    page = shown(client, model)["home"]

    assert page.index("is stopped") < page.index("is frozen")
    assert "Unfreeze it first." in page


def test_what_people_wrote_is_text(client, operator, model):
    stop_model(model=model, text=EVIL, by=an_actor())

    assert not any(EVIL in page for page in shown(client, model).values())


def test_home_shows_the_first_six_and_only_what_one_may_see(
    client, signed_in, model, django_assert_max_num_queries
):
    others = [a_live_model(100, slug=f"other-{number}") for number in range(8)]
    for one in others:
        stop_model(model=one, text="down", by=an_actor())
    hidden = a_live_model(100, slug="hidden-one")
    stop_model(model=hidden, text="down", by=an_actor())
    signed_in(Role.OPERATOR, models=[one.pk for one in (model, *others)])

    with django_assert_max_num_queries(40):
        page = client.get(reverse("admin:index")).text

    assert page.count('class="rh-incident ') == 6
    assert "2 more stopped or frozen" in page
    assert "hidden-one" not in page
