"""Texts over REST: at a Model's address, and at those of the tasks."""

import json

import pytest

from inference.serving import runtime
from registry.access.keys import ring
from registry.catalogue.models import Model
from registry.catalogue.services import edit_model
from tests.support.factories import a_key, an_actor
from tests.support.live_models import put_live
from tests.support.onnx_models import identity
from tests.support.text_models import put_names, put_tone

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.support.routes")]
CLASSIFY, ENTITIES = "/api/v1/classify", "/api/v1/entities"
CONSTANT = {"model", "version", "arm", "split", "request_id", "preprocessing"}


@pytest.fixture(autouse=True)
def served(transactional_db, tmp_path, settings):
    ring.clear()
    settings.DEFAULT_MODELS = {"classify": "tone", "entities": "names"}
    put_tone(tmp_path)
    put_names(tmp_path)
    put_tone(tmp_path, "strict", long_texts="refuse", max_tokens=3)
    put_live("numbers", identity(tmp_path / "numbers.onnx"))
    runtime.start()
    yield
    runtime.stop()


@pytest.fixture
def post(client):
    key = a_key()[1]

    def post(url, body, **headers):
        headers = {"Authorization": f"Bearer {key}", **headers}
        return client.generic("POST", url, json.dumps(body).encode(), "application/json", headers=headers)

    return post


def test_a_text_gets_its_label(post):
    response = post(CLASSIFY, {"text": "good", "top_k": 2})

    body = response.json()
    assert response.status_code == 200
    assert body["label"] == body["labels"][0]["label"] == "positive"
    assert body["confidence"] == body["labels"][0]["score"] > 0.9
    assert (len(body["labels"]), body["tokens_given"], body["tokens_used"]) == (2, 1, 1)
    assert (body["model"], body["version"], body["arm"], body["split"]) == ("tone", 1, "a", 1)
    assert body["request_id"] == response["X-Request-ID"]
    assert len(body["preprocessing"]) == 16
    assert body.keys() == CONSTANT | {"label", "confidence", "labels", "tokens_given", "tokens_used"}


def test_several_texts_get_an_answer_each_in_their_order(post):
    body = post(CLASSIFY, {"texts": ["bad", "good " * 30, "parcel", ""]}).json()

    assert [answer["label"] for answer in body["answers"]] == ["negative", "positive", "neutral", "negative"]
    assert [answer["tokens_given"] for answer in body["answers"]] == [1, 30, 1, 0]
    assert [len(answer["labels"]) for answer in body["answers"]] == [3] * 4
    assert body.keys() == CONSTANT | {"answers"}


@pytest.mark.parametrize(
    ("unit", "start", "end"),
    [(None, 2, 5), ("utf16", 3, 6), ("byte", 5, 8)],
    ids=["code points", "utf-16", "bytes"],
)
def test_entities_have_places_in_the_unit_that_was_asked_for(post, unit, start, end):
    """As slices of a string in Python, in JavaScript, and of its UTF-8."""
    body = post(ENTITIES, {"text": "😀 ann"} | ({"offset_unit": unit} if unit else {})).json()

    (entity,) = body["entities"]
    assert (entity["label"], entity["text"], entity["start"], entity["end"]) == ("PER", "ann", start, end)
    assert body["offset_unit"] == (unit or "codepoint")
    assert body.keys() == CONSTANT | {"entities", "offset_unit", "tokens_given", "tokens_used"}


@pytest.mark.parametrize(
    ("url", "slug", "body"),
    [
        (CLASSIFY, "tone", {"text": "good"}),
        (CLASSIFY, "tone", {"texts": ["good", "bad"], "top_k": 1}),
        (ENTITIES, "names", {"text": "ann lee"}),
        (ENTITIES, "names", {"texts": ["ann lee"], "offset_unit": "byte"}),
    ],
)
def test_the_address_of_a_task_answers_as_the_models_own(post, url, slug, body):
    of_task, of_model = post(url, body).json(), post(f"/api/v1/models/{slug}/predict", body).json()

    assert of_task | {"request_id": ""} == of_model | {"request_id": ""}


def test_the_body_may_name_another_model(post):
    assert post(CLASSIFY, {"text": "good", "model": "strict"}).json()["model"] == "strict"
    assert post(CLASSIFY, {"text": "good", "model": "strict@champion"}).json()["model"] == "strict"


def test_without_a_default_one_must_be_named(post, settings):
    settings.DEFAULT_MODELS = {"classify": "tone"}

    refused = post(ENTITIES, {"text": "ann"})

    assert (refused.status_code, refused.json()["code"]) == (404, "no_default_model")
    assert "Name one in `model`" in refused.json()["detail"]
    assert "ROUNDHOUSE_DEFAULT_MODELS=entities=MODEL" in refused.json()["detail"]
    assert post(ENTITIES, {"text": "ann", "model": "names"}).status_code == 200


