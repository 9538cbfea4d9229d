from functools import partial

import pytest
from django.utils import timezone

from registry.traffic.models import Split
from tests.support.clients import by_key, client_with
from tests.support.factories import a_key, a_live_model, a_model, a_split, seconds
from tests.support.tables import cases
from tests.support.together import at_once

V1 = "/api/v1/models"


@pytest.fixture
def api(db):
    return client_with()


@pytest.fixture
def model():
    return a_live_model(90, 10)


def arms(*shares):
    return [{"version": number, "share": share} for number, share in enumerate(shares, 1)]


def test_a_split_is_set_and_shown_with_its_buckets(api, model):
    made = api.post(f"{V1}/{model.slug}/splits", {"arms": arms(7_000, 3_000), "reason": "more"})

    assert made.status_code == 201
    current = api.get(f"{V1}/{model.slug}/splits/current").json()
    assert made.json() == api.get(made["Location"]).json() == current
    assert made.json()["arms"] == [
        {"version": 1, "share": 7_000, "buckets": [[0, 7_000]]},
        {"version": 2, "share": 3_000, "buckets": [[7_000, 10_000]]},
    ]
    assert made.json()["salt"] == model.salt


@cases(
    "body, status, code",
    no_arms=({"arms": [], "reason": "x"}, 422, "invalid"),
    no_reason=({"arms": arms(10_000)}, 422, "invalid"),
    no_such_version=({"arms": [{"version": 9, "share": 10_000}], "reason": "x"}, 422, "invalid"),
    twice=({"arms": [{"version": 1, "share": 5_000}] * 2, "reason": "x"}, 422, "invalid"),
    stale=({"arms": arms(10_000), "reason": "x", "expected_revision": 5}, 409, "stale_state"),
)
def test_what_cannot_be_a_split_is_refused(api, body, status, code, model):
    answer = api.post(f"{V1}/{model.slug}/splits", body)

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert model.splits.count() == 1


def test_a_split_set_twice_with_one_key_is_one_split(api, model):
    body = {"arms": arms(5_000, 5_000), "reason": "x", "expected_revision": 1}

    path, headers = f"{V1}/{model.slug}/splits", {"Idempotency-Key": "once"}
    numbers = [api.post(path, body, headers=headers).json()["number"] for _ in range(3)]

    assert numbers == [2, 2, 2]
    assert model.splits.count() == 2


def test_rolling_back_and_reshuffling(api, model):
    a_split(model, 10, 90)

    back = api.post(f"{V1}/{model.slug}/roll-back", {"reason": "worse"}).json()
    dealt = api.post(f"{V1}/{model.slug}/reshuffle", {"reason": "again"}).json()

    assert [arm["share"] for arm in back["arms"]] == [9_000, 1_000]
    assert (dealt["number"], dealt["arms"]) == (4, back["arms"])
    assert dealt["salt"] != back["salt"]
    assert api.post(f"{V1}/{model.slug}/roll-back", {"reason": "x", "to_split": 77}).status_code == 404
    assert api.post(f"{V1}/{a_model('bare').slug}/reshuffle", {"reason": "x"}).status_code == 204


def test_holds_are_shown(api):
    path = f"{V1}/{a_live_model(90, 10).slug}"

    assert api.post(f"{path}/stop", {"text": "down"}).json()["kind"] == "stopped"
    assert api.post(f"{path}/freeze", {"reason": "wait"}).json()["kind"] == "frozen"
    assert api.post(f"{path}/start", {"reason": "go"}).json()["code"] == "model_frozen"
    live = api.get(f"{path}/live").json()
    assert (live["stopped"], live["frozen"]) == ("down", "wait")
    assert len(api.get(f"{path}/holds").json()["results"]) == 2


def test_live_at_tells_the_past_and_refuses_what_it_cannot_tell(api, model):
    before = timezone.now()
    a_split(model, 50, 50)
    path = f"{V1}/{model.slug}/live-at"

    def at(text):
        return api.get(path, {"t": text})

    assert at(before.isoformat()).json()["split"] == 1
    assert at(before.replace(tzinfo=None).isoformat()).json()["split"] == 1
    assert at(timezone.now().isoformat()).json()["split"] == 2
    assert at(timezone.now().isoformat()).json()["aliases"] == {"champion": 1}
    assert at("2001-01-01T00:00:00Z").json()["split"] is None
    for bad in ("", "yesterday", (timezone.now() + seconds(60)).isoformat()):
        assert at(bad).status_code == 422


def test_live_lists_every_model_with_its_shares(api):
    a_live_model(90, 10, slug="a")
    a_model("b")

    rows = api.get("/api/v1/live").json()["results"]

    common = {"stopped": None, "frozen": None, "needs_approval": False}
    assert rows == [
        {"model": "a", "split": 1, "arms": arms(9_000, 1_000), **common},
        {"model": "b", "split": None, "arms": [], **common},
    ]


@pytest.mark.both
@pytest.mark.django_db(transaction=True)
def test_of_twenty_parallel_posts_one_is_201_and_nineteen_409():
    model = a_live_model(50, 50)
    clients = [by_key(text) for text in [a_key()[1]] * 20]

    def call(number: int) -> int:
        body = {"arms": arms(5_001 + number, 4_999 - number), "reason": "race", "expected_revision": 1}
        return clients[number].post(f"{V1}/{model.slug}/splits", body).status_code

    statuses = at_once(partial(call, number) for number in range(20))

    assert sorted(statuses) == [201] + [409] * 19
    assert Split.objects.filter(model=model).count() == 2
