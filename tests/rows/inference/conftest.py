from collections.abc import Iterator

import pytest

from inference.jobs.celery_door import reader
from inference.serving import push, runtime
from inference.serving.executors.workers import consumer, lane
from tests.support.live_models import put_live
from tests.support.processes import ROOT


@pytest.fixture(autouse=True, scope="session")
def threads_that_stop_soon() -> Iterator[None]:
    """What blocks in Redis looks more often whether it should stop, or each test would wait for it at its end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(push, "_LOOK_AT_STOP_EVERY_S", 0.05)
        patch.setattr(consumer, "_LOOK_AT_STOP_EVERY_S", 0.1)
        patch.setattr(lane, "_BLOCK_S", 0.1)
        patch.setattr(reader, "_WAIT_S", 0.1)
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
