"""Uploads over HTTP: headers, offsets, rights, hostile names."""

import hashlib
import logging

import pytest
from rest_framework.test import APIClient

from registry.access.keys import ring
from registry.access.policies import Role
from registry.catalogue.models import Version
from registry.intake import parts, reading
from registry.intake.models import MAX_NAME, Upload
from registry.intake.services import MAX_PART_BYTES
from tests.support.factories import a_key, a_model, a_person

pytestmark = pytest.mark.django_db
V1 = "/api/v1"
CONTENT = b"not much of a model" * 1000
RAW = "application/octet-stream"


@pytest.fixture(autouse=True)
def fresh(settings, tmp_path):
    settings.DATA_DIR = tmp_path
    ring.clear()
    yield tmp_path
    ring.clear()


@pytest.fixture
def api():
    return client_with("registry.write")


def client_with(*scopes, **more):
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {a_key(*scopes, **more)[1]}")
    return client


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
    done = api.post(f"{path}/complete", {"model": "fresh", "new_model": {"title": "Fresh"}})
    again = api.post(f"{path}/complete", {"model": "fresh", "new_model": {"title": "Fresh"}})

    assert path == f"{V1}/uploads/{begun.json()['id']}"
    assert (first.status_code, first.json()["offset"], asked.json()["offset"]) == (200, 7000, 7000)
    assert second.json()["sha256"] == hashlib.sha256(CONTENT).hexdigest()
    assert (done.status_code, done["Location"]) == (201, f"{V1}/models/fresh/versions/1")
    assert (done.json()["model"], done.json()["number"], done.json()["status"]) == ("fresh", 1, "uploaded")
    assert again.json()["number"] == 1
    shown = api.get(path).json()
    assert (shown["status"], shown["model"], shown["version"]) == ("complete", "fresh", 1)


def test_a_wrong_offset_is_answered_with_the_right_one(api):
    path = begin(api)["Location"]
    put(api, path, CONTENT[:100])

    wrong = put(api, path, CONTENT[:500], 50)
    repeated = put(api, path, CONTENT[:100], 0)

    assert (wrong.status_code, wrong.json()["code"], wrong.json()["offset"]) == (409, "wrong_offset", 100)
    assert (repeated.status_code, repeated.json()["offset"]) == (200, 100)


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


def test_more_than_was_announced_is_refused_and_counts_nothing(api):
    path = begin(api, b"abc")["Location"]

    answer = put(api, path, b"abcd")

    assert (answer.status_code, answer.json()["code"]) == (422, "part_beyond_end")
    assert api.get(path).json()["offset"] == 0


def test_the_cap_is_told_before_anything_is_sent(api, settings):
    settings.UPLOAD_BYTES = 100

    answer = api.post(f"{V1}/uploads", {"size_bytes": 101})

    assert (answer.status_code, answer.json()["code"]) == (413, "file_too_large")
    assert "100" not in answer.json()["detail"] or "MiB" in answer.json()["detail"]


def test_beginning_again_with_the_same_key_begins_nothing_new(api):
    headers = {"Idempotency-Key": "one"}

    first, again = (
        api.post(f"{V1}/uploads", {"size_bytes": 5}, headers=headers),
        api.post(f"{V1}/uploads", {"size_bytes": 5}, headers=headers),
    )

    assert first.json()["id"] == again.json()["id"]
    assert again["Idempotency-Replayed"] == "true"


def test_given_up_it_is_gone_from_the_list_and_the_disk(api):
    path = begin(api)["Location"]
    put(api, path, CONTENT[:100])
    assert [row["offset"] for row in api.get(f"{V1}/uploads").json()["results"]] == [100]

    assert api.delete(path).status_code == 204
    assert api.delete(path).status_code == 204

    assert api.get(f"{V1}/uploads").json()["results"] == []
    assert list(parts.folder().iterdir()) == []
    assert put(api, path, CONTENT[100:], 100).json()["code"] == "upload_ended"


def test_each_sees_their_own_only(api):
    path = begin(api)["Location"]
    other = client_with("registry.write")

    assert other.get(f"{V1}/uploads").json()["results"] == []
    for answer in (
        other.get(path),
        put(other, path, CONTENT),
        other.post(f"{path}/complete", {"model": "m"}),
        other.delete(path),
    ):
        assert answer.status_code == 404
    assert Upload.objects.get().received_bytes == 0


@pytest.mark.parametrize("scope", ["predict", "registry.read"])
def test_it_needs_the_scope_to_write(api, scope):
    path = begin(api)["Location"]
    reader = client_with(scope)

    for answer in (
        reader.get(f"{V1}/uploads"),
        reader.post(f"{V1}/uploads", {"size_bytes": 5}),
        reader.get(path),
        put(reader, path, CONTENT),
        reader.post(f"{path}/complete", {"model": "m"}),
        reader.delete(path),
    ):
        assert answer.status_code == 403
    assert put(APIClient(), path, CONTENT).status_code == 401


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


