import json

import pytest

from inference.serving import runtime
from moderation.deciding import process
from registry.access.keys import ring
from tests.support.detectors import a_policy, put_seed_detectors
from tests.support.factories import a_key, a_tenant


@pytest.fixture
def deciding(transactional_db, tmp_path):
    """A process that moderates with the seed's policy and detectors."""
    ring.clear()
    put_seed_detectors(tmp_path)
    a_policy()
    runtime.start()
    process.start()
    yield process.started()
    process.stop()
    runtime.stop()


@pytest.fixture
def tenant(transactional_db):
    return a_tenant("shop")


@pytest.fixture
def moderate(client, tenant, deciding):
    """Moderates a content as a key of the tenant `shop`; returns the answer's body."""
    key = a_key("moderate", tenant=tenant)[1]

    def post(body, *, url="/api/v1/moderate", status=200, key=key, **headers):
        headers = {"Authorization": f"Bearer {key}", **headers}
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        response = client.generic("POST", url, data, "application/json", headers=headers)
        assert response.status_code == status, response.content
        return response.json()

    return post
