"""The command shown with a new API key: it must work as it is."""

import json
import re
import shlex
import tracemalloc

import pytest
from django.test import Client
from django.urls import reverse

from inference.try_it.panels import json_examples
from registry.access.key_examples import examples_of
from registry.catalogue import artifacts
from registry.catalogue.models import Model
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


def a_recommender(slug, users):
    """A live Model whose users are in a stored file, or in one that has been lost."""
    model = a_live_model(100, slug=slug)
    Model.objects.filter(pk=model.pk).update(task="recommendation")
    sha256 = artifacts.store([users]).sha256 if users else "0" * 64
    model.versions.update(task_files={"users.txt": sha256})
    return Model.objects.get(pk=model.pk)


def test_a_new_key_is_shown_even_if_a_file_of_a_model_is_lost(client: Client):
    a_recommender("a-lost", b"")
    a_recommender("b-picks", b"ada\nben\n")
    client.force_login(a_person("admin"))
    form = {"name": "ci", "tenant": a_tenant().pk, "scopes": ["predict"], "all_models": "on",
            "expires_at_0": "", "expires_at_1": ""}  # fmt: skip

    page = client.post(reverse("admin:registry_apikey_add"), form)

    assert page.status_code == 200
    assert re.search(r"rh_[a-z0-9]{8}_[\w-]{43}", page.text)
    assert "/api/v1/models/b-picks/predict" in page.text


def test_examples_read_only_the_beginning_of_large_files():
    model = a_recommender("picks", b"ada\n" + b"x" * 100 + b"\n" * (8 << 20))
    version = model.versions.select_related("artifact").get()
    tracemalloc.start()
    try:
        body = json_examples(version)["user"]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert body == '{"user":"ada"}'
    assert peak < 1 << 20


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
