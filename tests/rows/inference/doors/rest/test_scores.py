"""Recommendations, rankings and rows of tables over REST: at a Model's address, and at those of the tasks."""

import json
from functools import partial

import numpy as np
import pytest

from inference.doors import memory as memory_module
from inference.pipelines.ranking import Ranking
from inference.pipelines.recommendation import Recommendation
from inference.serving import pipelines as serving_pipelines
from inference.serving import runtime
from registry.access.keys import ring
from tests.support.factories import a_key
from tests.support.live_models import put_live
from tests.support.onnx_models import identity
from tests.support.user_models import FOODS, MISSING, put_bills, put_foods, put_offers, put_people

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.support.routes")]
RECOMMEND, RANK = "/api/v1/recommend", "/api/v1/rank"
CONSTANT = {"model", "version", "arm", "split", "request_id", "preprocessing"}
OFFERS = [{"topic": "art", "price": 3}, {"topic": "sport", "price": 5}, {"topic": "art", "price": 1}]

ANN, ART = {"user": "ann"}, {"user": {"likes": "art"}}


def address(slug):
    return f"/api/v1/models/{slug}/predict"


@pytest.fixture(autouse=True)
def served(transactional_db, tmp_path, settings):
    ring.clear()
    settings.DEFAULT_MODELS = {"recommend": "foods", "rank": "offers"}
    put_foods(tmp_path)
    put_foods(tmp_path, "friendly", fallback_user="ben", top_k=1)
    put_foods(tmp_path, "broken", scores=[[np.nan] * 5, [0, 0, 0, 0, 9], [0] * 5])
    put_offers(tmp_path)
    put_people(tmp_path, **MISSING)
    put_people(tmp_path, "complete")
    put_bills(tmp_path)
    put_live("numbers", identity(tmp_path / "numbers.onnx"))
    runtime.start()
    yield
    runtime.stop()


@pytest.fixture
def post(client):
    key = a_key()[1]

    def post(url, body):
        headers = {"Authorization": f"Bearer {key}"}
        return client.generic("POST", url, json.dumps(body).encode(), "application/json", headers=headers)

    return post


def test_a_user_gets_the_best_items(post):
    response = post(RECOMMEND, {"user": "ann", "top_k": 3, "exclude": ["jam"]})

    body = response.json()
    assert response.status_code == 200
    assert (body["items"], body["scores"], body["fallback"]) == (["egg", "ham", "fig"], [3, 3, 2], False)
    assert (body["model"], body["version"], body["arm"], body["split"]) == ("foods", 1, "a", 1)
    assert body.keys() == CONSTANT | {"items", "scores", "fallback"}


def test_several_users_get_an_answer_each_in_their_order(post):
    body = post(RECOMMEND, {"users": [5, "ben", "5"], "exclude": [["tea"], [], ["jam"]], "top_k": 2}).json()

    assert [answer["items"] for answer in body["answers"]] == [["jam", "egg"], ["fig", "egg"], ["tea", "egg"]]
    assert body.keys() == CONSTANT | {"answers"}


def test_an_unknown_user_is_an_error_unless_the_version_has_a_fallback(post):
    refused = post(RECOMMEND, {"user": "zoe"})
    answers = post(RECOMMEND, {"users": ["zoe", "ann"], "model": "friendly"}).json()["answers"]

    assert (refused.status_code, refused.json()["code"]) == (404, "unknown_user")
    assert refused.json()["errors"][0]["pointer"] == "#/user"
    assert [(answer["items"], answer["fallback"]) for answer in answers] == [
        (["fig"], True),
        (["jam"], False),
    ]


def test_candidates_are_ranked_for_a_user(post):
    body = post(RANK, {"user": {"likes": "art"}, "candidates": OFFERS}).json()

    assert body["indices"] == [2, 0, 1]
    assert body["scores"] == pytest.approx([1 / (1 + np.exp(-logit)) for logit in (3, 1, -5)])
    assert body.keys() == CONSTANT | {"indices", "scores"}


