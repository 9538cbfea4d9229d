"""The session pool: byte budget, leases, one load for many callers, eviction by worth, swaps without a gap."""

import os
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from inference.engine.backends import ProbeFact, SessionOptions
from inference.engine.errors import (
    EngineStopped,
    LoadFailed,
    NotLoaded,
    NotProbed,
    OverBudget,
    StillLoading,
    WarmUpFailed,
)
from inference.engine.fake import FakeBackend, FakeModel, FakeSession
from inference.engine.pool import LoadOrder, SessionPool
from tests.support.together import in_threads

MIB = 1 << 20
OPTIONS = SessionOptions()
LONG_S = 30.0


def fact_for(options=OPTIONS, **changes):
    return replace(ProbeFact("0" * 64, "fake-1", "FakeExecutionProvider", options.digest), **changes)


def order_for(name, options=OPTIONS, **more):
    return LoadOrder(Path(f"/nowhere/{name}"), options, fact_for(options), **more)


@dataclass
class Watched:
    """Stands for what the engine builds on a session; tells when it was retired under a call."""

    session: FakeSession
    inside: int = 0
    retired_while_inside: bool = False
    is_retired: bool = False


@dataclass
class House:
    """A pool over a fake backend, with what a test wants to look at afterwards."""

    room: int = 3
    models: dict[str, FakeModel] = field(default_factory=dict)
    make: Callable = lambda session, profile: Watched(session)
    loading: Callable = lambda path: None
    made: list = field(default_factory=list)

    def __post_init__(self):
        self.backend = FakeBackend(self.models)
        self.models = self.backend.models
        load = self.backend.load

        def slow_load(path, options):
            self.loading(path)
            return load(path, options)

        self.backend.load = slow_load
        self.pool = SessionPool(
            self.backend, self._make, budget_bytes=self.room * MIB, retire=self._retire, measure=lambda: 0
        )

    def _make(self, session, profile):
        item = self.make(session, profile)
        self.made.append(item)
        return item

    def _retire(self, item):
        item.is_retired = True
        item.retired_while_inside = item.inside > 0

    def serve(self, name, **more):
        self.pool.load(name, order_for(name, **more), timeout_s=LONG_S)

    def swap(self, name):
        """Load it with other options."""
        self.serve(name, options=SessionOptions(intra_op_threads=2))

    def names(self):
        return {line.key for line in self.pool.held()}

    def loads(self, name):
        return sum(path.name == name for path in self.backend.loads)


def house_with(*names, **more):
    house = House(**more)
    for name in names:
        house.serve(name)
    return house


def test_what_is_loaded_is_leased_with_what_was_made_of_it():
    house = House()
    house.serve("a", max_batch=4)

    with house.pool.acquire("a") as item:
        assert item is house.made[0]
        assert [line.leases for line in house.pool.held()] == [1]

    (line,) = house.pool.held()
    assert (line.leases, line.hits, list(line.profile), line.footprint_bytes) == (0, 2, [1, 2, 4], MIB)


def test_what_is_not_loaded_is_told():
    with pytest.raises(NotLoaded):
        House().pool.acquire("a")


@pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2,
    reason="there is one core, or no Linux",
)
def test_session_may_use_every_core_though_who_asked_for_it_stays_on_one():
    seen = []
    house = House(loading=lambda path: seen.append(os.sched_getaffinity(0)))

    def ask_from_one_core():
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        house.serve("a")

    asking = threading.Thread(target=ask_from_one_core)
    asking.start()
    asking.join()

    assert seen == [os.sched_getaffinity(0)]


def test_a_lease_may_be_released_twice():
    house = house_with("a")
    lease = house.pool.acquire("a")

    lease.release()
    lease.release()

    assert house.pool.held()[0].leases == 0


class TestProbe:
    WRONG = {
        "file": fact_for(sha256="1" * 64),
        "runtime": fact_for(runtime_version="fake-0"),
        "provider": fact_for(provider="CUDAExecutionProvider"),
        "options": fact_for(options_digest=SessionOptions(intra_op_threads=2).digest),
    }

    @pytest.mark.parametrize("name", WRONG)
    def test_what_another_probe_has_passed_is_refused(self, name):
        house = House()
        order = replace(order_for("a", SessionOptions(expected_sha256="0" * 64)), probed=self.WRONG[name])

        with pytest.raises(NotProbed, match=f"a different {name}"):
            house.pool.load("a", order, timeout_s=LONG_S)

        assert house.names() == set() and house.pool.used_bytes == 0
        assert house.backend.loads == [] or name == "provider"  # the provider is only known after

    def test_the_right_fact_passes(self):
        """Negative control of the table above."""
        house = House()

        house.pool.load("a", order_for("a", SessionOptions(expected_sha256="0" * 64)), timeout_s=LONG_S)

        assert house.names() == {"a"}

    def test_the_backend_is_told_which_bytes_to_expect(self):
        house, seen = House(), []
        load = house.backend.load
        house.backend.load = lambda path, options: seen.append(options.expected_sha256) or load(path, options)

        house.serve("a")

        assert seen == ["0" * 64]


