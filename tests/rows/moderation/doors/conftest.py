import json

import pytest
from django.test import Client

from moderation.doors.categories import services, table
from moderation.doors.categories.protocols import ForeignProtocol
from moderation.doors.categories.services import LabelMapping
from tests.support.factories import a_key, an_actor


@pytest.fixture
def key(tenant):
    return a_key("moderate", tenant=tenant)[1]


@pytest.fixture
def post(deciding, key):
    """Sends a body to an address as the tenant `shop`; returns the answer's body."""

    def post(url, body, *, status=200, key=key, **headers):
        sent = {"Authorization": f"Bearer {key}", **headers} if key else headers
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        response = Client().generic("POST", url, data, "application/json", headers=sent)
        assert response.status_code == status, response.content
        return response.json()

    return post


@pytest.fixture
def openai(post):
    def openai(given, *, status=200, **more):
        return post("/v1/moderations", {"input": given, **more}, status=status)

    return openai


@pytest.fixture
def analyze(post):
    def analyze(text, *attributes, status=200, headers=(), **more):
        requested = {name: {} for name in attributes or ("TOXICITY",)}
        body = {"comment": {"text": text}, "requestedAttributes": requested, **more}
        return post("/v1alpha1/comments:analyze", body, status=status, **dict(headers))

    return analyze


@pytest.fixture
def map_labels(deciding):
    """Replaces the mappings of a protocol; those of tests do not outlive them."""

    def map_labels(protocol, *mappings):
        by, wanted = an_actor(), [LabelMapping(*one) for one in mappings]
        services.set_category_mappings(protocol=ForeignProtocol(protocol), mappings=wanted, by=by)
        deciding.refresh()

    yield map_labels
    table._table = table.CategoryTable()
