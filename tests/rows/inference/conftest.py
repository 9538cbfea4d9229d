import pytest

from inference.serving import runtime
from tests.support.live_models import put_live
from tests.support.processes import ROOT


@pytest.fixture
def live(transactional_db):
    """A version that answers, in a process that holds it."""
    path = ROOT / "examples" / "ripeness" / "model.onnx"
    config = {"labels": ["unripe", "ripe", "overripe"], "scores": "probabilities"}
    version = put_live("ripeness", path, task="classification", task_config=config)
    runtime.start()
    yield version
    runtime.stop()