class TestFailedLoads:
    @pytest.mark.parametrize(
        ("model", "error"),
        [(FakeModel(fails_to_load=True), LoadFailed), (FakeModel(max_rows=1), WarmUpFailed)],
        ids=["load", "warm-up"],
    )
    def test_give_every_byte_back_and_leave_nothing(self, model, error):
        house = House(models={"a": model})

        with pytest.raises(error):
            house.serve("a", max_batch=2)

        assert house.names() == set() and house.pool.used_bytes == 0
        assert house.pool.close(timeout_s=LONG_S)

    def test_a_failing_make_closes_the_session(self):
        sessions = []

        def make(session, profile):
            sessions.append(session)
            raise ZeroDivisionError

        house = House(make=make)

        with pytest.raises(LoadFailed, match="ZeroDivisionError"):
            house.serve("a")

        assert sessions[0].is_closed and house.pool.used_bytes == 0

    def test_are_tried_again_by_the_next_caller(self):
        house = House(models={"a": FakeModel(fails_to_load=True)})
        with pytest.raises(LoadFailed):
            house.serve("a")
        house.models["a"] = FakeModel()

        house.serve("a")

        assert house.names() == {"a"}

    def test_every_waiting_caller_gets_the_error(self):
        gate = threading.Event()
        house = House(models={"a": FakeModel(fails_to_load=True)}, loading=lambda path: gate.wait(LONG_S))

        def work(number):
            if number == 0:
                gate.set()
            with pytest.raises(LoadFailed):
                house.pool.acquire("a", order_for("a"), timeout_s=LONG_S)

        assert in_threads(8, work) == []


class TestSingleFlight:
    def test_many_callers_of_a_missing_version_share_one_load(self):
        gate, waiting = threading.Event(), threading.Semaphore(0)
        house = House(loading=lambda path: gate.wait(LONG_S))

        def work(number):
            waiting.release()
            with house.pool.acquire("a", order_for("a"), timeout_s=LONG_S) as item:
                assert not item.session.is_closed

        def open_gate():
            for _ in range(8):
                waiting.acquire()
            gate.set()

        opener = threading.Thread(target=open_gate)
        opener.start()
        errors = in_threads(8, work)
        opener.join()

        assert errors == []
        assert house.loads("a") == 1

    def test_a_caller_leaves_when_its_time_is_over_and_the_load_goes_on(self):
        gate = threading.Event()
        house = House(loading=lambda path: gate.wait(LONG_S))

        with pytest.raises(StillLoading):
            house.pool.acquire("a", order_for("a"), timeout_s=0.0)
        gate.set()

        with house.pool.acquire("a", order_for("a"), timeout_s=LONG_S):
            assert house.loads("a") == 1

    def test_without_sharing_each_caller_would_load(self):
        """Negative control: the same callers under keys of their own load eight times."""
        house = House(room=8)

        assert in_threads(8, lambda n: house.pool.load(n, order_for("a"), timeout_s=LONG_S)) == []
        assert house.loads("a") == 8


class TestEviction:
    def test_the_least_worth_goes(self):
        house = house_with("hot", "cold", room=2)
        for _ in range(1000):
            house.pool.acquire("hot").release()

        house.serve("new")

        assert house.names() == {"hot", "new"}
        assert house.pool.used_bytes == 2 * MIB

    def test_what_was_dear_once_and_is_not_used_grows_cheap(self):
        house = House(room=2)
        house.serve("once")
        for _ in range(100):
            house.pool.acquire("once").release()

        for number in range(2000):
            house.serve(number)
            house.pool.acquire(number).release()
            if "once" not in house.names():
                return

        pytest.fail("An unused version was never evicted.")

    def test_never_under_a_lease_the_load_waits(self):
        house = house_with("a", room=1)
        lease = house.pool.acquire("a")
        item = lease.item
        item.inside = 1
        loaded = threading.Thread(target=house.serve, args=("b",))
        loaded.start()
        while not house.pool._waiting_for_room:
            pass

        assert not item.is_retired and house.names() == {"a"}
        item.inside = 0
        lease.release()
        loaded.join()

        assert house.names() == {"b"}
        assert item.is_retired and item.session.is_closed and not item.retired_while_inside

    def test_without_the_lease_it_would_be_evicted(self):
        """Negative control: the check `retired_while_inside` sees an eviction under a call that holds no lease."""
        house = house_with("a", room=1)
        item = house.made[0]
        item.inside = 1

        house.serve("b")

        assert item.retired_while_inside

    def test_a_pinned_version_stays_until_it_is_unpinned(self):
        house = House(room=2, models={"big": FakeModel(footprint=2 * MIB)})
        house.pool.pin("a")
        house.serve("a")
        for name in ("b", "c", "d"):
            house.serve(name)

        assert house.names() == {"a", "d"}
        house.pool.unpin("a")
        house.serve("big")
        assert house.names() == {"big"}


