"""What versions take in memory: known from the check, as they are set now, and refused before a load where it does not fit."""

import pytest

from inference.checks.models import ProbePass
from inference.checks.proofs import known_footprint_bytes
from inference.engine.errors import OverBudget
from inference.engine.fake import FakeBackend
from inference.engine.warmup import MemoryUse
from inference.serving.plans import session_options
from inference.serving.runtime import Runtime
from inference.tensors.samples import EMPTY_SAMPLE
from registry.catalogue import artifacts
from registry.catalogue.selectors import current_serving
from registry.catalogue.services import change_serving
from tests.support.batchers import a_request
from tests.support.factories import a_model, a_split, a_version, an_actor
from tests.support.processes import wait_until
from tests.support.proofs import record_proof

pytestmark = pytest.mark.django_db(transaction=True)
MIB = 1 << 20
MEASURED = MemoryUse(
    2 * MIB, {rows: rows * MIB for rows in (1, 2, 4, 8)}, asked_rows=64, beyond=(16, 16 * MIB)
)


def live_version(slug="wide", memory=MEASURED):
    model = a_model(slug)
    version = a_version(model, file=artifacts.store([slug.encode()]))
    fact = record_proof(version.artifact.sha256)
    ProbePass.objects.record(fact, sample=EMPTY_SAMPLE, memory=memory)
    a_split(model, 100)  # last: a runtime that has been started loads it at once
    return version


@pytest.fixture
def started():
    backend = FakeBackend()
    runtime = Runtime(backend)
    runtime.start()
    yield runtime, backend
    runtime.stop()


@pytest.fixture
def room(settings):
    """Three engines of 100 MiB each; an eighth of one is 12.5 MiB."""
    settings.SESSION_MEMORY_BYTES = 300 * MIB
    settings.EXECUTOR, settings.WEB_PROCESSES = "inprocess", 2


def wait_for(runtime, rows, mebibytes):
    """Its own threads follow as well, and one of them may just be at it."""

    def held():
        return [(one.merged_rows, one.footprint_bytes // MIB) for one in runtime.executor.holdings()]

    runtime.refresh()
    wait_until(lambda: held() == [(rows, mebibytes)], within_s=10, what=f"batches of {rows}")


def change(version, **changes):
    change_serving(version=version, changes=changes, reason="test", by=an_actor())


def test_batches_are_as_large_as_fits_and_follow_the_settings_without_a_restart(room, started):
    version = live_version()
    runtime, _ = started
    wait_for(runtime, 8, 10)

    change(version, max_batch_rows=4)
    wait_for(runtime, 4, 6)

    change(version, batch_memory_bytes=2 * MIB)
    wait_for(runtime, 2, 4)


def test_what_it_takes_is_known_as_it_is_set(room, monkeypatch):
    version = live_version()
    monkeypatch.setattr("inference.checks.proofs.runtime_version", lambda: "fake-1")

    def known():
        values, sha256 = current_serving(version.pk), version.artifact.sha256
        return known_footprint_bytes(values, sha256=sha256, options=session_options(values))

    assert known() == 10 * MIB
    change(version, max_batch_rows=2)
    assert known() == 4 * MIB
    ProbePass.objects.update(memory=None)
    assert known() is None


def test_what_cannot_fit_is_never_loaded_however_often_it_is_asked_for(room, started):
    live_version("small")
    runtime, backend = started
    runtime.refresh()
    huge = MemoryUse(99 * MIB, {1: MIB}, asked_rows=64, failure="2 rows: x")
    version = live_version("huge", huge)
    runtime.refresh()
    target = runtime.target(version.pk)

    for _ in range(3):
        with pytest.raises(OverBudget, match="ROUNDHOUSE_SESSION_MEMORY_MB"):
            runtime.executor._engine.infer_from_thread(
                version.pk,
                a_request({"x": [[1.0, 2, 3, 4]]}, within_s=1),
                plan=runtime.executor._plan(target),
            )

    assert [path.name for path in backend.loads].count(version.artifact.sha256) == 0
