"""A key, and requests of the protocol over HTTP."""

import json

import pytest

from tests.support.factories import a_key


@pytest.fixture
def key():
    return a_key()[1]


@pytest.fixture
def ask(client, key):
    def ask(method, path, body=b"", **headers):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {key}", **headers}
        return client.generic(method, f"/v2/models/{path}", data, "application/json", headers=headers)

    return ask