# Where what is sent; status, code, what the answer says, and the place that it points to.
REFUSED = [
    (CLASSIFY, {"text": "ann", "model": "names"}, 422, "wrong_task", "The task of Model names is entities", None),
    (ENTITIES, {"text": "1", "model": "numbers"}, 422, "wrong_task", "is tensor, not entities", None),
    (CLASSIFY, {"text": 5}, 422, "invalid_text", "The text is not a string", "#/text"),
    (CLASSIFY, {"texts": ["a", 5]}, 422, "invalid_text", "Text 2 is not a string", "#/texts"),
    (CLASSIFY, {"texts": []}, 422, "invalid_item", "at least one", "#/texts"),
    (CLASSIFY, {"texts": ["a"] * 257}, 422, "too_many_items", "at most 256", "#/texts"),
    (CLASSIFY, {"text": "good", "top_k": 0}, 422, "invalid_item", "`top_k`", "#/top_k"),
    (ENTITIES, {"text": "ann", "grouping": "last"}, 422, "invalid_item", "`grouping`", "#/grouping"),
    (ENTITIES, {"text": "ann", "offset_unit": "line"}, 422, "invalid_item", "`offset_unit`", "#/offset_unit"),
    (CLASSIFY, {"text": "bad " * 4, "model": "strict"}, 422, "text_too_long", "has 4 tokens", "#/text"),
    (CLASSIFY, {"texts": ["a", "bad " * 4], "model": "strict"}, 422, "text_too_long", "Text 2", "#/texts"),
    (CLASSIFY, {"text": "good", "texts": ["good"]}, 422, "not_a_prediction", "exactly one of `text`, `texts`", None),
    (CLASSIFY, {"inputs": {"text": ["good"]}}, 422, "not_a_prediction", "exactly one of `text`, `texts`", None),
    (CLASSIFY, {"text": "good", "offset_unit": "byte"}, 422, "unknown_field", "`top_k`", "#/offset_unit"),
    (CLASSIFY, {"text": "good", "version": 1}, 422, "unknown_field", "/api/v1/models/tone/versions/NUMBER", "#/version"),
    ("/api/v1/models/names/predict", {"text": "a", "top_k": 1}, 422, "invalid_item", "task is entities", "#/top_k"),
    ("/api/v1/models/numbers/predict", {"text": "a"}, 422, "invalid_item", "task is tensor", "#/text"),
    ("/api/v1/models/tone/predict", {"data": [1]}, 422, "unfit_form", "send", None),
]  # fmt: skip


@pytest.mark.parametrize("query", ["", "?dry_run=1"], ids=["run", "dry"])
def test_what_does_not_fit_is_refused_with_its_place(post, query):
    for url, body, status, code, said, pointer in REFUSED:
        refused = post(f"{url}{query}", body)

        problem = refused.json()
        assert (refused.status_code, problem["code"]) == (status, code), body
        assert said in problem["detail"]
        pointers = [error["pointer"] for error in problem.get("errors", ())]
        assert pointers == ([pointer] if pointer else []), body


def test_the_field_that_holds_the_routing_key_is_read(post):
    changes = {"key_source": "field", "key_field": "customer"}
    edit_model(model=Model.objects.get(slug="tone"), changes=changes, by=an_actor())
    runtime.started().refresh()

    assert post(CLASSIFY, {"text": "good", "customer": "anna"}).status_code == 200
    assert post(CLASSIFY, {"text": "good", "costumer": "anna"}).json()["code"] == "unknown_field"


def test_the_right_to_predict_and_the_models_of_the_key_hold(client):
    body = json.dumps({"text": "good"}).encode()

    def asked(key):
        headers = {"Authorization": f"Bearer {key}"}
        return client.generic("POST", CLASSIFY, body, "application/json", headers=headers).json()["code"]

    assert asked(a_key("registry.read")[1]) == "not_allowed"
    assert asked(a_key(models=[Model.objects.get(slug="names").pk])[1]) == "unknown_model"


def test_a_dry_run_shows_what_the_model_would_read(post):
    body = post(f"{CLASSIFY}?dry_run=1", {"text": "good bad"}).json()

    assert body["valid"] is True
    assert body["inputs"] == {
        "input_ids": {"datatype": "INT64", "shape": [1, 8]},
        "attention_mask": {"datatype": "INT64", "shape": [1, 8]},
    }
    assert (body["model"], body["runs"], "request_id" in body) == ("tone", 1, False)


def test_a_dry_run_of_texts_of_several_lengths_shows_the_first_run_and_counts_the_others(post):
    body = post(f"{CLASSIFY}?dry_run=1", {"texts": ["good", "bad", "good " * 12]}).json()

    assert body["inputs"]["input_ids"]["shape"] == [2, 8]
    assert body["runs"] == 2


def test_second_call_makes_no_query(post, django_assert_num_queries):
    post(CLASSIFY, {"text": "good"})

    with django_assert_num_queries(0):
        assert post(CLASSIFY, {"text": "bad"}).status_code == 200


def test_versions_with_the_same_files_and_settings_have_the_same_hash(post, tmp_path):
    put_tone(tmp_path, "again")
    runtime.started().refresh()

    one, again, other = (
        post(CLASSIFY, {"text": "good", "model": slug}).json()["preprocessing"]
        for slug in ("tone", "again", "strict")
    )

    assert one == again != other
