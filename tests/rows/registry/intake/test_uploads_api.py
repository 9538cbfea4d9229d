"""Uploads over HTTP: headers, offsets, rights, hostile names."""

import hashlib
import logging

import pytest
from rest_framework.test import APIClient

from registry.access.policies import Role
from registry.catalogue.models import Model
from registry.intake.models import Upload
from registry.intake.services import MAX_PART_BYTES
from tests.support.clients import V1, client_with
from tests.support.factories import a_person
from tests.support.model_files import looks_like_a_model

pytestmark = pytest.mark.django_db
CONTENT = looks_like_a_model(b"not much of a model" * 1000)
RAW = "application/octet-stream"


def begin(api, content=CONTENT, **more):
    answer = api.post(f"{V1}/uploads", {"size_bytes": len(content), **more})
    assert answer.status_code == 201, answer.content
    return answer


def put(api, path, content, offset=0, **more):
    return api.put(f"{path}?offset={offset}", content, content_type=RAW, **more)


def test_the_whole_way(api):
    begun = begin(api, file_name="mine.onnx", sha256=hashlib.sha256(CONTENT).hexdigest())
    path = begun["Location"]

    first = put(api, path, CONTENT[:7000])
    asked = api.get(path)
    second = put(api, path, CONTENT[7000:], 7000)
    new = {"title": "Fresh", "task": "classification"}
    body = {"model": "fresh", "new_model": new, "task_config": {"labels": ["a", "b"], "scores": "logits"}}
    done, again = (api.post(f"{path}/complete", body) for _ in range(2))

    assert path == f"{V1}/uploads/{begun.json()['id']}"
    assert (first.status_code, first.json()["offset"], asked.json()["offset"]) == (200, 7000, 7000)
    assert second.json()["sha256"] == hashlib.sha256(CONTENT).hexdigest()
    assert (done.status_code, done["Location"]) == (201, f"{V1}/models/fresh/versions/1")
    assert (done.json()["model"], done.json()["number"], done.json()["status"]) == ("fresh", 1, "uploaded")
    assert again.json()["number"] == 1
    assert Model.objects.values_list("slug", "title", "task").get() == ("fresh", "Fresh", "classification")
    shown = api.get(path).json()
    assert (shown["status"], shown["model"], shown["version"]) == ("complete", "fresh", 1)


def test_a_wrong_offset_is_answered_with_the_right_one(api):
    path = begin(api)["Location"]
    put(api, path, CONTENT[:100])

    wrong = put(api, path, CONTENT[:500], 50)

    assert (wrong.status_code, wrong.json()["code"], wrong.json()["offset"]) == (409, "wrong_offset", 100)


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"CONTENT_LENGTH": ""}, 411, "length_required"),
        ({"CONTENT_LENGTH": str(MAX_PART_BYTES + 1)}, 413, "part_too_large"),
    ],
    ids=["chunked", "too long"],
)
def test_a_part_says_how_long_it_is(api, headers, status, code):
    answer = put(api, begin(api)["Location"], CONTENT, **headers)

    assert (answer.status_code, answer.json()["code"]) == (status, code)


@pytest.mark.parametrize("query", ["", "?offset=", "?offset=-1", "?offset=x"])
def test_a_part_says_where_it_begins(api, query):
    path = begin(api)["Location"]

    assert api.put(path + query, CONTENT, content_type=RAW).status_code == 422


def test_beginning_again_with_the_same_key_begins_nothing_new(api):
    first, again = (
        api.post(f"{V1}/uploads", {"size_bytes": 5}, headers={"Idempotency-Key": "one"}) for _ in range(2)
    )

    assert first.json()["id"] == again.json()["id"]
    assert again["Idempotency-Replayed"] == "true"


def test_given_up_it_is_gone_from_the_list(api):
    path = begin(api)["Location"]
    put(api, path, CONTENT[:100])
    assert [row["offset"] for row in api.get(f"{V1}/uploads").json()["results"]] == [100]

    assert [api.delete(path).status_code for _ in range(2)] == [204, 204]

    assert api.get(f"{V1}/uploads").json()["results"] == []
    assert put(api, path, CONTENT[100:], 100).json()["code"] == "upload_ended"


def test_each_sees_their_own_only(api):
    path = begin(api)["Location"]
    other = client_with("registry.write")

    assert other.get(f"{V1}/uploads").json()["results"] == []
    for answer in (other.get(path), put(other, path, CONTENT), other.delete(path)):
        assert answer.status_code == 404
    assert Upload.objects.get().received_bytes == 0


def test_a_person_uploads_with_session_and_token():
    client = APIClient(enforce_csrf_checks=True)
    client.force_login(a_person(Role.OPERATOR))
    refused = client.post(f"{V1}/uploads", {"size_bytes": len(CONTENT)})
    client.cookies["csrftoken"] = token = "a" * 32
    client.credentials(HTTP_X_CSRFTOKEN=token)

    path = begin(client)["Location"]
    answer = put(client, path, CONTENT)
    tokenless = APIClient(enforce_csrf_checks=True)
    tokenless.cookies = client.cookies

    assert refused.status_code == 403
    assert answer.json()["offset"] == len(CONTENT)
    assert put(tokenless, path, CONTENT).status_code == 403


def test_a_part_that_was_refused_leaves_the_upload_as_it_was(api):
    path = begin(api)["Location"]

    answers = [put(api, path, CONTENT, offset).status_code for offset in (5, 5, 0, 0)]

    assert answers == [409, 409, 200, 200]


@pytest.mark.parametrize("pk", ["x", "..", "0", "2714e76b-8aea-414a-8849-2e610dc66fbe", "%00", "a" * 300])
def test_what_is_no_upload_is_not_there(api, pk):
    assert api.get(f"{V1}/uploads/{pk}").status_code == 404
    assert put(api, f"{V1}/uploads/{pk}", b"x").status_code == 404


def test_a_name_is_shown_as_it_came_or_is_no_json(api, caplog):
    caplog.set_level(logging.ERROR, "django.request")
    half = '{"size_bytes": 10, "file_name": "\\ud83d"}'

    assert begin(api, file_name="../../etc/passwd").json()["file_name"] == "../../etc/passwd"
    assert api.generic("POST", f"{V1}/uploads", half, content_type="application/json").status_code == 400