class TestOverBudget:
    def test_says_the_sum_at_once_where_only_pins_stand_in_the_way(self):
        house = House(room=2, models={"big": FakeModel(footprint=2 * MIB)})
        house.pool.pin("a")
        house.serve("a")

        with pytest.raises(
            OverBudget,
            match=r"needs 2\.0 MiB\. Of the 2\.0 MiB .+ 1\.0 MiB must stay loaded .+ raise the memory budget",
        ):
            house.serve("big")

        assert house.names() == {"a"} and house.pool.used_bytes == MIB

    def test_what_stands_in_use_is_waited_for_only_as_long_as_a_caller_waits(self):
        house = house_with("a", room=1)

        with house.pool.acquire("a"), pytest.raises((OverBudget, StillLoading)):
            house.pool.load("b", order_for("b"), timeout_s=0.05)

        assert house.names() == {"a"}

    def test_a_footprint_measured_larger_than_expected_counts(self):
        growth = iter([0, 0, 0, 2 * MIB])  # before and after the warm-up, of two loads
        house = House(room=3)
        house.pool._measure = lambda: next(growth)

        house.serve("a")
        house.serve("b")

        assert house.names() == {"b"}
        assert house.pool.used_bytes == 3 * MIB

    def test_what_did_not_fit_is_refused_before_it_is_loaded_again(self):
        house = House(room=2, models={"big": FakeModel(footprint=2 * MIB)})
        house.pool.pin("a")
        house.serve("a")

        for _ in range(3):
            with pytest.raises(OverBudget):
                house.serve("big")

        assert [path.name for path in house.backend.loads] == ["a", "big"]

    def test_what_is_known_not_to_fit_is_never_loaded(self):
        house = House(room=2)

        with pytest.raises(OverBudget, match=r"needs 3\.0 MiB with batches of 8.+lower its max_batch_rows"):
            house.pool.load("b", order_for("b", expected_bytes=3 * MIB, max_batch=8), timeout_s=LONG_S)

        assert house.backend.loads == []

    def test_another_largest_batch_is_measured_again(self):
        """What 64 rows took says nothing of 8."""
        house = House(room=8)
        growth = iter([0, 6 * MIB, 0, MIB])
        house.pool._measure = lambda: next(growth)
        house.pool.load("a", order_for("a", max_batch=64), timeout_s=LONG_S)

        house.pool.unload("a")
        house.pool.load("a", order_for("a", max_batch=8), timeout_s=LONG_S)

        assert house.pool.used_bytes == 2 * MIB

    def test_what_was_measured_by_itself_counts_and_not_the_growth_of_a_busy_process(self):
        house = House(room=8)
        growth = iter([0, 6 * MIB])
        house.pool._measure = lambda: next(growth)

        house.pool.load("a", order_for("a", expected_bytes=2 * MIB), timeout_s=LONG_S)

        assert house.pool.used_bytes == 2 * MIB

    def test_the_budget_is_shared_by_the_engines_of_a_device(self):
        pool = SessionPool(
            FakeBackend(), lambda session, profile: session, budget_bytes=8 * MIB, engines_on_device=4
        )

        assert pool.share_bytes == 2 * MIB

    def test_a_swap_needs_room_for_both_and_the_old_one_serves_on(self):
        house = house_with("a", room=1)

        with pytest.raises(OverBudget):
            house.swap("a")

        with house.pool.acquire("a") as item:
            assert item is house.made[0] and not item.session.is_closed