def test_each_of_several_users_has_candidates_of_its_own(post):
    body = {"users": [{"likes": "sport"}, {"likes": "art"}], "candidates": [OFFERS, OFFERS[:1]], "top_k": 1}

    assert [answer["indices"] for answer in post(RANK, body).json()["answers"]] == [[1], [0]]


def test_the_candidates_of_each_user_are_one_run(post):
    """One run after another: together they would not have room in the version's queue."""
    prices = [at * 7 % 1_021 / 1_000 for at in range(1_024)]
    candidates = [{"topic": "", "price": price} for price in prices]
    body = {"users": [ART["user"]] * 9, "candidates": [candidates] * 9}

    answers, checked = post(RANK, body).json()["answers"], post(f"{RANK}?dry_run=1", body).json()

    best_first = sorted(range(1_024), key=prices.__getitem__)
    assert [answer["indices"] for answer in answers] == [best_first] * 9
    assert checked["runs"] == 9


def test_a_user_has_at_most_as_many_candidates_as_share_a_run(post):
    candidates = [{"topic": "", "price": 1}] * 1_025

    refused = post(RANK, {**ART, "candidates": candidates})

    assert (refused.status_code, refused.json()["code"]) == (422, "too_large")


@pytest.mark.parametrize(
    ("slug", "row", "yes"),
    [
        ("people", {"age": 25, "city": "Lugano"}, 0.375),
        ("people", {"age": None, "city": "Lugano"}, 0.875),
        ("people", {"age": 25, "city": None}, 0.25),
        ("people", {}, 0.75),
        ("people", [None, "Lugano"], 0.875),
        ("complete", {"age": 25, "city": "Bern"}, 0.25),
    ],
    ids=["all", "no number", "no text", "nothing", "a list", "no defaults"],
)
def test_a_row_gets_its_labels(post, slug, row, yes):
    body = post(address(slug), {"row": row}).json()

    scores = {one["label"]: one["score"] for one in body["labels"]}
    assert scores == {"yes": pytest.approx(yes), "no": pytest.approx(1 - yes)}
    assert (body["label"], body["confidence"]) == ("yes" if yes > 0.5 else "no", max(scores.values()))
    assert body.keys() == CONSTANT | {"label", "confidence", "labels"}


def test_rows_get_their_numbers(post):
    body = post(address("bills"), {"rows": [{"food": 10, "drinks": 4}, [1, 2, 3]]}).json()

    assert body["answers"] == [{"value": 14.5}, {"value": 6}]
    assert body.keys() == CONSTANT | {"answers"}


@pytest.mark.parametrize(
    ("slug", "body", "answer"),
    [
        (
            "foods",
            {"inputs": {"user": ["ben"]}},
            {"items": ['["fig","egg","ham","jam","tea"]'], "scores": ["[9.0,0.0,0.0,0.0,0.0]"], "fallback": [False]},
        ),
        (
            "friendly",
            {"instances": [{"user": 5, "exclude": ["tea"]}, {"user": "zoe", "exclude": []}]},
            [
                {"items": '["jam"]', "scores": "[4.0]", "fallback": False},
                {"items": '["fig"]', "scores": "[9.0]", "fallback": True},
            ],
        ),
        (
            "offers",
            {"instances": [{"user": {"likes": ""}, "candidates": [{"topic": "art", "price": 0}]}]},
            [{"indices": "[0]", "scores": "[0.5]"}],
        ),
        ("bills", {"inputs": {"food": [1, 2], "drinks": [1, 1]}}, {"value": [2.5, 3.5]}),
        ("bills", {"inputs": {"food": [1, 2], "drinks": [1, 1], "tip": [None, 4]}}, {"value": [2.5, 7]}),
        ("people", {"inputs": {"city": ["Lugano", None], "age": [25, None]}}, ["no", "yes"]),
    ],
    ids=["users", "users as rows", "candidates", "columns", "a missing value", "a missing text"],
)  # fmt: skip
def test_items_may_be_sent_as_tensors_and_rows(post, slug, body, answer):
    got = post(address(slug), body).json()

    found = got["outputs"] if "inputs" in body else got["predictions"]
    assert (found["label"] if slug == "people" else found) == answer


