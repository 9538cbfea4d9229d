"""What a process has in memory while splits come and go: counted in loads."""

import threading
from types import SimpleNamespace

import pytest

from inference.engine.fake import FakeBackend, FakeModel
from inference.engine.loop import complete
from inference.pipelines.errors import BadTaskConfig
from inference.serving import pipelines
from inference.serving.models import EngineReport, HeldVersion
from inference.serving.runtime import Runtime
from inference.serving.stewards.process import ProcessRole
from registry.catalogue.services import edit_model
from registry.record.models import Event
from registry.traffic.assignment import WHOLE
from registry.traffic.models import Split
from registry.traffic.services import expire_split, roll_back, set_split, stop_model
from tests.support.batchers import a_request
from tests.support.factories import a_model, a_version, an_actor
from tests.support.processes import ROOT, wait_until
from tests.support.proofs import record_proof

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both]
MIB = 2**20


class Counting(FakeBackend):
    """Counts the loads."""

    def __init__(self, models):
        super().__init__(models)
        self.loaded = []
        self.gate = threading.Event()
        self.gate.set()

    def load(self, path, options):
        assert self.gate.wait(30)
        self.loaded.append(options.expected_sha256)
        return super().load(path, options)


@pytest.fixture
def fruit(monkeypatch):
    """A Model with three versions that a fake runs."""
    monkeypatch.setattr("registry.catalogue.artifacts.path_of", lambda sha256: ROOT / "manage.py")
    model = a_model("fruit")
    versions = [a_version(model) for _ in range(3)]
    for version in versions:
        record_proof(version.artifact.sha256)
    return model, versions


@pytest.fixture
def backend(fruit):
    return Counting({version.artifact.sha256: FakeModel() for version in fruit[1]})


@pytest.fixture
def runtime(backend):
    made = []

    def build():
        made.append(Runtime(backend, role=ProcessRole("web", "serves", "", 8)))
        made[-1].start()
        return made[-1]

    yield build
    backend.gate.set()
    for one in made:
        one.stop()


def put(model, version, **more):
    return set_split(model=model, arms={version: WHOLE}, reason="x", by=an_actor(), **more)


def begin(model, version, runtime):
    """A process that starts with this version live."""
    put(model, version)
    return runtime()


def flip(model, version, runtime):
    """Set the version live, and wait until the process serves it."""
    split = put(model, version)
    wait_until(serves(runtime, version.number), within_s=10, what="the flip")
    return split


def wait_for(what, **held):
    """Wait until an engine holds a version so."""
    wait_until(lambda: HeldVersion.objects.filter(**held).exists(), within_s=10, what=what)


def wait_for_uses(*uses):
    """Wait until exactly these are held, each for its reason."""
    found = HeldVersion.objects.values_list("version__number", "use")
    wait_until(lambda: set(found.all()) == set(uses), within_s=10, what=str(uses))


def status(split):
    return Split.objects.get(pk=split.pk).status


def serves(runtime, number):
    return lambda: runtime.find("fruit", None).choose().number == number


def test_a_version_answers_only_after_it_is_warm(fruit, runtime, backend):
    model, (first, second, _third) = fruit
    started = begin(model, first, runtime)
    backend.gate.clear()

    split = put(model, second)
    wait_for("its load", version=second, state="loading")
    assert (status(split), started.find("fruit", None).choose().number) == ("waiting", 1)
    backend.gate.set()

    wait_until(serves(started, 2), within_s=10, what="the flip")
    assert status(split) == "current"


@pytest.fixture
def building(monkeypatch):
    """Building the pipeline of the version waits for the gate, or fails with the error."""
    building = SimpleNamespace(version=None, gate=threading.Event(), begun=threading.Event(), error=None)
    build = pipelines.pipeline_of

    def wait_and_build(version, signature):
        if version == building.version:
            building.begun.set()
            assert building.gate.wait(30)
            if building.error is not None:
                raise building.error
        return build(version, signature)

    monkeypatch.setattr(pipelines, "pipeline_of", wait_and_build)
    yield building
    building.gate.set()


def test_a_version_answers_only_after_its_task_is_read(fruit, runtime, building):
    model, (first, second, _third) = fruit
    started = begin(model, first, runtime)
    building.version = second

    split = put(model, second)
    assert building.begun.wait(10)
    wait_for("its model in memory", version=second, state="loading")
    assert (status(split), started.find("fruit", None).choose().number) == ("waiting", 1)
    building.gate.set()

    wait_until(serves(started, 2), within_s=10, what="the flip")
    assert status(split) == "current"


def test_a_task_that_cannot_be_read_gives_the_split_up(fruit, runtime, building):
    model, (first, second, _third) = fruit
    started = begin(model, first, runtime)
    building.version, building.error = second, BadTaskConfig("too many words", field="file")
    building.gate.set()

    split = put(model, second)

    wait_until(lambda: status(split) not in {"waiting", "current"}, within_s=10, what="the split given up")
    assert serves(started, 1)()
    assert "too many words" in HeldVersion.objects.get(version=second).reason


