"""Each background loop of inference meets what nobody foresaw, and goes on."""

import threading
from types import SimpleNamespace

import pytest
import redis

from inference.doors.celery.readers import QueueReader
from inference.doors.grpc import server as grpc_server
from inference.doors.limits.counters import Refiller
from inference.engine.fake import FakeBackend
from inference.jobs.running import runner as jobs
from inference.serving import push, runtime, worker_process
from inference.serving.executors.inprocess import InProcessExecutor
from inference.serving.executors.workers import consumer, lane
from inference.serving.routes import EMPTY
from inference.serving.stewards import process, reporter
from inference.serving.stewards.steward import Steward, no_models
from registry.kit import loops
from tests.support.batchers import shared_loop

WAIT_S = 20


class Odd:
    """Raises what nobody foresaw at the first call, and tells of the second."""

    def __init__(self, then=lambda: None):
        self._then = then
        self._has_raised = False
        self.was_called_again = threading.Event()

    def __call__(self, *_, **__):
        if not self._has_raised:
            self._has_raised = True
            raise KeyError("odd")
        self.was_called_again.set()
        return self._then()


def gone():
    raise redis.ConnectionError("gone")


def a_runtime(monkeypatch):
    monkeypatch.setattr(runtime.routes, "read_revision", lambda: EMPTY.revision)
    made = runtime.Runtime(FakeBackend())
    made._is_stopping = True  # then it writes measurements each second
    return made._watching


def routes(monkeypatch, odd):
    watching = a_runtime(monkeypatch)
    odd._then = lambda: EMPTY.revision
    monkeypatch.setattr(runtime.routes, "read_revision", odd)
    return watching


def unreadable_routes(monkeypatch, odd):
    watching = a_runtime(monkeypatch)
    monkeypatch.setattr(runtime.RouteTable, "check_readable", odd)
    return watching


def engine(monkeypatch, odd):
    monkeypatch.setattr(InProcessExecutor, "look_after", odd)
    return a_runtime(monkeypatch)


def measurements(monkeypatch, odd):
    monkeypatch.setattr(runtime, "flush", odd)
    return a_runtime(monkeypatch)


def steward(monkeypatch, odd):
    odd._then = lambda: EMPTY
    return Steward(
        InProcessExecutor(FakeBackend()), table=odd, wanted=no_models, on_change=lambda: None
    )._thread


def a_reporter(**given):
    given = {
        "state": lambda: "ready",
        "followed": lambda: 1,
        "holdings": list,
        "has_waiting": lambda: False,
        **given,
    }
    return reporter.Reporter(
        process.ProcessRole("web", "serves", "", 8), InProcessExecutor(FakeBackend()), **given
    )._thread


def report(monkeypatch, odd):
    odd._then = gone  # what follows would ask the database
    monkeypatch.setattr(reporter.services, "announce_lost", lambda: None)
    return a_reporter(state=odd)


def waiting_splits(monkeypatch, odd):
    odd._then = lambda: False
    monkeypatch.setattr(reporter.services, "announce_lost", lambda: None)
    monkeypatch.setattr(reporter.services, "report", lambda *_: None)
    return a_reporter(has_waiting=odd)


def lost_engines(monkeypatch, odd):
    monkeypatch.setattr(reporter.services, "report", lambda *_: None)
    monkeypatch.setattr(reporter.services, "announce_lost", odd)
    return a_reporter()


def watch(monkeypatch, odd):
    monkeypatch.setattr(
        worker_process.WATCHES, "_items", {"queue": (1, lambda: worker_process.QueueProgress(True, 7))}
    )
    return worker_process.WorkerWatchdog(0.01, end=odd)._thread


def route_push(monkeypatch, odd):
    odd._then = gone
    monkeypatch.setattr(push.redis.Redis, "from_url", odd)
    return push.PushListener("redis://127.0.0.1:1/0", lambda: None)._thread


def some_tokens():
    return SimpleNamespace(
        wanted=threading.Event(),
        requests=lambda: [("key", 1, 1, 1)],
        use_shared_counter=lambda: None,
        settle=lambda *_: None,
        use_local_share=lambda: None,
        drop_idle=lambda: 0,
    )


def limits(monkeypatch, odd):
    return Refiller(some_tokens(), SimpleNamespace(take=odd, sweep=lambda _: None))._thread


def limits_of_past_minutes(monkeypatch, odd):
    return Refiller(some_tokens(), SimpleNamespace(take=lambda *_: 1, sweep=odd))._thread


def grpc_health(monkeypatch, odd):
    odd._then = lambda: runtime.RuntimeReport("ready", 1)
    monkeypatch.setattr(grpc_server.runtime, "report", odd)
    return grpc_server._Health(SimpleNamespace(wait_for=lambda told: told.close()))._thread


def a_job_runner(monkeypatch, *, niceness=None, **ledger):
    calm = {"waiting_in_turn": lambda _: [], "renew": lambda _: [], "free_expired": lambda: 0}
    for name, call in {**calm, **ledger}.items():
        monkeypatch.setattr(jobs.ledger, name, call)
    return jobs.JobRunner(pool=None, threads=1, niceness=niceness)


def taking_jobs(monkeypatch, odd):
    odd._then = list
    return a_job_runner(monkeypatch, waiting_in_turn=odd)._threads


def job_leases(monkeypatch, odd):
    odd._then = list
    return a_job_runner(monkeypatch, renew=odd)._leases


def ended_job_leases(monkeypatch, odd):
    return a_job_runner(monkeypatch, free_expired=odd)._leases


def cores_of_jobs(monkeypatch, odd):
    monkeypatch.setattr(jobs.LowPriority, "rebalance", odd)
    return a_job_runner(monkeypatch, niceness=19)._leases


def orders(monkeypatch, odd):
    odd._then = gone
    return QueueReader("orders", odd, print, threads=1)._threads


def batches(monkeypatch, odd):
    odd._then = gone
    monkeypatch.setattr(consumer.broker, "connections", odd)
    engine = SimpleNamespace(loop=shared_loop())
    return consumer.BatchConsumer("redis://127.0.0.1:1/0", engine, pool="infer", at_once=1)._thread


def reply_lane(monkeypatch, odd):
    odd._then = gone
    monkeypatch.setattr(lane.broker, "connections", odd)
    return lane.Lane("redis://127.0.0.1:1/0", shared_loop())._thread


LOOPS = [
    routes, unreadable_routes, engine, measurements, steward, report, waiting_splits, lost_engines, watch, route_push,
    limits, limits_of_past_minutes, grpc_health, taking_jobs, job_leases, ended_job_leases, cores_of_jobs, orders,
    batches, reply_lane,
]  # fmt: skip
each_loop = pytest.mark.parametrize("loop", LOOPS, ids=lambda loop: loop.__name__)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(loops.Backoff, "after", lambda self, failures: 0.001)


@each_loop
def test_what_nobody_foresaw_ends_no_loop(loop, monkeypatch):
    odd = Odd()
    group = loop(monkeypatch, odd)

    group.start()

    assert odd.was_called_again.wait(WAIT_S)
    group.stop(WAIT_S)


@each_loop
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_without_the_guard_it_does(loop, monkeypatch):
    """The control: the loop runs in the thread as if it were its own code."""
    monkeypatch.setattr(loops.Rounds, "attempt", lambda rounds: rounds._loop.work())
    odd = Odd()
    group = loop(monkeypatch, odd)

    group.start()
    for thread in group._threads:
        thread.join(WAIT_S)

    assert not any(thread.is_alive() for thread in group._threads)
    assert not odd.was_called_again.is_set()
