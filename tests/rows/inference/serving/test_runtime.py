"""The runtime of a process: what it loads, what it answers, when it wants to be replaced."""

import sys
import threading
from contextlib import suppress

import pytest
from django.db import OperationalError

from inference.checks import proofs
from inference.checks.models import ProbePass
from inference.checks.proofs import Proof
from inference.engine import errors as engine
from inference.engine.batch_proof import BatchProof
from inference.engine.fake import HANG, FakeBackend, FakeModel
from inference.engine.loop import complete
from inference.errors import CannotLoad, Loading, Stopping
from inference.serving import routes
from inference.serving import runtime as runtime_module
from inference.serving.plans import session_options
from inference.serving.runtime import Runtime
from inference.serving.stewards.process import ProcessRole
from inference.serving.stewards.steward import Steward, no_models
from inference.tensors import errors
from inference.tensors.samples import EMPTY_SAMPLE
from registry.catalogue import artifacts
from registry.catalogue.models import ServingSettings, Version
from registry.catalogue.services import change_serving, edit_model
from registry.errors import NoLiveVersion
from registry.kit import loops
from registry.kit.loops import Backoff
from registry.traffic.models import WHOLE
from registry.traffic.services import set_split
from tests.support.batchers import a_request
from tests.support.engines import an_engine
from tests.support.factories import a_model, a_split, a_version, an_actor
from tests.support.live_models import import_live
from tests.support.processes import ROOT, wait_until
from tests.support.proofs import NO_MEMORY, record_proof

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both]
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
    return target.number, complete(runtime.infer(target, a_request(row)))


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
    demand = ROOT / "examples" / "demand" / "model.onnx"
    import_live(slug="other", path=demand, options=session_options())
    path = artifacts.path_of(version.artifact.sha256)
    path.write_bytes(path.read_bytes()[:-1] + b"\0")

    started = runtime()

    with pytest.raises(CannotLoad, match="cannot be loaded"):
        _ask(started)
    with pytest.raises(CannotLoad, match="cannot be loaded"):
        started.check_can_answer(started.find("ripeness", None).choose())
    assert started.report().warm_versions == 1
    other, row = started.find("other", None).choose(), {"hour": [[0.5]], "warmth": [[0.5]]}
    assert complete(started.infer(other, a_request(row)))


WEB = ProcessRole("web", "serves", "", 4)


@pytest.fixture
def two_live():
    versions = [a_version(a_model(slug)) for slug in ("ripeness", "other")]
    for version in versions:
        record_proof(version.artifact.sha256)
        a_split(version.model, 100)
    return versions


@pytest.fixture
def process(two_live, runtime, monkeypatch, tmp_path):
    """Starts a process that can load these versions; its copies of other files are damaged."""
    for version in two_live:
        (tmp_path / version.artifact.sha256).touch()
    monkeypatch.setattr("registry.catalogue.artifacts.path_of", lambda sha256: tmp_path / sha256)

    def start(*able):
        models = {one.artifact.sha256: FakeModel(fails_to_load=one not in able) for one in two_live}
        return runtime(FakeBackend(models), role=WEB)

    return start


def test_a_process_that_lacks_a_live_version_says_so_and_stays_when_it_is_alone(two_live, process):
    report = process(two_live[0]).report()

    assert (report.lacking, report.is_outdone, report.can_predict) == (1, False, True)


def test_nobody_lacks_anything_where_all_is_warm(two_live, process):
    """The control of the test above."""
    assert process(*two_live).report().lacking == 0


def test_callers_are_sent_to_a_peer_that_holds_what_a_process_lacks(two_live, process):
    whole = process(*two_live)
    damaged = process(two_live[0])

    wait_until(lambda: damaged.report().is_outdone, within_s=20, what="it sees its peer")
    assert not damaged.report().can_predict
    assert whole.report().can_predict


def test_they_come_back_when_the_peer_is_gone(two_live, process):
    whole = process(*two_live)
    damaged = process(two_live[0])

    whole.stop()

    wait_until(lambda: damaged.report().can_predict, within_s=20, what="it looks for peers again")


def test_two_that_lack_one_version_each_both_stay(two_live, process):
    both = process(two_live[0]), process(two_live[1])

    assert [one.report().lacking for one in both] == [1, 1]
    assert [one.report().can_predict for one in both] == [True, True]


