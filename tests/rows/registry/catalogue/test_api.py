import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from registry.catalogue.models import Model
from registry.catalogue.services import move_alias
from tests.support.clients import V1, client_with
from tests.support.factories import a_live_model, a_model, a_version, an_actor

pytestmark = pytest.mark.django_db


def test_a_model_is_made_shown_edited_and_listed(api):
    made = api.post(f"{V1}/models", {"slug": "fraud", "title": "Fraud", "tags": ["b", "a"]})
    shown = api.get(made["Location"])
    edited = api.patch(
        f"{V1}/models/fraud", {"title": "New", "tags": ["c"]}, headers={"If-Match": shown["ETag"]}
    )

    assert made.status_code == 201
    assert shown.json()["tags"] == ["a", "b"]
    assert (edited.status_code, edited.json()["title"], edited.json()["tags"]) == (200, "New", ["c"])
    assert [row["slug"] for row in api.get(f"{V1}/models").json()["results"]] == ["fraud"]


def test_an_edit_of_what_somebody_else_changed_is_412(api):
    model = a_model("fraud")
    seen = api.get(f"{V1}/models/fraud")["ETag"]
    a_version(model)

    answer = api.patch(f"{V1}/models/fraud", {"title": "x"}, headers={"If-Match": seen})

    assert answer.status_code == 412
    assert Model.objects.get().title == ""
    fresh = api.get(f"{V1}/models/fraud")["ETag"]
    assert api.patch(f"{V1}/models/fraud", {"title": "x"}, headers={"If-Match": fresh}).status_code == 200


def test_a_models_limits_are_shown_and_changed_all_at_once(api):
    path = f"{V1}/models/{a_model().slug}"
    nothing = {"rate_per_minute": None, "concurrency": None, "exact": False}
    assert api.get(path).json()["limits"] == nothing

    for limits in ({"rate_per_minute": 600, "exact": True}, {"concurrency": 8}, {}, None):
        assert api.patch(path, {"limits": limits}).json()["limits"] == {**nothing, **(limits or {})}

    for wrong in ({"rate_per_minute": 0}, {"exact": True}, {"rate": 5}, 5):
        assert api.patch(path, {"limits": wrong}).status_code == 422


def test_the_same_post_with_a_key_is_carried_out_once(api):
    headers = {"Idempotency-Key": '"one"'}
    answers = [api.post(f"{V1}/models", {"slug": "fraud"}, headers=headers) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [201, 201]
    assert api.post(f"{V1}/models", {"slug": "fraud"}).status_code == 409


@pytest.mark.parametrize(
    "body", [{}, {"slug": "../x"}, {"slug": "x", "tags": "abc"}], ids=["nothing", "path", "tags"]
)
def test_what_cannot_be_a_model_is_422(api, body):
    assert api.post(f"{V1}/models", body).status_code == 422


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("task=classification", {"cats"}),
        ("tag=night", {"fraud"}),
        ("name=fr", {"fraud"}),
        ("page_size=1", {"cats"}),
    ],
)
def test_models_are_filtered(api, query, found):
    a_model("fraud", tags=["night", "day"])
    a_model("cats", task="classification")

    assert {row["slug"] for row in api.get(f"{V1}/models?{query}").json()["results"]} == found


def test_versions_and_their_files_are_shown(api):
    version = a_version()
    path = f"{V1}/models/{version.model.slug}/versions"

    listed, shown = api.get(path).json()["results"], api.get(f"{path}/1").json()

    assert listed == [shown]
    assert (shown["status"], shown["sha256"]) == ("ready", version.artifact.sha256)
    assert api.get(f"{V1}/artifacts/{version.artifact.sha256}").json()["size_bytes"] == 1234
    assert api.get(f"{path}?status=failed").json()["results"] == []
    assert api.get(f"{path}/2").status_code == 404


def test_a_version_is_archived_and_brought_back(api):
    path = f"{V1}/models/{a_version().model.slug}/versions/1"

    assert api.post(f"{path}/archive", {"reason": "old"}).json()["status"] == "archived"
    assert api.post(f"{path}/archive", {"reason": "old"}).status_code == 409
    assert api.post(f"{path}/unarchive", {"reason": "new"}).json()["status"] == "ready"
    assert api.post(f"{path}/archive", {}).status_code == 422


def test_serving_settings_are_changed_against_their_etag(api):
    path = f"{V1}/models/{a_version().model.slug}/versions/1/serving"
    seen = api.get(path)

    change = {"values": {"max_batch_rows": 8}, "reason": "x"}
    first, second = (api.patch(path, change, headers={"If-Match": seen["ETag"]}) for _ in range(2))

    assert (first.status_code, first.json()["revision"], second.status_code) == (200, 2, 412)
    assert api.get(path).json()["values"]["max_batch_rows"] == 8
    assert [row["revision"] for row in api.get(f"{path}/revisions").json()["results"]] == [2, 1]
    for bad in ({"max_batch_rows": "8"}, []):
        assert api.patch(path, {"values": bad, "reason": "x"}).status_code == 422


def test_aliases_move_and_keep_their_history(api):
    model = a_live_model(90, 10)
    path = f"{V1}/models/{model.slug}/aliases"

    made = api.put(f"{path}/next", {"version": 1, "reason": "one"}, headers={"If-None-Match": "*"})
    moved = api.put(f"{path}/next", {"version": 2, "reason": "two"}, headers={"If-Match": made["ETag"]})
    stale = api.put(f"{path}/next", {"version": 1, "reason": "three"}, headers={"If-Match": made["ETag"]})

    assert (made.json()["version"], moved.json()["version"], stale.status_code) == (1, 2, 412)
    assert [row["reason"] for row in api.get(f"{path}/next/moves").json()["results"]] == ["two", "one"]
    assert {row["name"] for row in api.get(path).json()["results"]} == {"champion", "next"}
    assert api.put(f"{path}/champion", {"version": 2, "reason": "x"}).status_code == 422
    assert api.put(f"{path}/next", {"version": 99, "reason": "x"}).status_code == 404
    assert api.post(f"{path}/next/retire", {"reason": "x"}).json()["version"] is None


@pytest.mark.parametrize(("path", "found"), [("models", 1), ("artifacts", 2), ("live", 1)])
def test_a_key_for_some_models_lists_what_belongs_to_these(path, found):
    mine, _hidden = a_live_model(90, 10), a_live_model(90, 10)

    assert len(client_with(models=[mine.pk]).get(f"{V1}/{path}").json()["results"]) == found


def test_where_a_version_came_from_is_told_only_to_who_sees_that():
    mine, parent = a_model("mine"), a_version(a_model("hidden"))
    a_version(mine, derived_from=parent)

    path = f"{V1}/models/mine/versions/1"

    assert client_with().get(path).json()["derived_from"] == "hidden/1"
    assert client_with(models=[mine.pk]).get(path).json()["derived_from"] is None


def test_a_list_asks_the_same_however_long_it_is(api):
    models = [a_live_model(90, 10) for _ in range(8)]
    for version in models[0].versions.all():
        move_alias(model=models[0], name=f"a-{version.number}", version=version, reason="x", by=an_actor())
    own = [f"models/{models[0].slug}/{name}" for name in ("versions", "aliases", "splits")]
    api.get(f"{V1}/models")

    asked = {}
    for path in ("models", "artifacts", "live", *own):
        with CaptureQueriesContext(connection) as queries:
            assert api.get(f"{V1}/{path}").status_code == 200
        asked[path] = len(queries)

    assert {path: count for path, count in asked.items() if count > 10} == {}
