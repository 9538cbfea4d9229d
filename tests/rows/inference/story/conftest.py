import json

import pytest

from inference.serving import runtime
from registry.access.keys import ring
from tests.support.factories import a_key, a_split
from tests.support.live_models import put_ready
from tests.support.processes import ROOT

EXAMPLE = ROOT / "examples" / "ripeness"
SAMPLE = json.loads((EXAMPLE / "sample.json").read_text())


@pytest.fixture
def predict(client, live):
    """Sends a prediction through the REST door, and returns its request id."""
    ring.clear()
    key = a_key()[1]

    def predict(path="models/ripeness", **headers):
        response = client.post(
            f"/api/v1/{path}/predict",
            SAMPLE,
            content_type="application/json",
            headers={"Authorization": f"Bearer {key}", **headers},
        )
        assert response.status_code == 200, response.content
        return response.json()["request_id"]

    return predict


@pytest.fixture
def second(live):
    """A second version with 10 % of the traffic, beside the first."""
    config = {"labels": ["unripe", "ripe", "overripe"], "scores": "probabilities"}
    version = put_ready("ripeness", EXAMPLE / "model.onnx", task_config=config)
    a_split(live.model, 90, 10, versions=[live, version])
    runtime.started().refresh()
    return version