@pytest.mark.parametrize(
    "peer", [{"kind": "grpc"}, {"state": "draining"}], ids=lambda about: next(iter(about))
)
def test_who_would_not_answer_these_callers_is_no_peer(two_live, process, peer):
    an_engine(*two_live, **peer)

    assert process(two_live[0]).report().can_predict


def test_a_database_that_is_away_sends_nobody_off(two_live, process, monkeypatch):
    def is_away(*_, **__):
        raise OperationalError("gone")

    process(*two_live)
    monkeypatch.setattr("inference.serving.stewards.readiness.is_outdone", is_away)
    report = process(two_live[0]).report()

    assert (report.lacking, report.can_predict) == (1, True)


def test_what_may_fit_by_and_by_is_still_loading(two_live, process, monkeypatch):
    def has_no_room(self, path, options):
        raise engine.OverBudget

    monkeypatch.setattr(FakeBackend, "load", has_no_room)
    started = process(*two_live)

    with pytest.raises(Loading):
        started.check_can_answer(started.find("ripeness", None).choose())


@pytest.fixture
def limited():
    """A live version whose runs may last 20 ms."""
    version = _import()
    record_proof(version.artifact.sha256)
    change_serving(version=version, changes={"soft_limit_s": 0.02}, reason="test", by=an_actor())
    return version


def test_run_that_cannot_be_ended_has_the_process_replaced(runtime, limited, monkeypatch):
    monkeypatch.setattr(runtime_module, "_DRAIN_S", 0.05)
    model = FakeModel(honours_soft_limit=False)
    replaced = threading.Event()
    started = runtime(FakeBackend({limited.artifact.sha256: model}), replace_process=replaced.set)
    caller = threading.Thread(target=_ask_quietly, args=(started, {"x": [[HANG, 0, 0, 0]]}))
    caller.start()

    try:
        assert replaced.wait(20)
        assert started.report().state == "draining"
        assert not started.report().can_predict
        with pytest.raises(Stopping):
            started.check_can_answer(None)
    finally:
        model.released.set()
        caller.join()


def _ask_quietly(runtime, row):
    with suppress(errors.InferenceError, Stopping):
        _ask(runtime, row)


def test_run_that_ends_at_its_soft_limit_replaces_nothing(runtime, limited):
    """Negative control of the test above."""
    replaced = threading.Event()
    started = runtime(FakeBackend({limited.artifact.sha256: FakeModel()}), replace_process=replaced.set)

    with pytest.raises(engine.RunTimedOut):
        _ask(started, {"x": [[HANG, 0, 0, 0]]})

    assert not replaced.is_set()
    assert started.report().can_predict


@pytest.fixture
def odd_settings(monkeypatch):
    """One of three live Models has serving settings that make no sense."""
    monkeypatch.setattr("registry.catalogue.artifacts.path_of", lambda sha256: EXAMPLE)
    monkeypatch.setattr(Backoff, "after", lambda self, failures: 0.01)
    versions = [a_version(a_model(slug)) for slug in ("bad", "good", "better")]
    for version in versions:
        record_proof(version.artifact.sha256)
        a_split(version.model, 100)
    ServingSettings.objects.filter(version=versions[0]).update(values=["garbage"])
    backend = FakeBackend({version.artifact.sha256: FakeModel() for version in versions})
    return versions, backend


def is_told(loop):
    return loop in {one.name for one in loops.failing()}


def test_one_version_that_cannot_be_planned_keeps_no_other_from_being_served(runtime, odd_settings):
    versions, backend = odd_settings

    started = runtime(backend)

    assert started.report().can_predict
    assert [started.executor.is_warm(started.target(version.pk)) for version in versions] == [
        False,
        True,
        True,
    ]
    wait_until(lambda: is_told("steward"), within_s=20, what="its report")

    new = a_version(versions[1].model)
    record_proof(new.artifact.sha256)
    backend.models[new.artifact.sha256] = FakeModel()
    a_split(versions[1].model, 100, versions=[new])
    wait_until(lambda: started.find("good", None).split == 2, within_s=20, what="the next split")
    wait_until(lambda: started.executor.is_warm(started.target(new.pk)), within_s=20, what="its version")


