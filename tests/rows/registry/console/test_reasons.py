"""Reasons that a person gave before, offered with the same verb."""

import pytest
from django.urls import reverse

from registry.console.reasons import reasons_given_before
from registry.traffic import services as traffic
from tests.support.factories import a_live_model, a_person, an_actor

pytestmark = pytest.mark.django_db


@pytest.fixture
def person():
    return a_person("operator", username="marta")


@pytest.fixture
def model():
    return a_live_model(100, slug="fruit")


def freeze(model, by, *reasons):
    for reason in reasons:
        traffic.freeze_model(model=model, reason=reason, by=by)


def test_the_last_different_ones_come_first(model, person):
    by = an_actor(user=person)
    freeze(model, by, "first", "second", "first")

    assert reasons_given_before(by, "freeze") == ["first", "second"]


def test_only_ones_own_and_only_of_this_verb(model, person):
    by = an_actor(user=person)
    freeze(model, an_actor(user=a_person("operator")), "somebody else's")
    traffic.stop_model(model=model, text="wrong labels", by=by)

    assert reasons_given_before(by, "freeze") == []
    assert reasons_given_before(by, "stop") == ["wrong labels"]
    assert reasons_given_before(an_actor(), "stop") == []


def test_at_most_eight_with_one_query(model, person, django_assert_num_queries):
    by = an_actor(user=person)
    freeze(model, by, *(f"reason {number}" for number in range(12)))

    with django_assert_num_queries(1):
        assert reasons_given_before(by, "freeze") == [f"reason {number}" for number in range(11, 3, -1)]


def test_they_are_listed_in_the_form(client, model, person):
    freeze(model, an_actor(user=person), "audit <week>")
    client.force_login(person)

    page = client.get(reverse("admin:registry_model_freeze", args=[model.pk])).text

    assert 'list="id_reason_past"' in page
    assert '<datalist id="id_reason_past"><option value="audit &lt;week&gt;">' in page


def test_a_wrong_field_is_described_by_its_error_and_its_help(client, model, person):
    client.force_login(person)

    page = client.post(reverse("admin:registry_model_freeze", args=[model.pk]), {"reason": ""}).text

    assert 'aria-describedby="id_reason_helptext id_reason_error"' in page
    assert 'id="id_reason_helptext"' in page
    assert 'id="id_reason_error"' in page
    assert 'aria-invalid="true"' in page
