"""Background threads: nothing that is raised ends one, failures are waited out, and told without their text."""

import re
import threading
from itertools import count

import pytest
from django.db import DatabaseError, OperationalError
from structlog.testing import capture_logs

from registry.kit import loops
from registry.kit.loops import Attempts, Backoff, Loop, Rounds, ThreadGroup
from tests.support.processes import ROOT

WAIT_S = 20
QUICK = Backoff(first_s=0.001, longest_s=0.001)


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


class Work:
    """Raises these errors one after the other, and nothing afterwards."""

    def __init__(self, *errors):
        self.errors = list(errors)
        self.rounds = 0
        self.went_well = threading.Event()

    def __call__(self):
        self.rounds += 1
        if self.errors:
            raise self.errors.pop(0)
        self.went_well.set()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def group():
    made = []

    def start(*loops_, **more):
        made.append(ThreadGroup("test", *loops_, **more))
        made[-1].start()
        return made[-1]

    yield start
    for one in made:
        one.stop()


def test_a_backoff_doubles_up_to_its_limit():
    assert [Backoff(1, 30).after(failures) for failures in (1, 2, 3, 4, 5, 6, 7, 10_000)] == [
        1, 2, 4, 8, 16, 30, 30, 30,
    ]  # fmt: skip


def test_pauses_grow_while_it_fails_and_are_short_again_after_a_success(clock):
    work = Work(ValueError(), ValueError(), ValueError())
    rounds = Rounds(Loop("test", work, every_s=7.0, backoff=Backoff(1, 30)), "test", clock)
    pauses = []

    for error in (None, None, None, None, ValueError()):
        if error is not None:
            work.errors.append(error)
        rounds.attempt()
        pauses.append(rounds.due_at - clock.now)
        clock.now = rounds.due_at

    assert pauses == [1, 2, 4, 7, 1]


def test_more_to_do_is_done_at_once(clock):
    rounds = Rounds(Loop("test", lambda: True, every_s=7.0), "test", clock)

    rounds.attempt()

    assert rounds.due_at == clock.now


def test_who_is_woken_is_due_now_but_after_a_failure_not_before_the_shortest_pause(clock):
    work = Work()
    rounds = Rounds(Loop("test", work, every_s=60, backoff=Backoff(1, 30)), "test", clock)
    rounds.attempt()
    rounds.hasten()
    assert rounds.due_at == clock.now

    work.errors = [ValueError(), ValueError(), ValueError()]
    for _ in range(3):
        rounds.attempt()
    assert rounds.due_at == clock.now + 4
    rounds.hasten()

    assert rounds.due_at == clock.now + 1


def test_a_loop_that_is_not_woken_keeps_its_time(clock):
    rounds = Rounds(Loop("test", Work(), every_s=60, is_woken=False), "test", clock)
    rounds.attempt()

    rounds.hasten()

    assert rounds.due_at == clock.now + 60


def test_what_is_expected_is_a_warning_and_all_else_an_error_with_its_traceback():
    work = Work(DatabaseError("away"), odd := KeyError("odd"))
    rounds = Rounds(Loop("test", work, meanwhile="nothing is done"), "test", Clock())

    with capture_logs() as logs:
        rounds.attempt()
        rounds.attempt()
        rounds.attempt()

    assert logs == [
        {"event": "a background loop fails", "log_level": "warning", "loop": "test", "failures": 1,
         "again_in_s": 1.0, "meanwhile": "nothing is done", "reason": "away"},
        {"event": "a background loop fails", "log_level": "error", "loop": "test", "failures": 2,
         "again_in_s": 2.0, "meanwhile": "nothing is done", "exc_info": odd},
        {"event": "a background loop works again", "log_level": "info", "loop": "test", "failures": 2},
    ]  # fmt: skip


def test_the_report_names_the_loop_and_the_class_and_nothing_else(group):
    failed_twice, go_on = threading.Event(), threading.Event()
    rounds = count(1)

    def work():
        match next(rounds):
            case 1 | 2:
                raise RuntimeError("password=secret")
            case 3:
                failed_twice.set()
                assert go_on.wait(WAIT_S)

    before = loops.running()
    started = group(Loop("test", work, every_s=60, backoff=QUICK))
    assert failed_twice.wait(WAIT_S)

    (failing,) = loops.failing()
    assert (failing.name, failing.failures, failing.error) == ("test", 2, "RuntimeError")
    assert "secret" not in repr(failing)
    assert loops.running() == before + 1
    go_on.set()
    started.stop()
    assert loops.failing() == []
    assert loops.running() == before


def test_a_round_that_takes_long_may_say_that_it_works(clock):
    errors = Work(ValueError(), ValueError(), ValueError())

    def work():
        if errors.rounds == 2:
            loops.note_success()
        errors()

    rounds = Rounds(Loop("test", work), "test", clock)
    for _ in range(3):
        rounds.attempt()

    assert rounds.failing.failures == 1