def test_a_key_for_some_models_uploads_for_these():
    mine, hidden = a_model("mine"), a_model("hidden")
    api = client_with(models=[mine.pk])
    path = begin(api)["Location"]
    put(api, path, CONTENT)

    assert api.post(f"{path}/complete", {"model": hidden.slug}).status_code == 404
    assert api.post(f"{path}/complete", {"model": "new", "new_model": {}}).status_code == 403
    assert api.post(f"{path}/complete", {"model": mine.slug}).status_code == 201


def test_too_many_at_once_are_told_so_before_a_byte_is_read(api, monkeypatch):
    path = begin(api)["Location"]
    monkeypatch.setattr(reading._places, "acquire", lambda **_: False)

    answer = put(api, path, CONTENT)

    assert (answer.status_code, answer.json()["code"], answer["Retry-After"]) == (503, "overloaded", "1")
    assert api.get(path).json()["offset"] == 0


def test_a_place_is_given_back_whatever_happens(api):
    path = begin(api)["Location"]
    for _ in range(200):
        put(api, path, CONTENT, 5)

    assert put(api, path, CONTENT).status_code == 200


@pytest.mark.parametrize("pk", ["x", "..", "0", "2714e76b-8aea-414a-8849-2e610dc66fbe", "%00", "a" * 300])
def test_what_is_no_upload_is_not_there(api, pk):
    assert api.get(f"{V1}/uploads/{pk}").status_code == 404
    assert put(api, f"{V1}/uploads/{pk}", b"x").status_code == 404


HOSTILE = [
    "../../etc/passwd", "..\\..\\windows\\win.ini", "/etc/passwd", "C:\\boot.ini", "....//....//x", "..", ".", "~",
    "~root/.ssh/authorized_keys", "a/b", "a\\b", "./a", "/", "//", "\\\\server\\share\\x", "file:///etc/passwd",
    "http://127.0.0.1/x", "s3://bucket/x", "%2e%2e%2fetc", "%252e%252e%252f", "..%c0%af..%c0%af", "a\x00b", "\x00",
    "a\nb", "a\r\nb", "a\tb", "\x1b[31mred", "\x7f", "a" * 300, "a" * 4000, "ü" * 300, "𝔸" * 300, "CON", "PRN", "NUL",
    "COM1", "LPT9", "aux.onnx", "con.", "a.", " a ", "a ", "-rf", "--help", "$(id)", "`id`", ";rm -rf /", "| cat", "&&",
    "<script>alert(1)</script>", "{{7*7}}", "%s%n", "\u202egnp.onnx", "\u200b", "\ufeff", "e\u0301", "\u212b", "ﬁ", "",
    "'; DROP TABLE registry_upload;--", "model.onnx/../../x", "*", "?", "a:b", ".htaccess", "\ud83d",
]  # fmt: skip


def test_names_are_shown_and_never_opened(api, fresh, caplog):
    caplog.set_level(logging.ERROR, "django.request")
    assert len(HOSTILE) >= 60
    before = {path for path in fresh.parent.rglob("*") if fresh not in path.parents and path != fresh}
    content = b"0123456789"
    for number, name in enumerate(HOSTILE):
        if name == "\ud83d":  # no JSON: the parser refuses it
            answer = api.generic(
                "POST", f"{V1}/uploads", '{"size_bytes": 10, "file_name": "\\ud83d"}', content_type="application/json"
            )  # fmt: skip
            assert answer.status_code == 400
            continue
        begun = api.post(f"{V1}/uploads", {"size_bytes": 10, "file_name": name})
        if begun.status_code == 422:
            continue
        shown = begun.json()["file_name"]
        assert len(shown) <= MAX_NAME and shown.isprintable()
        path = begun["Location"]
        assert put(api, path, content).status_code == 200
        named = api.post(f"{path}/complete", {"model": f"{name}/", "new_model": {}})
        assert named.status_code == 422, name
        done = api.post(f"{path}/complete", {"model": f"m-{number}", "new_model": {}})
        assert done.status_code == 201, done.content
    after = {path for path in fresh.parent.rglob("*") if fresh not in path.parents and path != fresh}
    inside = sorted(str(path.relative_to(fresh)) for path in fresh.rglob("*") if path.is_file())

    sha256 = hashlib.sha256(content).hexdigest()
    assert after == before
    assert inside == [f"artifacts/{sha256[:2]}/{sha256}"]
    assert Version.objects.count() >= 55