@pytest.mark.parametrize(
    ("url", "slug", "body"),
    [
        (RECOMMEND, "foods", {"user": "ann"}),
        (RECOMMEND, "foods", {"users": ["ann", 5], "exclude": ["egg"], "top_k": 1}),
        (RANK, "offers", {"user": {"likes": "art"}, "candidates": OFFERS, "top_k": 2}),
        (RANK, "offers", {"users": [["art"]], "candidates": [[["art", 3]]]}),
    ],
)
def test_the_address_of_a_task_answers_as_the_models_own(post, url, slug, body):
    of_task, of_model = post(url, body), post(address(slug), body)

    assert of_task.status_code == 200
    assert of_task.json() | {"request_id": ""} == of_model.json() | {"request_id": ""}


# Where what is sent; status, code, what the answer says, and the place that it points to.
REFUSED = [
    (RECOMMEND, {"users": ["ann", "zoe"]}, 404, "unknown_user", "no user 'zoe'", "#/users/1"),
    (RECOMMEND, {"user": True}, 422, "invalid_item", "must be an id", "#/user"),
    (RECOMMEND, {"users": ["ann", {}]}, 422, "invalid_item", "must be an id", "#/users/1"),
    (RECOMMEND, {"users": []}, 422, "invalid_item", "at least one", "#/users"),
    (RECOMMEND, {"users": ["ann"] * 257}, 422, "too_many_items", "at most 256", "#/users"),
    (RECOMMEND, {**ANN, "top_k": 0}, 422, "invalid_item", "`top_k`", "#/top_k"),
    (RECOMMEND, {**ANN, "exclude": "jam"}, 422, "invalid_item", "list of ids", "#/exclude"),
    (RECOMMEND, {"users": ["ann"], "exclude": [[], []]}, 422, "invalid_item", "each of the 1 users; it has 2", "#/exclude"),
    (RECOMMEND, {**ANN, "candidates": []}, 422, "unknown_field", "`top_k`", "#/candidates"),
    (RECOMMEND, {**ANN, "model": "offers"}, 422, "wrong_task", "is ranking, not recommendation", None),
    (RECOMMEND, {**ANN, "model": "numbers"}, 422, "wrong_task", "is tensor, not recommendation", None),
    (RECOMMEND, {"text": "ann"}, 422, "not_a_prediction", "exactly one of `user` and `users`", None),
    (RANK, {**ART, "candidates": []}, 422, "invalid_item", "at least one", "#/candidates"),
    (RANK, ART, 422, "invalid_item", "at least one", "#/user"),
    (RANK, {**ART, "candidates": [*OFFERS, {"topic": "art"}]}, 422, "invalid_item", "no 'price'", "#/candidates/3"),
    (RANK, {**ART, "candidates": [{"topic": 5, "price": 1}]}, 422, "invalid_item", "'topic'", "#/candidates/0"),
    (RANK, {**ART, "candidates": [{"likes": "art"}]}, 422, "invalid_item", "'likes', which the user has, too", "#/candidates/0"),
    (RANK, {**ART, "candidates": OFFERS, "exclude": []}, 422, "unknown_field", "`candidates`", "#/exclude"),
    (RANK, {**ART, "candidates": OFFERS, "model": "foods"}, 422, "wrong_task", "is recommendation, not ranking", None),
    (address("people"), {"row": {"age": 5, "town": ""}}, 422, "invalid_item", "'town', which is no column", "#/row"),
    (address("people"), {"rows": [{}, {"age": "old"}]}, 422, "invalid_item", "'old' in the column 'age'", "#/rows/1"),
    (address("people"), {"row": {}, "user": "a"}, 422, "not_a_prediction", "`row` and `user`", None),
    (address("complete"), {"row": {"age": None, "city": ""}}, 422, "invalid_item", "no default", "#/row"),
    (address("complete"), {"inputs": {"age": [None], "city": [""]}}, 422, "wrong_dtype", "null", "#/inputs/age"),
    (address("bills"), {"row": {"food": 1}, "top_k": 1}, 422, "invalid_item", "tabular-regression", "#/top_k"),
    (address("foods"), {"row": {}}, 422, "invalid_item", "task is recommendation", "#/row"),
]  # fmt: skip


