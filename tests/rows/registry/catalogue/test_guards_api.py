import pytest

from registry.access.policies import Role
from registry.catalogue.models import AliasGuard
from registry.record.models import AuditRecord
from tests.support.clients import V1, by_key, client_with, signed_in
from tests.support.factories import a_key, a_model, a_person, a_version

pytestmark = pytest.mark.django_db
ALIASES = f"{V1}/models/fraud/aliases"
ALIAS = f"{ALIASES}/next"
GUARD = f"{ALIAS}/guard"
WHY = {"reason": "why"}


@pytest.fixture
def version():
    return a_version(a_model("fraud"))


@pytest.fixture
def admin():
    return signed_in(a_person(Role.ADMIN, username="chief"))


@pytest.fixture
def ann():
    return a_person(Role.OPERATOR, username="ann")


def move(client, alias=ALIAS):
    return client.put(alias, {"version": 1, **WHY}, format="json")


def test_a_guard_is_set_shown_and_taken_away(version, admin, ann):
    named, text = a_key()
    reader = by_key(text)
    assert reader.get(GUARD).status_code == 404

    answer = admin.put(GUARD, {"people": ["ann"], "keys": [named.pk], **WHY}, format="json")

    told = {"people": ["ann"], "keys": [{"id": named.pk, "name": named.name}]}
    assert answer.status_code == 200
    made_at = answer.json()["made_at"]
    assert reader.get(GUARD).json() == {
        "model": "fraud", "name": "next", **told, "revision": 1, "made_by": "chief", "made_at": made_at, **WHY,
    }  # fmt: skip
    assert move(reader).json()["guard"] == told
    assert [row["guard"] for row in reader.get(f"{ALIASES}").json()["results"]] == [told]
    assert admin.delete(f"{GUARD}?reason=over").status_code == 204
    assert reader.get(GUARD).status_code == 404
    assert reader.get(ALIAS).json()["guard"] is None
    assert AuditRecord.objects.order_by("-seq").first().reason == "over"


def test_of_two_who_saw_the_same_guard_the_second_gets_412(version, admin, ann):
    body = {"people": ["ann"], **WHY}
    seen = admin.put(GUARD, body, format="json", headers={"If-Match": '""'})["ETag"]
    assert admin.put(GUARD, body, format="json", headers={"If-Match": '""'}).status_code == 412
    admin.put(GUARD, body, format="json")

    assert admin.put(GUARD, body, format="json", headers={"If-Match": seen}).status_code == 412
    assert admin.delete(f"{GUARD}?reason=x", headers={"If-Match": seen}).status_code == 412
    assert AliasGuard.objects.get().revision == 2


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "reason"),
        ({"people": ["ghost"]}, "ghost"),
        ({"keys": [77]}, "77"),
        ({"keys": ["x"]}, "keys"),
        ({"people": ["ann"] * 51}, "50"),
    ],
    ids=["no reason", "nobody of the name", "no such key", "not a number", "too many"],
)
def test_what_is_wrong_with_a_guard_is_said(version, admin, ann, body, said):
    answer = admin.put(GUARD, {**(WHY if body else {}), **body}, format="json")

    assert answer.status_code == 422
    assert said in answer.content.decode()
    assert not AliasGuard.objects.exists()


def test_taking_a_guard_away_takes_a_reason(version, admin, ann):
    admin.put(GUARD, {"people": ["ann"], **WHY}, format="json")

    assert admin.delete(GUARD).status_code == 422
    assert AliasGuard.objects.get().name == "next"


def test_guards_of_models_out_of_reach_are_not_there(version, admin, ann):
    mine = a_model("mine")
    admin.put(GUARD, {"people": ["ann"], **WHY}, format="json")
    person = signed_in(a_person(Role.OPERATOR, models=[mine.pk]))
    key = client_with(models=[mine.pk])

    for client in (person, key):
        assert client.get(GUARD).status_code == 404
        assert "ann" not in move(client).content.decode()
    assert signed_in(a_person(Role.VIEWER)).get(GUARD).status_code == 200


def test_lists_of_guarded_aliases_ask_the_same_however_long_they_are(
    version, admin, ann, django_assert_max_num_queries
):
    for number in range(8):
        admin.put(f"{ALIASES}/a{number}/guard", {"people": ["ann"], **WHY}, format="json")
        move(signed_in(ann), f"{ALIASES}/a{number}")
    admin.get(f"{ALIASES}")

    with django_assert_max_num_queries(12):
        assert len(admin.get(f"{ALIASES}").json()["results"]) == 8
