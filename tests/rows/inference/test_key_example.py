"""The command shown with a new API key: it must work as it is."""

import json
import re
import shlex

import pytest
from django.test import Client
from django.urls import reverse

from registry.access.key_examples import examples_of
from registry.traffic.services import stop_model
from tests.support.factories import a_key, a_live_model, a_model, a_person, a_tenant, an_actor

pytestmark = pytest.mark.django_db


def commands(*scopes, **more):
    key, text = a_key(*scopes, **more)
    return {example.id: example.text for example in examples_of(key, text)}, text


def test_a_prediction_with_a_live_model(settings):
    settings.PUBLIC_URL = "https://models.example"
    a_model("aaa-never-live")
    a_live_model(100, slug="demand")

    found, text = commands("predict")

    assert list(found) == ["rh-key-predict"]
    words = shlex.split(found["rh-key-predict"].replace("\\\n", " "))
    assert words[:2] == ["curl", "https://models.example/api/v1/models/demand/predict"]
    assert f"Authorization: Bearer {text}" in words
    assert json.loads(words[-1]) == {"features": [0.5, 0.5, 0.5, 0.5]}


def test_a_model_that_the_key_reaches_and_that_is_not_stopped():
    stopped, other, mine = (a_live_model(100, slug=slug) for slug in ("a-stopped", "b-other", "c-mine"))
    stop_model(model=stopped, text="broken", by=an_actor())

    assert "/models/c-mine/predict" in commands("predict", models=[stopped.pk, mine.pk])[0]["rh-key-predict"]
    assert "/models/b-other/predict" in commands("predict", models=[other.pk, mine.pk])[0]["rh-key-predict"]
    assert commands("predict", models=[stopped.pk])[0] == {}


def test_a_key_that_may_only_read_lists_models():
    a_live_model(100)

    assert list(commands("registry.read")[0]) == ["rh-key-models"]


def test_the_page_of_a_new_key_shows_it_with_copy_buttons(client: Client):
    a_live_model(100, slug="demand")
    client.force_login(a_person("admin"))
    form = {
        "name": "ci", "tenant": a_tenant().pk, "scopes": ["predict"], "all_models": "on", "expires_at_0": "",
        "expires_at_1": "",
    }  # fmt: skip

    page = client.post(reverse("admin:registry_apikey_add"), form).text

    text = re.search(r"rh_[a-z0-9]{8}_[\w-]{43}", page)[0]
    assert page.count(text) == 2
    assert "/api/v1/models/demand/predict" in page
    assert 'data-copy="#rh-key-text"' in page
    assert 'data-copy="#rh-key-predict"' in page
