from collections.abc import Iterator

import pytest

from inference.doors.celery import readers
from inference.serving import push, runtime
from inference.serving.executors.workers import consumer, lane
from tests.support.live_models import put_live
from tests.support.processes import ROOT


@pytest.fixture(autouse=True, scope="session")
def threads_that_stop_soon() -> Iterator[None]:
    """Threads that block in Redis check more often whether they should stop, or each test would wait for them at its end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(push, "_CHECK_STOP_EVERY_S", 0.05)
        patch.setattr(consumer, "_CHECK_STOP_EVERY_S", 0.1)
        patch.setattr(lane, "_BLOCK_S", 0.1)
        patch.setattr(readers, "_WAIT_S", 0.1)
        yield


@pytest.fixture
def live(transactional_db):
    """A version that answers, in a process that holds it."""
    path = ROOT / "examples" / "ripeness" / "model.onnx"
    config = {"labels": ["unripe", "ripe", "overripe"], "scores": "probabilities"}
    version = put_live("ripeness", path, task="classification", task_config=config)
    runtime.start()
    yield version
    runtime.stop()