@pytest.mark.parametrize("query", ["", "?dry_run=1"], ids=["run", "dry"])
def test_what_does_not_fit_is_refused_with_its_place(post, query):
    for url, body, status, code, said, pointer in REFUSED:
        refused = post(f"{url}{query}", body)

        problem = refused.json()
        assert (refused.status_code, problem["code"]) == (status, code), (body, problem)
        assert said in problem["detail"]
        pointers = [error["pointer"] for error in problem.get("errors", ())]
        assert pointers == ([pointer] if pointer else []), body


def test_without_a_default_one_must_be_named(post, settings):
    settings.DEFAULT_MODELS = {"recommend": "foods"}

    refused = post(RANK, {**ART, "candidates": OFFERS})

    assert (refused.status_code, refused.json()["code"]) == (404, "no_default_model")
    assert "ROUNDHOUSE_DEFAULT_MODELS=rank=MODEL" in refused.json()["detail"]


def test_scores_that_are_not_numbers_are_an_error(post):
    """Negative control: another user of this version is answered."""
    refused = post(RECOMMEND, {**ANN, "model": "broken"})

    assert (refused.status_code, refused.json()["code"]) == (422, "unusable_output")
    assert post(RECOMMEND, {"user": "ben", "model": "broken"}).json()["items"][0] == "fig"


@pytest.mark.parametrize(
    ("url", "body", "inputs"),
    [
        (RECOMMEND, {"users": ["ann", "ben"]}, {"user": ("INT64", [2])}),
        (
            RANK, {**ART, "candidates": OFFERS},
            {"likes": ("BYTES", [3, 1]), "topic": ("BYTES", [3, 1]), "price": ("FP32", [3, 1])},
        ),
        (address("people"), {"row": {}}, {"age": ("FP32", [1, 1]), "city": ("BYTES", [1, 1])}),
    ],
    ids=["recommend", "rank", "row"],
)  # fmt: skip
def test_a_dry_run_shows_what_the_model_would_read(post, url, body, inputs):
    checked = post(f"{url}?dry_run=1", body).json()

    assert {name: (one["datatype"], one["shape"]) for name, one in checked["inputs"].items()} == inputs
    assert (checked["valid"], checked["runs"]) == (True, 1)


def test_schema_has_requests_that_are_answered(post, client):
    headers = {"Authorization": f"Bearer {a_key()[1]}"}
    for slug in ("foods", "offers", "people", "complete", "bills"):
        examples = client.get(f"/api/v1/models/{slug}/schema", headers=headers).json()["examples"]

        assert len(examples) >= 4
        for name, body in examples.items():
            answer = post(address(slug), body)
            assert answer.status_code == 200, (slug, name, body, answer.content)


@pytest.mark.parametrize(
    ("kind", "url", "body", "least"),
    [
        (Recommendation, RECOMMEND, {"users": ["ann"] * 200}, 201 * 4 * len(FOODS)),
        (Ranking, RANK, {"users": [["art"]] * 5, "candidates": [[["art", 3]] * 1_000] * 5}, 5_000 * 3 * 8),
    ],
    ids=["scores", "rows"],
)
def test_memory_is_held_before_it_is_used(post, monkeypatch, kind, url, body, least):
    """Negative control: a request that takes a little less than there is, is answered."""
    held, encoded = [], []
    encode, hold = kind.encode, serving_pipelines.answer_items

    async def noted(*arguments, **options):
        def note(nbytes):
            held.append(nbytes)
            told(nbytes)

        told = options["hold"]
        return await hold(*arguments, **{**options, "hold": note})

    monkeypatch.setattr(serving_pipelines, "answer_items", noted)
    monkeypatch.setattr(kind, "encode", lambda self, given: encoded.append(sum(held)) or encode(self, given))
    assert post(url, body).status_code == 200
    assert encoded[0] >= least

    monkeypatch.setattr(memory_module.RequestMemory, "most_of_one", encoded[0] - 1)
    monkeypatch.setattr(kind, "encode", partial(pytest.fail, "it was read"))
    refused = post(url, body)
    assert (refused.status_code, refused.json()["code"]) == (413, "body_too_large")