def test_a_slow_task_delays_no_stop(fruit, runtime, building):
    model, (first, second, _third) = fruit
    started = begin(model, first, runtime)
    building.version = second
    put(model, second)
    assert building.begun.wait(10)

    stop_model(model=model, text="x", by=an_actor())

    wait_until(lambda: started.table.routes["fruit"].stopped, within_s=5, what="the stop")


def test_what_was_loaded_on_demand_is_forgotten_when_it_is_unloaded(fruit, runtime):
    """Even if no route changes."""
    model, (first, second, _third) = fruit
    started = begin(model, first, runtime)
    live, target = (started.target(version.pk) for version in (first, second))
    complete(started.pipeline(target))
    assert started.known_pipeline(target) is not None

    started.executor.unload(target)

    wait_until(lambda: started.known_pipeline(target) is None, within_s=10, what="it is forgotten")
    assert started.known_pipeline(live) is not None


def test_a_rollback_within_the_bake_loads_nothing(fruit, runtime, backend):
    model, (first, second, _third) = fruit
    started = begin(model, first, runtime)
    flip(model, second, started)
    wait_for("the first one kept", version=first, use="kept")
    loads = len(backend.loaded)

    for number, version in ((1, first), (2, second), (1, first), (2, second)):
        split = roll_back(model=model, to_version=version, reason="x", by=an_actor())
        assert split.status == "current"
        wait_until(serves(started, number), within_s=10, what=f"version {number}")
        wait_for("the other kept", version__model=model, use="kept")

    assert len(backend.loaded) == loads
    assert complete(
        started.infer(started.find("fruit", None).choose(), a_request({"x": [[1.0, 2.0, 3.0, 4.0]]}))
    )


def test_what_has_baked_goes_and_the_rollback_target_stays(fruit, runtime, backend):
    model, (first, second, third) = fruit
    edit_model(model=model, changes={"bake_minutes": 0}, by=an_actor())
    started = begin(model, first, runtime)
    for version in (second, third):
        flip(model, version, started)

    wait_for_uses((2, "kept"), (3, "held"))


def test_within_the_bake_all_that_was_replaced_stays(fruit, runtime):
    """The control of the test above."""
    model, (first, second, third) = fruit
    started = begin(model, first, runtime)
    for version in (second, third):
        flip(model, version, started)

    wait_for_uses((1, "kept"), (2, "kept"), (3, "held"))


def test_a_process_that_starts_again_has_the_rollback_target_too(fruit, runtime):
    model, (first, second, _third) = fruit
    put(model, first)
    put(model, second)

    runtime()

    wait_for_uses((1, "kept"), (2, "held"))


def test_what_is_only_kept_makes_room_for_what_answers(fruit, runtime, settings, monkeypatch):
    model, (first, second, third) = fruit
    monkeypatch.setattr("inference.engine.fake.FakeSession.footprint_bytes", lambda self: 4 * MIB)
    settings.SESSION_MEMORY_BYTES = 3 * 10 * MIB  # for three engines: two versions each
    started = begin(model, first, runtime)
    for version in (second, third):
        flip(model, version, started)

    wait_for_uses((2, "kept"), (3, "held"))


def test_what_the_memory_cannot_hold_is_given_up_with_the_sum(fruit, runtime, settings, monkeypatch):
    model, (first, second, _third) = fruit
    monkeypatch.setattr("inference.engine.fake.FakeSession.footprint_bytes", lambda self: 4 * MIB)
    settings.SESSION_MEMORY_BYTES = 3 * 6 * MIB  # for three engines: one version each
    started = begin(model, first, runtime)

    split = put(model, second)
    wait_until(lambda: status(split) == "expired", within_s=10, what="the end of the split")

    assert (
        "Of the 6.0 MiB that this process may use" in Event.objects.get(kind="split_expired").data["reason"]
    )
    assert serves(started, 1)()


def test_what_a_given_up_split_needed_is_let_go(fruit, runtime, settings):
    model, (first, second, _third) = fruit
    started = begin(model, first, runtime)
    other = EngineReport.objects.create(
        id="other", kind="web", role="serves", state="ready", host="there", pid=1, pid_started=1
    )
    split = put(model, second)
    wait_for("its load", version=second, state="warm")
    assert status(split) == "waiting"

    expire_split(split=Split.objects.get(pk=split.pk), reason="x", by=an_actor())

    wait_until(
        lambda: not HeldVersion.objects.filter(version=second).exists(), within_s=10, what="the end of it"
    )
    assert serves(started, 1)()
    assert other.held.count() == 0


def test_a_process_that_stops_signs_off(fruit, runtime):
    put(fruit[0], fruit[1][0])
    started = runtime()
    assert EngineReport.objects.get().state in {"starting", "ready"}

    started.stop()

    assert not EngineReport.objects.exists()
