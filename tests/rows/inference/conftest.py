import pytest

from inference.serving import runtime
from inference.serving.plans import session_options
from tests.support.importing import import_live
from tests.support.processes import ROOT


@pytest.fixture
def live(transactional_db):
    """A version that answers, in a process that holds it."""
    version = import_live(
        slug="ripeness",
        path=ROOT / "examples" / "ripeness" / "model.onnx",
        task="classification",
        task_config={"labels": ["unripe", "ripe", "overripe"], "scores": "probabilities"},
        options=session_options(),
    )
    runtime.start()
    yield version
    runtime.stop()