class TestSwap:
    def test_publishes_only_what_is_warm_and_keeps_the_old_until_then(self):
        house = house_with("a", room=2)
        house.models["a"] = FakeModel(max_rows=1)
        other = SessionOptions(intra_op_threads=2)

        with pytest.raises(WarmUpFailed):
            house.pool.load("a", order_for("a", other, max_batch=2), timeout_s=LONG_S)
        with house.pool.acquire("a") as item:
            assert item is house.made[0]

        house.models["a"] = FakeModel()
        house.pool.load("a", order_for("a", other, max_batch=2), timeout_s=LONG_S)
        with house.pool.acquire("a") as item:
            assert item is house.made[1] and item.session.runs[:1] == [1]

    def test_the_old_one_is_closed_when_its_last_call_has_left(self):
        house = house_with("a", room=2)
        lease = house.pool.acquire("a")

        house.swap("a")
        assert not lease.item.is_retired and house.pool.used_bytes == 2 * MIB

        lease.release()
        assert lease.item.is_retired and lease.item.session.is_closed and house.pool.used_bytes == MIB

    def test_the_same_order_again_does_nothing(self):
        house = house_with("a")

        house.serve("a")

        assert house.loads("a") == 1

    def test_a_hundred_swaps_under_load_lose_no_call_and_mix_no_versions(self):
        """Each version multiplies by its own number; an answer is right if one version gave all of it."""
        house = House(room=8)
        done, calls, wrong = threading.Event(), [], []
        orders = [order_for("a", SessionOptions(intra_op_threads=number + 1)) for number in range(100)]
        house.pool.load("a", orders[0], timeout_s=LONG_S)

        def work(number):
            if number == 0:
                for order in orders[1:]:
                    house.pool.load("a", order, timeout_s=LONG_S)
                done.set()
                return
            while not done.is_set():
                with house.pool.acquire("a") as item:
                    item.inside += 1
                    answer = item.session.run({"x": np.full((2, 4), number, np.float32)})["y"]
                    if item.session.is_closed or item.is_retired or (answer != 2 * number).any():
                        wrong.append(number)
                    item.inside -= 1
                calls.append(number)

        assert in_threads(5, work) == []
        assert wrong == [] and len(calls) >= 100
        assert len(house.made) == 100 and not any(item.retired_while_inside for item in house.made)
        assert [item.is_retired for item in house.made] == [True] * 99 + [False]


class TestClose:
    def test_waits_for_calls_inside_then_closes_everything(self):
        house = house_with("a", "b")
        lease = house.pool.acquire("a")

        assert not house.pool.close(timeout_s=0.01)
        assert not lease.item.session.is_closed
        lease.release()

        assert house.pool.close(timeout_s=LONG_S)
        assert all(item.session.is_closed for item in house.made) and house.pool.used_bytes == 0

    def test_refuses_what_comes_after(self):
        house = House()
        house.pool.close(timeout_s=LONG_S)

        with pytest.raises(EngineStopped):
            house.pool.acquire("a", order_for("a"), timeout_s=LONG_S)
        with pytest.raises(EngineStopped):
            house.serve("a")

    def test_ends_a_load_that_is_under_way(self):
        loading, gate = threading.Event(), threading.Event()
        house = House(loading=lambda path: (loading.set(), gate.wait(LONG_S)))
        errors = []

        def call():
            try:
                house.serve("a")
            except EngineStopped as error:
                errors.append(error)

        caller = threading.Thread(target=call)
        caller.start()
        loading.wait()
        assert not house.pool.close(timeout_s=0.0)
        gate.set()
        caller.join()

        assert len(errors) == 1
        assert house.pool.close(timeout_s=LONG_S)
        assert all(item.session.is_closed for item in house.made) and house.pool.used_bytes == 0

    def test_unloading_closes_when_idle_and_tells_whether_there_was_something(self):
        house = house_with("a")

        assert house.pool.unload("a") and not house.pool.unload("a")
        assert house.made[0].session.is_closed and house.pool.used_bytes == 0


def test_sixteen_threads_load_call_and_unload_two_hundred_times_each():
    house = House(room=4)
    in_use = []

    def work(number):
        dice = random.Random(number)
        for _ in range(200):
            name = dice.randrange(10)
            with house.pool.acquire(name, order_for(str(name)), timeout_s=LONG_S) as item:
                if item.session.is_closed or item.is_retired:
                    in_use.append(name)
            if dice.random() < 0.2:
                house.pool.unload(name)

    assert in_threads(16, work) == []
    assert in_use == []
    open_items = [item for item in house.made if not item.session.is_closed]
    assert house.pool.used_bytes == len(open_items) * MIB == len(house.names()) * MIB
    assert len(open_items) <= 4
    assert house.pool.close(timeout_s=LONG_S)
    assert all(item.session.is_closed for item in house.made) and house.pool.used_bytes == 0