def test_rows_that_make_no_sense_keep_no_other_route_from_being_followed(runtime, odd_settings, monkeypatch):
    (bad, good, _better), backend = odd_settings
    ServingSettings.objects.filter(version=bad).update(values={})
    started = runtime(backend)
    make_target = routes._target

    def failing(pk, *values, **more):
        if pk == bad.pk:
            raise ValueError(pk)
        return make_target(pk, *values, **more)

    monkeypatch.setattr(routes, "_target", failing)

    for model in (bad.model, good.model):
        edit_model(model=model, changes={"key_source": "tenant"}, by=an_actor())

    wait_until(lambda: started.find("good", None).key_source == "tenant", within_s=20, what="the change")
    assert started.find("bad", None).key_source == "random"
    assert started.find("bad", None).split == 1
    wait_until(lambda: is_told("unreadable routes"), within_s=20, what="its report")
    assert started.stale_s() == 0
    monkeypatch.setattr(routes, "_target", make_target)
    wait_until(lambda: started.find("bad", None).key_source == "tenant", within_s=20, what="its recovery")
    wait_until(lambda: loops.failing() == [], within_s=20, what="the end of the report")


def test_where_versions_are_held_together_only_one_keeps_all_from_starting(
    runtime, odd_settings, monkeypatch
):
    """The control: without the second try, one by one."""
    monkeypatch.setattr(Steward, "hold", lambda steward, targets: steward._executor.hold(frozenset(targets)))

    with pytest.raises(AttributeError):
        runtime(odd_settings[1])


class TestDeadlinesOfColdVersions:
    """Whoever asks for a version that is not in memory waits no longer than they said, whatever it waits for."""

    @pytest.fixture
    def cold(self, monkeypatch):
        """A version that answers only when it is asked for by number, and whose load is held until the test lets it go."""
        monkeypatch.setattr("registry.catalogue.artifacts.path_of", lambda sha256: EXAMPLE)
        version = a_version(a_model("cold"))
        record_proof(version.artifact.sha256)
        backend = Held({version.artifact.sha256: FakeModel()})
        started = Runtime(backend, wanted=no_models)
        started.start()
        yield started, version, backend.gate
        backend.gate.set()
        started.stop()

    def ask(self, started, version, within_s):
        target = started.find("cold", None).choose(version=version.number)
        return complete(started.infer(target, a_request({"x": [[1, 2, 3, 4]]}, within_s=within_s)))

    def test_a_load_is_waited_for_no_longer(self, cold):
        started, version, gate = cold

        with pytest.raises(engine.StillLoading):
            self.ask(started, version, 0.05)
        with pytest.raises(engine.StillLoading):
            complete(
                started.signature(started.find("cold", None).choose(version=version.number), timeout_s=0.05)
            )

        gate.set()
        assert self.ask(started, version, 20).outputs["y"].tolist() == [[2, 4, 6, 8]]

    def test_a_proof_is_waited_for_no_longer(self, cold, monkeypatch):
        started, version, gate = cold
        gate.set()
        proven = Proof(
            record_proof(version.artifact.sha256),
            EMPTY_SAMPLE,
            NO_MEMORY,
            BatchProof(8, "proven", "x", 65_536),
        )
        ProbePass.objects.all().delete()
        made = threading.Event()
        monkeypatch.setattr(proofs, "_make_proof", lambda *_: made.wait(20) and proven)

        with pytest.raises(engine.StillLoading):
            self.ask(started, version, 0.05)

        made.set()
        assert self.ask(started, version, 20).outputs["y"].tolist() == [[2, 4, 6, 8]]
        assert started.executor.merged_rows(started.find("cold", None).choose(version=version.number)) == 8


class Held(FakeBackend):
    """Loads nothing until the gate is open."""

    def __init__(self, models):
        super().__init__(models)
        self.gate = threading.Event()

    def load(self, path, options):
        assert self.gate.wait(20)
        self.models.setdefault(path.name, next(iter(self.models.values())))
        return super().load(path, options)


@pytest.mark.parametrize("start", [runtime_module.start, runtime_module.start_in_worker])
def test_a_computing_thread_keeps_the_loop_waiting_only_briefly(monkeypatch, start):
    """In web processes and in workers: both have an event loop."""
    monkeypatch.setattr(runtime_module, "_runtime", None)
    before = sys.getswitchinterval()
    try:
        start()
        assert sys.getswitchinterval() == pytest.approx(0.0005)
    finally:
        runtime_module.stop()
        sys.setswitchinterval(before)