@pytest.mark.parametrize("error", [ValueError("odd"), DatabaseError("away")], ids=["odd", "database"])
def test_a_thread_goes_on_after_an_error(group, error):
    work = Work(error)

    group(Loop("test", work, every_s=60, backoff=QUICK))

    assert work.went_well.wait(WAIT_S)


def test_one_loop_of_a_thread_that_fails_does_not_hold_up_the_others(group):
    always, rounds = threading.Event(), count(1)

    def fail():
        raise ValueError

    def others():
        if next(rounds) == 5:
            always.set()

    group(Loop("bad", fail, backoff=Backoff(60, 60)), Loop("good", others, every_s=0.001))

    assert always.wait(WAIT_S)
    assert [one.name for one in loops.failing()] == ["bad"]


def test_a_wake_up_ends_a_long_wait(group):
    rounds = threading.Semaphore(0)
    started = group(Loop("test", rounds.release, every_s=3600))
    assert rounds.acquire(timeout=WAIT_S)

    started.wake()

    assert rounds.acquire(timeout=WAIT_S)


@pytest.mark.parametrize("work", [Work(), Work(ValueError())], ids=["waits", "backs off"])
def test_a_stop_ends_a_wait_at_once(work):
    has_worked = threading.Event()

    def once():
        has_worked.set()
        work()

    started = ThreadGroup("test", Loop("test", once, every_s=3600, backoff=Backoff(3600, 3600)), threads=3)
    started.start()
    assert has_worked.wait(WAIT_S)

    started.stop(within_s=WAIT_S)

    assert not any(thread.is_alive() for thread in started._threads)


def test_a_loop_may_stop_its_own_thread():
    stopped = threading.Event()

    def work():
        started.stop()
        stopped.set()

    started = ThreadGroup("test", Loop("test", work))
    started.start()

    assert stopped.wait(WAIT_S)
    started.stop()


def test_a_group_that_was_never_started_can_be_stopped():
    ThreadGroup("test", Loop("test", pytest.fail)).stop()


def test_each_thread_of_a_group_is_prepared_and_has_its_own_failures(group):
    prepared, failed, have_failed, go_on = [], set(), threading.Barrier(3), threading.Event()

    def prepare():
        prepared.append(threading.current_thread().name)
        raise ValueError("goes on all the same")

    def work():
        if (name := threading.current_thread().name) not in failed:
            failed.add(name)
            raise ValueError
        have_failed.wait(WAIT_S)
        assert go_on.wait(WAIT_S)

    group(Loop("test", work, every_s=60, backoff=QUICK), threads=2, on_start=prepare)
    have_failed.wait(WAIT_S)

    assert sorted(prepared) == ["test-1", "test-2"]
    assert {(one.name, one.failures) for one in loops.failing()} == {("test-1", 1), ("test-2", 1)}
    go_on.set()


class TestAttempts:
    def test_all_are_made_and_the_first_error_is_raised(self):
        done, errors = [], {2: ValueError("two"), 4: KeyError("four")}

        def work(number):
            if number in errors:
                raise errors[number]
            done.append(number)

        with capture_logs() as logs, pytest.raises(ValueError, match="two"), Attempts() as attempt:
            for number in range(1, 6):
                attempt(work, number)

        assert done == [1, 3, 5]
        assert [line["exc_info"] for line in logs] == [errors[4]]

    def test_results_are_handed_on(self):
        with Attempts() as attempt:
            assert attempt(max, 1, 2) == 2

    def test_a_database_that_is_away_ends_them(self):
        def away():
            raise OperationalError

        with pytest.raises(OperationalError), Attempts() as attempt:
            attempt(away)
            pytest.fail("each more would wait for its own time-out")


# A thread of its own is for what is done once. Whatever is done over and over is a Loop.
ONCE = {
    "inference/checks/proofs.py": "one proof, made in a child that has a limit",
    "inference/engine/loop.py": "one event loop, which survives what is called on it",
    "inference/engine/pool.py": "one load, waited for with a limit; the engine imports no Django",
    "inference/engine/threads.py": "the engine imports no Django; what it runs raises nothing",
    "inference/engine/watchdog.py": "the engine imports no Django; what raises is logged, and it goes on",
    "inference/serving/runtime.py": "drains once, then ends the process",
    "inference/serving/worker_process.py": "one call of each stop hook",
    "platform/roundhouse/worker.py": "waits once, then ends the process",
    "platform/roundhouse/management/commands/serve.py": "ends when the server is ready",
    "registry/kit/loops.py": "the one that runs loops",
    "registry/record/fetcher/client.py": "one look-up of a name, waited for with a limit",
}


def starts_threads(source):
    return re.search(r"\b(Thread|Timer|start_new_thread)\(", source) is not None


def test_every_thread_that_goes_on_is_a_loop():
    found = {
        str(path.relative_to(ROOT))
        for folder in ("inference", "registry", "moderation", "platform")
        for path in (ROOT / folder).rglob("*.py")
        if starts_threads(path.read_text())
    }

    assert found == set(ONCE)
