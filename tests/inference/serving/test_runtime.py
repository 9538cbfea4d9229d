"""The runtime of a process: what it loads, what it answers, when it wants to be replaced."""

import threading
import time
from contextlib import suppress

import pytest

from inference.checks.models import ProbePass
from inference.engine import errors as engine
from inference.engine.fake import HANG, FakeBackend, FakeModel
from inference.errors import Loading, Stopping
from inference.serving import runtime as runtime_module
from inference.serving.plans import session_options
from inference.serving.runtime import Runtime
from registry.catalogue import artifacts
from registry.catalogue.models import Version
from registry.catalogue.services import change_serving
from registry.errors import NoLiveVersion
from registry.traffic.models import WHOLE
from registry.traffic.services import set_split
from tests.factories import a_model, an_actor
from tests.inference.importing import import_live
from tests.inference.proofs import record_proof
from tests.processes import ROOT

pytestmark = pytest.mark.django_db(transaction=True)
EXAMPLE = ROOT / "examples" / "ripeness" / "model.onnx"
ROW = {"features": [[0.2, 0.8, 0.3]]}


def _import(**options) -> Version:
    return import_live(slug="ripeness", path=EXAMPLE, options=session_options(), **options)


@pytest.fixture
def runtime():
    runtimes = []

    def build(*arguments, **options):
        runtimes.append(Runtime(*arguments, **options))
        runtimes[-1].start()
        return runtimes[-1]

    yield build
    for started in runtimes:
        started.stop()


def _ask(runtime, row=ROW):
    target = runtime.find("ripeness", None).choose()
    return target.number, runtime.infer(target, row, deadline=time.monotonic() + 5)


def test_live_version_is_warm_before_it_is_ready(runtime):
    _import()

    started = runtime()

    assert (started.report().state, started.report().warm_versions) == ("ready", 1)
    assert _ask(started)[0] == 1


def test_nothing_live_is_ready_too(runtime):
    a_model("ripeness")

    started = runtime()

    assert started.report().can_predict
    with pytest.raises(NoLiveVersion):
        started.find("ripeness", None).choose()


def test_new_split_is_followed_and_old_version_let_go(runtime):
    _import()
    started = runtime()
    second = _import()

    set_split(model=second.model, arms={second: WHOLE}, reason="better", by=an_actor())
    started.refresh()

    assert _ask(started)[0] == 2
    assert started.report().warm_versions == 1


def test_runtime_upgrade_probes_again(runtime):
    """The proof names the runtime; without one for this runtime, the file goes through the child again."""
    _import()
    ProbePass.objects.update(runtime_version="0.0.1")

    started = runtime()

    assert _ask(started)[0] == 1
    assert ProbePass.objects.count() == 2


def test_changed_file_is_not_served_and_others_are(runtime):
    version = _import()
    import_live(
        slug="other",
        path=ROOT / "examples" / "demand" / "model.onnx",
        options=session_options(),
    )
    path = artifacts.path_of(version.artifact.sha256)
    path.write_bytes(path.read_bytes()[:-1] + b"\0")

    started = runtime()

    with pytest.raises(Loading, match="cannot be loaded"):
        _ask(started)
    assert started.report().warm_versions == 1
    assert started.infer(
        started.find("other", None).choose(),
        {"hour": [[0.5]], "warmth": [[0.5]]},
        deadline=time.monotonic() + 5,
    )


def _limit_runs_to(version, *, soft_limit_s):
    change_serving(version=version, changes={"soft_limit_s": soft_limit_s}, reason="test", by=an_actor())


def test_run_that_cannot_be_ended_has_the_process_replaced(runtime, monkeypatch):
    version = _import()
    record_proof(version.artifact.sha256)
    _limit_runs_to(version, soft_limit_s=0.02)
    monkeypatch.setattr(runtime_module, "_DRAIN_S", 0.05)
    model = FakeModel(honours_soft_limit=False)
    replaced = threading.Event()
    started = runtime(FakeBackend({version.artifact.sha256: model}), replace_process=replaced.set)
    caller = threading.Thread(target=_ask_quietly, args=(started, {"x": [[HANG, 0, 0, 0]]}))
    caller.start()

    try:
        assert replaced.wait(20)
        assert started.report().state == "draining"
        assert not started.report().can_predict
        with pytest.raises(Stopping):
            started.check_answers(None)
    finally:
        model.released.set()
        caller.join()


def _ask_quietly(runtime, row):
    with suppress(engine.EngineError, Stopping):
        _ask(runtime, row)


def test_run_that_ends_at_its_soft_limit_replaces_nothing(runtime, monkeypatch):
    """Negative control of the test above."""
    version = _import()
    record_proof(version.artifact.sha256)
    _limit_runs_to(version, soft_limit_s=0.02)
    replaced = threading.Event()
    started = runtime(FakeBackend({version.artifact.sha256: FakeModel()}), replace_process=replaced.set)

    with pytest.raises(engine.RunTimedOut):
        _ask(started, {"x": [[HANG, 0, 0, 0]]})

    assert not replaced.is_set()
    assert started.report().can_predict
