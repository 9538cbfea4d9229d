"""Decisions over REST: answered, stored, looked up."""

import json

import pytest
from django.apps import apps
from django.db import connection
from django.utils import timezone

from moderation.deciding.fixed_texts import FIXED_TEXTS
from moderation.deciding.models import Decision
from moderation.policies.models import Policy, RuleDay
from registry.access.limits import CallerLimits
from tests.support.clients import by_key
from tests.support.detectors import SEED_POLICY, a_policy
from tests.support.factories import a_key, a_tenant
from tests.support.picture_models import a_picture, in_base64

pytestmark = pytest.mark.both
DECISIONS = "/api/v1/decisions"


@pytest.fixture
def reader(tenant):
    return by_key(a_key("moderate", tenant=tenant)[1])


def _write(deciding):
    """What is written in the background is written now."""
    while deciding.writer.write():
        pass
    deciding.writer.write_counts()


def test_a_decision_says_all_about_itself(moderate, deciding, reader):
    body = {"text": "vile ann", "title": "fine", "content_id": "c-1", "author_id": 7, "context": "comments"}

    answer = moderate(body)

    assert answer["decision"] == "block"
    assert answer["policy"] == "default"
    assert answer["policy_revision"] == 1
    toxic, person = answer["evidence"]
    assert (toxic["rule"], toxic["label"], toxic["score"], toxic["cut_off"], toxic["version"]) == (
        "toxic", "toxic", 0.99, 0.7, 1,
    )  # fmt: skip
    assert (person["start"], person["end"], person["text"], person["effect"]) == (5, 8, "ann", "note")
    assert answer["categories"]["toxic_language"] == {"effect": "block", "score": 0.99}
    assert answer["detectors"]["toxicity"]["version"] == 1
    assert answer["detectors"]["toxicity"]["preprocessing"]
    assert answer["author_id"] == "7"
    stored = reader.get(f"{DECISIONS}/{answer['request_id']}").json()
    assert {name: stored[name] for name in answer} == answer
    assert stored["superseded"] is False


def test_boxes_and_pictures_are_evidence(moderate):
    picture = a_picture((0, 0, 0), red=(16, 16, 32, 32))

    (found,) = moderate({"images": [in_base64(a_picture((0, 0, 0))), in_base64(picture)]})["evidence"]

    assert (found["code"], found["part"], found["label"]) == ("detected_weapon", "image 2", "weapon")
    assert found["box"] == {"x1": 16, "y1": 16, "x2": 32, "y2": 32}


def test_allowed_contents_are_stored_soon(moderate, deciding, reader):
    answer = moderate({"text": "fine", "content_id": "c-2"})
    _write(deciding)

    (found,) = reader.get(f"{DECISIONS}?content_id=c-2").json()["results"]

    assert {name: found[name] for name in answer} == answer


def test_a_list_is_decided_one_by_one(moderate):
    contents = [{"text": "fine"}, {"text": "vile"}, {"text": "nan"}, {"title": "above"}]

    decided = moderate(contents)["decisions"]

    assert [one["decision"] for one in decided] == ["allow", "block", "review", "block"]
    assert [one["source"] for one in decided[2]["problems"]] == ["toxicity"]
    assert moderate({"contents": contents[:2]})["decisions"][1]["decision"] == "block"


def test_a_newer_text_supersedes(moderate, deciding, reader):
    first = moderate({"text": "vile", "content_id": "c-3"})
    second = moderate({"text": "above", "content_id": "c-3"})
    moderate({"text": "above", "content_id": "c-4"})

    found = reader.get(f"{DECISIONS}?content_id=c-3").json()["results"]

    assert [(one["request_id"], one["superseded"]) for one in found] == [
        (second["request_id"], False),
        (first["request_id"], True),
    ]


def test_a_tenant_sees_its_own_decisions(moderate, reader):
    answer = moderate({"text": "vile", "content_id": "c-5"})
    stranger = by_key(a_key("moderate", tenant=a_tenant("other"))[1])

    assert stranger.get(f"{DECISIONS}/{answer['request_id']}").status_code == 404
    assert stranger.get(f"{DECISIONS}?content_id=c-5").json()["results"] == []
    assert reader.get(f"{DECISIONS}/no-such-id").json()["code"] == "unknown_decision"


def test_the_narrowest_policy_decides(moderate, deciding, tenant):
    lenient = {"rules": [{**SEED_POLICY["rules"][0], "block": 0.9}]}
    a_policy(lenient, name="comments", context="comments")
    deciding.refresh()
    assert moderate({"text": "above", "context": "comments"})["policy"] == "comments"
    a_policy(lenient, name="shop", tenant=tenant)
    deciding.refresh()

    assert moderate({"text": "above", "context": "comments"})["policy"] == "shop"
    assert moderate({"text": "above", "context": "reviews"})["decision"] == "allow"


