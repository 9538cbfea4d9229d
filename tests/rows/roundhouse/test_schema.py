"""The description of the API: generated once, then sent unchanged."""

import pytest
from django.test import Client
from drf_spectacular.generators import SchemaGenerator

from roundhouse import schema
from tests.support.together import in_threads

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def made(monkeypatch):
    """Nothing is kept from other tests; how often it is made is counted."""
    monkeypatch.setattr(schema, "_cache", {})
    calls = []
    real = SchemaGenerator.get_schema
    monkeypatch.setattr(
        SchemaGenerator, "get_schema", lambda *args, **more: calls.append(1) or real(*args, **more)
    )
    return calls


def test_simultaneous_requests_share_one_generation(made):
    answers = []

    def ask(_number):
        answers.append(Client().get("/api/schema", headers={"Accept": "application/vnd.oai.openapi+json"}))

    assert in_threads(24, ask) == []

    assert [answer.status_code for answer in answers] == [200] * 24
    assert len({answer.content for answer in answers}) == 1
    assert made == [1]


@pytest.mark.parametrize("path", ["/api/schema", "/api/schema-3.0"])
@pytest.mark.parametrize(
    ("accept", "begins"),
    [
        ("application/vnd.oai.openapi", b"openapi: "),
        ("application/vnd.oai.openapi+json", b'{\n    "openapi": '),
    ],
    ids=["yaml", "json"],
)
def test_each_format_has_its_own_content_and_headers(client, made, path, accept, begins):
    first, again = (client.get(path, headers={"Accept": accept}) for _ in range(2))

    assert first.content.startswith(begins)
    assert first["Content-Type"].startswith(accept)
    assert (first.content, first["Content-Type"]) == (again.content, again["Content-Type"])
    assert made == [1]


def test_an_etag_gives_not_modified(client):
    etag = client.get("/api/schema")["ETag"]

    same = client.get("/api/schema", headers={"If-None-Match": etag})
    other = client.get("/api/schema-3.0", headers={"If-None-Match": etag})

    assert (same.status_code, same.content) == (304, b"")
    assert other.status_code == 200


def test_an_answer_may_have_all_fields_of_several_forms(client):
    """Labels of a text have those of labels of a row, so exactly one form would be wrong."""
    schemas = client.get("/api/schema", headers={"Accept": "application/vnd.oai.openapi+json"}).json()[
        "components"
    ]["schemas"]

    of_rows, of_texts = schemas["RowLabelled"], schemas["TextLabelled"]
    assert set(of_rows["required"]) < set(of_texts["required"])
    assert {"$ref": "#/components/schemas/RowLabelled"} in schemas["PredictResponse"]["anyOf"]


def test_null_may_be_any_json_as_well(client):
    schemas = client.get("/api/schema", headers={"Accept": "application/vnd.oai.openapi+json"}).json()[
        "components"
    ]["schemas"]

    assert schemas["Preview"]["properties"]["result"]["anyOf"] == [{}, {"type": "null"}]