def test_without_a_policy_nothing_is_decided(moderate, deciding):
    Policy.objects.update(retired_at=timezone.now())
    deciding.refresh()

    assert moderate({"text": "fine"}, status=404)["code"] == "no_policy"


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"text": 5}, "#/text"),
        ({}, None),
        ({"text": ""}, None),
        ({"texd": "x"}, "#/texd"),
        ({"text": "x", "language": "klingon!"}, "#/language"),
        ({"image": "???"}, "#/image"),
        ([{"text": "x"}, {"image": 5}], "#/1/image"),
        ({"contents": [{"text": "x"}, {"title": 5}]}, "#/contents/1/title"),
        ({"contents": []}, "#/contents"),
        ([], None),
        ({"text": "x" * 100_001}, "#/text"),
        ([{"text": "x"}] * 65, None),
        ({"text": "x", "do_not_store": "yes"}, "#/do_not_store"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(moderate, body, pointer):
    problem = moderate(body, status=422)

    assert problem["code"] == "invalid_content"
    assert problem.get("errors", [{}])[0].get("pointer") == pointer


def test_a_key_needs_the_scope(client, deciding):
    key = a_key("predict")[1]
    response = client.post(
        "/api/v1/moderate", {"text": "x"}, "application/json", headers={"Authorization": f"Bearer {key}"}
    )

    assert response.status_code == 403


def test_each_detector_counts_against_the_keys_limits(moderate, tenant):
    key = a_key("moderate", tenant=tenant, limits=CallerLimits(rate_per_minute=3))[1]

    assert moderate({"text": "fine"}, key=key)["decision"] == "allow"  # asks two detectors
    problem = moderate({"text": "fine"}, key=key, status=429)
    assert problem["code"] == "too_many_requests"


class TestKeysForTests:
    @pytest.fixture
    def key(self, tenant):
        return a_key("moderate.test", tenant=tenant)[1]

    def test_fixed_texts_have_fixed_answers(self, moderate, deciding, key):
        answers = {text: moderate({"text": text, "content_id": "t"}, key=key) for text in FIXED_TEXTS}
        _write(deciding)

        assert {text: answer["decision"] for text, answer in answers.items()} == FIXED_TEXTS
        assert all(answer["detectors"] == {} for answer in answers.values())
        assert not Decision.objects.exists()
        assert not RuleDay.objects.exists()

    def test_other_contents_are_decided_and_forgotten(self, moderate, deciding, key):
        answer = moderate({"text": "vile"}, key=key)
        _write(deciding)

        assert (answer["decision"], answer["stored"]) == ("block", False)
        assert not Decision.objects.exists()
        assert not RuleDay.objects.exists()

    def test_fixed_texts_are_texts_like_others_for_other_keys(self, moderate):
        assert moderate({"text": "roundhouse-test: block"})["decision"] == "allow"


def test_do_not_store_leaves_no_byte(moderate, deciding, reader, settings):
    picture = a_picture((13, 77, 201), size=(61, 67))  # no other test has it
    marks = [f"w{number}mark" for number in range(6)]
    text, title, content_id, author_id, thread, url = marks
    body = {
        "text": f"vile ann {text}", "title": title, "content_id": content_id, "author_id": author_id,
        "thread": thread, "url": url, "image": in_base64(picture), "do_not_store": True,
    }  # fmt: skip

    answer = moderate(body)
    _write(deciding)

    assert (answer["decision"], answer["stored"]) == ("block", False)
    assert reader.get(f"{DECISIONS}/{answer['request_id']}").status_code == 404
    kept = _everything(settings.DATA_DIR)
    assert not [mark for mark in marks if mark.encode() in kept]
    assert picture not in kept
    # the same content without the wish is found in this way
    moderate({**body, "do_not_store": False})
    assert [mark for mark in marks if mark.encode() in _everything(settings.DATA_DIR)] == marks


def _everything(folder):
    """All bytes of moderation's tables, of the audit chain and events, and of the files."""
    parts = []
    with connection.cursor() as cursor:
        for model in [
            *apps.get_app_config("moderation").get_models(),
            *apps.get_app_config("registry").get_models(),
        ]:
            cursor.execute(f'SELECT * FROM "{model._meta.db_table}"')
            for row in cursor.fetchall():
                parts += [
                    bytes(value) if isinstance(value, memoryview | bytes) else str(value).encode()
                    for value in row
                ]
    parts += [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    return b"\0".join(parts)


def test_what_each_rule_does_is_counted_by_day(moderate, deciding):
    for text in ("vile ann", "above", "fine", "ann"):
        moderate({"text": text})
    _write(deciding)
    moderate({"text": "above"})
    _write(deciding)

    counts = {day.rule: (day.noted, day.reviewed, day.blocked, day.decisive) for day in RuleDay.objects.all()}

    assert counts == {"toxic": (0, 0, 3, 3), "personal": (2, 0, 0, 0)}


def test_a_form_can_wish_that_nothing_is_stored(client, moderate, deciding, tenant):
    key = a_key("moderate", tenant=tenant)[1]
    form = {"text": "vile", "do_not_store": "true"}

    response = client.post("/api/v1/moderate", form, headers={"Authorization": f"Bearer {key}"})

    assert (response.status_code, response.json()["stored"]) == (200, False)
    assert not Decision.objects.exists()


def test_characters_that_no_database_stores_are_replaced(moderate, deciding, reader):
    answer = moderate({"text": "vile \0 \ud800".encode("utf-8", "replace").decode(), "content_id": "a\0b"})
    _write(deciding)

    assert reader.get(f"{DECISIONS}/{answer['request_id']}").status_code == 200


def test_long_texts_are_read_to_their_end(moderate):
    text = "fine " * 200 + "vile"

    answer = moderate({"text": text})

    assert answer["decision"] == "block"
    assert answer["text_score"] == 0.99


def test_a_picture_may_be_the_body(client, moderate, tenant):
    key = a_key("moderate", tenant=tenant)[1]
    response = client.generic(
        "POST",
        "/api/v1/moderate",
        a_picture((255, 255, 255)),
        "image/png",
        headers={"Authorization": f"Bearer {key}"},
    )

    assert json.loads(response.content)["violations"] == ["nsfw_content"]
