"""Every accepted request ends exactly once, whatever happens to its run."""

import asyncio
import gc
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from inference.engine.batch_runs import BatchConfig
from inference.engine.batcher import Batcher
from inference.engine.combiner import Combiner, Priority, QueueLimits
from inference.engine.errors import (
    Cancelled,
    DeadlineExceeded,
    EngineStopped,
    OutputTooLarge,
    Overloaded,
    RunFailed,
    RunStuck,
    RunTimedOut,
    SlotLost,
)
from inference.engine.fake import DEATH, HANG, NOT_A_NUMBER, POISON, ROWS, FakeModel, FakeSession
from inference.engine.latency import CostCurve, FixedPace
from inference.engine.loop import EngineLoop
from inference.engine.requests import Cancellation, EngineAnswer, EngineRequest
from inference.engine.threads import Runners
from inference.tensors.arrays import byte_size
from inference.tensors.errors import InferenceError
from inference.tensors.signature import Signature, TensorSpec
from tests.support.batchers import a_batcher, a_request, shared_loop
from tests.support.processes import wait_until
from tests.support.together import in_threads

PATIENCE_S = 20  # how long a test waits for what must happen; reached only by a fault


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class Stage:
    """A batcher over a fake session, callers in threads, and a first run that lasts until `release`."""

    def __init__(
        self,
        model=None,
        *,
        clock=time.monotonic,
        max_batch_rows=32,
        wait_s=0.0,
        session=None,
        curve=None,
        threads=None,
        is_elsewhere=False,
        **config,
    ):
        self.model = model or FakeModel()
        self.model.on_run = self.on_run
        self.session = session or FakeSession(self.model)
        self.clock = clock
        self.hard_limits = 0
        self.batcher = a_batcher(
            Elsewhere(self.session) if is_elsewhere else self.session,
            BatchConfig(**{"merges": True, "limits": QueueLimits(lease_s=60), **config}),
            pace=FixedPace(max_batch_rows, wait_s),
            curve=curve,
            on_hard_limit=self.count_hard_limit,
            clock=clock,
            **(threads or {}),
        )
        self.threads = []
        self.endings = {}
        self.runners = []
        self.entered = threading.Event()
        self.released = threading.Event()
        self.offered = threading.Semaphore(0)
        offer = self.batcher._combiner.offer

        def offer_and_tell(ticket, now):
            offer(ticket, now)
            self.offered.release()

        self.batcher._combiner.offer = offer_and_tell

    def count_hard_limit(self):
        self.hard_limits += 1

    def on_run(self, rows):
        self.runners.append(threading.current_thread().name)
        if not self.entered.is_set():
            self.entered.set()
            assert self.released.wait(PATIENCE_S)

    def infer(self, value, rows=1, patience_s=60.0, **kwargs):
        tensors = {"x": np.full((rows, 4), value, np.float32)}
        request = EngineRequest(tensors, self.clock() + patience_s, **kwargs)
        return self.batcher.infer_from_thread(tensors, request)

    def call(self, value, **kwargs):
        """Call in a thread, and come back when the request has been accepted."""
        name = len(self.threads)

        def body():
            try:
                self.endings[name] = self.infer(value, **kwargs)
            except BaseException as error:  # noqa: BLE001 - the ending is what is tested
                self.endings[name] = error

        self.threads.append(threading.Thread(target=body, daemon=True))
        self.threads[-1].start()
        assert self.offered.acquire(timeout=PATIENCE_S)
        return name

    def hold(self, value=0.0):
        """Occupy the slot with a run that lasts until `release`."""
        name = self.call(value)
        assert self.entered.wait(PATIENCE_S)
        return name

    def release(self):
        self.released.set()

    def finish(self):
        """Let all runs end, and wait for everybody."""
        self.release()
        self.join()

    def join(self, *names):
        for name in names or range(len(self.threads)):
            self.threads[name].join(PATIENCE_S)
            assert not self.threads[name].is_alive(), f"request {name} never ended"

    def value(self, name):
        return self.endings[name].outputs["y"].tolist()


class Elsewhere:
    """The same session behind the other seam: awaited on the loop, while a thread of the test plays the other process."""

    provider = "elsewhere"

    def __init__(self, session):
        self._session, self.signature = session, session.signature
        self.most_patient = []

    async def ask(self, inputs, outputs, *, ends_at):
        self.most_patient.append(ends_at)
        runner = ThreadPoolExecutor(1)
        try:
            return await asyncio.get_running_loop().run_in_executor(
                runner, self._session.run, inputs, outputs
            )
        finally:
            runner.shutdown(wait=False)

    def footprint_bytes(self):
        return self._session.footprint_bytes()


@pytest.fixture(params=["here", "elsewhere"])
def stage(request):
    stages = []

    def make(*args, **kwargs):
        stages.append(Stage(*args, is_elsewhere=request.param == "elsewhere", **kwargs))
        return stages[-1]

    yield make
    for made in stages:
        made.release()
        made.model.released.set()
        made.join()


here_only = pytest.mark.parametrize("stage", ["here"], indirect=True)
elsewhere_only = pytest.mark.parametrize("stage", ["elsewhere"], indirect=True)


def held(s):
    """A stage whose slot is occupied until `release`."""
    s.hold()
    return s


def free(s):
    """A stage whose runs end at once."""
    s.entered.set()
    return s


def test_a_lone_caller_is_answered(stage):
    s = free(stage())

    answer = s.infer(3.0)

    assert answer.outputs["y"].tolist() == [[6.0] * 4]
    assert (answer.batch_rows, answer.non_finite) == (1, False)


def test_callers_that_arrive_during_a_run_share_the_next_one_and_get_their_own_rows(stage):
    s = held(stage())
    names = [s.call(float(i), rows=i) for i in (1, 2, 3)]
    s.finish()

    assert s.session.runs == [1, 6]
    for name, i in zip(names, (1, 2, 3), strict=True):
        assert s.value(name) == [[2.0 * i] * 4] * i
        assert s.endings[name].batch_rows == 6


def test_a_batch_never_exceeds_its_rows_but_a_bigger_request_runs_alone(stage):
    s = held(stage(max_batch_rows=4))
    for rows in (3, 2, 9, 1):
        s.call(1.0, rows=rows)
    s.finish()

    assert s.session.runs == [1, 3, 2, 9, 1]


def test_requests_of_other_shapes_or_outputs_do_not_merge(stage):
    s = held(stage())
    s.call(1.0)
    s.call(1.0, outputs=("y",))
    s.finish()

    assert s.session.runs == [1, 1, 1]


def test_two_slots_run_two_batches_at_once(stage):
    model = FakeModel()
    both = threading.Barrier(2, timeout=PATIENCE_S)
    s = stage(model, limits=QueueLimits(slots=2, lease_s=60))
    model.on_run = lambda rows: both.wait()

    s.call(1.0)
    s.call(2.0)
    s.join()

    assert s.value(0) == [[2.0] * 4]


# What a model's outputs may look like.


def signature(outputs, first=None):
    return Signature((TensorSpec("x", "FP32", (first, 4)),), outputs)


def test_outputs_without_the_batch_axis_are_copied_to_each(stage):
    outputs = (TensorSpec("y", "FP32", (None, 4)), TensorSpec("classes", "FP32", (3,)))
    s = held(stage(FakeModel(signature(outputs))))
    first, second = s.call(1.0), s.call(2.0)
    s.finish()

    mine, theirs = (s.endings[name].outputs["classes"] for name in (first, second))
    assert mine.shape == theirs.shape == (3,)
    assert not np.shares_memory(mine, theirs)


def test_outputs_of_undeclared_shape_are_taken_apart_like_others(stage):
    s = stage(FakeModel(signature((TensorSpec("y", "FP32", (), any_rank=True),))))
    s.session._answer = lambda spec, array: 2 * array
    s.hold()
    first, second = s.call(1.0), s.call(2.0)
    s.finish()

    assert s.session.runs == [1, 2]
    assert (s.value(first), s.value(second)) == ([[2.0] * 4], [[4.0] * 4])


def test_a_model_with_a_fixed_batch_axis_runs_singly(stage):
    s = held(stage(FakeModel(signature(ROWS.outputs, first=1))))
    s.call(1.0)
    s.call(2.0)
    s.finish()

    assert s.session.runs == [1, 1, 1]


class Selecting(FakeSession):
    """Answers as many rows as it likes: its dynamic output axis is not the batch axis."""

    def run(self, inputs, outputs=None, *, soft_limit_s=None):
        answer = super().run(inputs, outputs, soft_limit_s=soft_limit_s)
        return {"y": answer["y"][:1].repeat(7, axis=0)}


def test_a_result_of_another_length_is_run_again_singly_and_nothing_merges_after_that(stage):
    model = FakeModel()
    s = held(stage(model, session=Selecting(model)))
    names = [s.call(float(i)) for i in (1, 2)]
    s.finish()
    s.infer(3.0)

    assert s.session.runs == [1, 2, 1, 1, 1]
    assert [s.value(name) for name in names] == [[[2.0] * 4] * 7, [[4.0] * 4] * 7]


def test_answers_share_no_memory_with_each_other_or_with_a_batch(stage):
    s = held(stage())
    first, second = s.call(1.0), s.call(2.0)
    s.finish()
    kept = s.value(second)

    s.endings[first].outputs["y"][:] = -1
    s.infer(5.0, rows=2)

    assert s.value(second) == kept


def test_only_the_request_whose_output_is_not_finite_is_flagged(stage):
    s = held(stage())
    flagged, clean = s.call(NOT_A_NUMBER), s.call(1.0)
    s.finish()

    assert s.endings[flagged].non_finite is True
    assert s.endings[clean].non_finite is False
    assert s.batcher.stats().non_finite == 1


def test_nan_shares_a_run_like_any_other_number(stage):
    s = held(stage())
    gap, neighbour = s.call(float("nan")), s.call(1.0)
    s.finish()

    assert s.session.runs == [1, 2]
    assert s.value(neighbour) == [[2.0] * 4]
    assert [s.endings[name].non_finite for name in (gap, neighbour)] == [True, False]


ROW_BYTES = 16


def test_an_answer_above_the_limit_is_refused_and_says_what_it_has_and_may_have(stage):
    s = free(stage(max_output_bytes=3 * ROW_BYTES))
    assert len(s.infer(1.0, rows=3).outputs["y"]) == 3

    with pytest.raises(OutputTooLarge, match=r"has 64 bytes.*`max_output_bytes` allows 48"):
        s.infer(1.0, rows=4)

    assert s.batcher.stats().ended["output_too_large"] == 1


def test_of_a_shared_run_only_the_answer_above_the_limit_is_refused(stage):
    s = held(stage(max_output_bytes=3 * ROW_BYTES))
    names = [s.call(1.0, rows=rows) for rows in (3, 4, 2)]
    s.finish()

    assert s.session.runs == [1, 9]
    assert [type(s.endings[name]) for name in names] == [EngineAnswer, OutputTooLarge, EngineAnswer]
    assert s.batcher.stats().ended["output_too_large"] == 1


def test_what_was_refused_is_not_kept(stage):
    """An error keeps the frames that it passed, and these what they hold, until a collection comes by."""
    s = free(stage(max_output_bytes=ROW_BYTES))
    answers = []
    run = s.session.run

    def noting(*args, **kwargs):
        outputs = run(*args, **kwargs)
        answers.append(weakref.ref(outputs["y"]))
        return outputs

    s.session.run = noting
    gc.disable()
    try:
        with pytest.raises(OutputTooLarge) as refused:
            s.infer(1.0, rows=9)
        wait_until(lambda: answers[0]() is None, within_s=PATIENCE_S, what="the end of the answer")
        assert refused.value.__traceback__ is not None
    finally:
        gc.enable()


def test_texts_count_with_their_characters():
    texts = np.array(["a" * 1000, ""], object)

    assert 1000 < byte_size({"y": texts}) < 1200
    assert byte_size({"y": np.zeros(5, np.float32), "z": np.zeros(5, np.int64)}) == 60


def test_inputs_of_unequal_rows_run_as_they_were_sent_and_alone(stage):
    s = stage()
    s.released.set()
    query_and_documents = {"x": np.zeros((2, 4)), "z": np.zeros((3, 4))}

    answer = s.batcher.infer_from_thread(query_and_documents, a_request(query_and_documents))

    assert (answer.outputs["y"].shape, s.session.runs) == ((2, 4), [2])


def test_a_failed_run_of_unequal_rows_says_how_many_there_were(stage):
    s = stage()
    s.released.set()

    unlike = {"x": np.full((2, 4), POISON), "z": np.zeros((3, 4))}

    with pytest.raises(RunFailed, match="different numbers of rows: 'x' 2, 'z' 3"):
        s.batcher.infer_from_thread(unlike, a_request(unlike))


def test_a_request_without_rows_is_answered_without_rows(stage):
    s = free(stage())

    assert s.infer(1.0, rows=0).outputs["y"].shape == (0, 4)


# One request's bad input never fails its neighbours.


def isolates(s, position, callers=32):
    """Run `callers` requests as one batch, with poison at one position; say how they ended."""
    s.hold()
    names = [s.call(POISON if i == position else float(i)) for i in range(callers)]
    s.finish()
    right = [i for i, name in enumerate(names) if not isinstance(s.endings[name], InferenceError)]
    assert all(s.value(names[i]) == [[2.0 * i] * 4] for i in right)
    return right, s.endings[names[position]]


@pytest.mark.parametrize("position", [0, 7, 31], ids=["first", "middle", "last"])
def test_one_poison_in_a_batch_fails_only_itself(stage, position):
    s = stage()

    right, ending = isolates(s, position)

    assert right == [i for i in range(32) if i != position]
    assert isinstance(ending, RunFailed)
    assert s.session.runs == [1, 32] + [1] * 32


def test_without_splitting_one_poison_fails_its_neighbours(stage, monkeypatch):
    monkeypatch.setattr(Combiner, "fail", lambda self, batch, error, now: self.lose(batch, RunFailed, now))

    right, _ = isolates(stage(), 7)

    assert right == []  # negative control of the test above


@here_only
def test_a_request_that_hangs_costs_its_neighbours_no_answer(stage):
    s = held(stage(soft_limit_s=0.01))
    hanging, beside = s.call(HANG), s.call(1.0)
    s.finish()

    assert isinstance(s.endings[hanging], RunTimedOut)
    assert s.value(beside) == [[2.0] * 4]


class Raising(FakeSession):
    def run(self, inputs, outputs=None, *, soft_limit_s=None):
        raise OSError("/secret/path")


def test_whatever_a_runtime_raises_ends_as_a_typed_error_without_its_text(stage):
    s = stage(session=Raising(FakeModel()))

    with pytest.raises(RunFailed) as caught:
        s.infer(1.0)

    assert "secret" not in str(caught.value)


# The run is lost.


def everybody_ends_with_slot_lost(s):
    s.hold()
    victims = [s.call(DEATH), s.call(1.0), s.call(2.0)]
    later = [s.call(5.0, outputs=("y",)) for _ in range(3)]
    s.finish()
    assert all(isinstance(s.endings[name], SlotLost) for name in victims)
    assert all(s.value(name) == [[10.0] * 4] for name in later)


@pytest.mark.parametrize("death", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_when_a_run_would_end_its_thread_its_batch_ends_and_the_next_one_runs(stage, death):
    s = stage(FakeModel(death=death))

    everybody_ends_with_slot_lost(s)

    assert s.batcher.health().is_ok


def test_without_the_guard_a_dead_run_leaves_its_batch_waiting(stage, monkeypatch):
    monkeypatch.setattr(Combiner, "lose", lambda self, batch, error, now: None)
    monkeypatch.setattr("tests.unit.inference.engine.test_batcher.PATIENCE_S", 0.2)
    s = stage(FakeModel(death=SystemExit))

    with pytest.raises(AssertionError, match="never ended"):  # negative control of the test above
        everybody_ends_with_slot_lost(s)

    monkeypatch.undo()
    shared_loop().call(lambda: s.batcher._combiner.lose(s.batcher._combiner.running[0], SlotLost, 0.0), 9)
    s.batcher.health()


def test_an_error_of_ours_after_a_run_keeps_no_answer_from_its_caller(stage, monkeypatch):
    s = free(stage())
    monkeypatch.setattr(s.batcher, "_learn", lambda *_: 1 / 0)

    for _ in range(2):
        assert s.infer(1.0).outputs["y"].tolist() == [[2.0] * 4]


@here_only
def test_where_no_thread_is_to_be_had_requests_end_at_once(stage):
    class NoThreads:
        def run(self, work):
            raise RuntimeError("can't start new thread")

    s = stage(threads={"runners": NoThreads()})

    with pytest.raises(SlotLost):
        s.infer(1.0)


def is_over(s):
    wait_until(lambda: s.batcher.health().is_ok, within_s=PATIENCE_S, what="the lost run comes back")


def waiters_take_over(s):
    """The run that hangs keeps its thread; the next batch gets another one."""
    hanging = s.call(HANG)
    waiting = [s.call(1.0, patience_s=2.0), s.call(2.0, patience_s=2.0)]
    s.join(*waiting)
    assert [s.value(name) for name in waiting] == [[[2.0] * 4], [[4.0] * 4]]
    assert not s.batcher.health().is_ok  # the lost run is still inside
    s.model.released.set()
    s.join()
    assert isinstance(s.endings[hanging], SlotLost)
    is_over(s)


def test_when_a_lease_ends_those_who_wait_take_the_slot(stage):
    s = free(stage(FakeModel(honours_soft_limit=False), limits=QueueLimits(lease_s=0.05)))

    waiters_take_over(s)


def test_without_leases_a_hanging_run_blocks_everybody_until_their_deadline(stage, monkeypatch):
    monkeypatch.setattr(Combiner, "expire", lambda self, now: [])
    s = free(stage(FakeModel(honours_soft_limit=False), limits=QueueLimits(lease_s=0.05)))
    s.call(HANG)
    waiting = s.call(1.0, patience_s=0.2)
    s.join(waiting)

    assert isinstance(s.endings[waiting], DeadlineExceeded)  # negative control of the test above


def runs_at_once(s):
    """Ten callers of a session that hangs, each noticing that the lease before has ended."""
    for _ in range(10):
        s.call(HANG)
        s.batcher.health()
        s.clock.now += 2.0
        s.batcher.health()
    return len(s.batcher._running_since)


def test_lost_runs_stop_the_version_from_starting_more(stage):
    s = free(
        stage(
            FakeModel(honours_soft_limit=False),
            clock=Clock(),
            limits=QueueLimits(lease_s=1.5),
            hard_limit_s=1e9,
        )
    )

    assert runs_at_once(s) == 2

    s.model.released.set()
    s.join()
    is_over(s)


def test_without_that_every_caller_would_start_another_run(stage, monkeypatch):
    monkeypatch.setattr(Batcher, "_update_slots", lambda self: None)
    s = free(
        stage(
            FakeModel(honours_soft_limit=False),
            clock=Clock(),
            limits=QueueLimits(lease_s=1.5),
            hard_limit_s=1e9,
        )
    )

    assert runs_at_once(s) > 2  # negative control of the test above


def test_waiters_in_the_hanging_batch_itself_end_with_the_lease(stage):
    clock = Clock()
    s = held(stage(FakeModel(honours_soft_limit=False), clock=clock, limits=QueueLimits(lease_s=1.5)))
    inside = [s.call(HANG), s.call(1.0)]
    second_run = threading.Event()
    s.model.on_run = lambda rows: second_run.set()
    s.release()
    assert second_run.wait(PATIENCE_S)
    clock.now = 1.6

    health = s.batcher.health()

    s.join(inside[1])
    assert health.lost_runs == 1
    assert isinstance(s.endings[inside[1]], SlotLost)


def test_a_run_past_its_hard_limit_breaks_the_version_once(stage):
    clock = Clock()
    s = free(
        stage(
            FakeModel(honours_soft_limit=False),
            clock=clock,
            limits=QueueLimits(lease_s=1.5),
            hard_limit_s=10.0,
        )
    )
    s.call(HANG)
    s.batcher.health()

    clock.now = 9.9
    s.batcher.check_hard_limit()
    assert not s.batcher.health().is_broken
    clock.now = 10.0
    s.batcher.check_hard_limit()
    assert s.batcher.health().is_broken
    s.batcher.check_hard_limit()

    assert s.hard_limits == 1
    with pytest.raises(RunStuck):
        s.infer(1.0)
    assert s.batcher.drain(0.0) is False


# Deadlines, cancellation, admission, the end.


def test_a_caller_leaves_at_its_deadline_and_its_work_is_not_run(stage):
    s = held(stage())
    waiting = s.call(1.0, patience_s=0.05)
    s.join(waiting)
    s.finish()

    assert isinstance(s.endings[waiting], DeadlineExceeded)
    assert s.session.runs == [1]


def test_a_caller_leaves_at_its_deadline_although_its_run_goes_on(stage):
    s = stage()
    name = s.call(1.0, patience_s=0.05)
    s.join(name)

    assert isinstance(s.endings[name], DeadlineExceeded)
    assert s.batcher.stats().ended == {"deadline_exceeded": 1}


def test_a_cancelled_request_ends_at_once_and_is_not_run(stage):
    s = held(stage())
    cancellation = Cancellation()
    waiting = s.call(1.0, cancellation=cancellation)
    cancellation.cancel()
    s.join(waiting)
    s.finish()

    assert isinstance(s.endings[waiting], Cancelled)
    assert s.session.runs == [1]


def test_a_request_cancelled_before_it_came_is_not_answered(stage):
    s = free(stage())
    cancellation = Cancellation()
    cancellation.cancel()

    with pytest.raises(Cancelled):
        s.infer(1.0, cancellation=cancellation)

    assert s.batcher.health().is_ok


def test_overload_is_refused_at_once_and_what_was_accepted_is_answered(stage):
    s = held(stage(limits=QueueLimits(max_waiting_rows=4, lease_s=60), max_batch_rows=4))
    accepted = [s.call(float(i)) for i in range(4)]

    for _ in range(100):  # on this thread, while the run goes on: a refusal waits for nothing
        with pytest.raises(Overloaded):
            s.infer(1.0)
    s.finish()

    assert [s.value(name) for name in accepted] == [[[2.0 * i] * 4] for i in range(4)]
    ended = s.batcher.stats().ended
    assert ended == {"ok": 5, "overloaded": 100}


def test_without_admission_the_same_load_would_all_be_waiting(stage):
    s = held(stage(max_batch_rows=4))
    for i in range(20):
        s.call(float(i))

    assert s.batcher.stats().depth == 20  # negative control of the test above


def test_shadows_wait_for_live_requests(stage):
    s = held(stage(max_batch_rows=1))
    shadow, live = s.call(1.0, priority=Priority.SHADOW), s.call(2.0)
    order = []
    s.model.on_run = lambda rows: order.append(dict(s.endings))
    s.finish()

    assert s.value(shadow) == [[2.0] * 4] and s.value(live) == [[4.0] * 4]
    assert all(name != shadow for name in order[0])


def test_draining_answers_what_was_accepted_and_refuses_the_rest(stage):
    s = held(stage())
    waiting = s.call(1.0)

    assert s.batcher.drain(0.0) is False
    with pytest.raises(EngineStopped):
        s.infer(2.0)
    s.release()
    assert s.batcher.drain(PATIENCE_S) is True
    s.join()

    assert s.value(waiting) == [[2.0] * 4]


def test_closing_ends_what_waits_at_once(stage):
    s = held(stage())
    waiting = s.call(1.0)

    s.batcher.close()
    s.join(waiting)

    assert isinstance(s.endings[waiting], EngineStopped)
    s.release()
    assert s.batcher.drain(PATIENCE_S) is True


def test_a_short_wait_lets_a_batch_fill(stage):
    s = free(stage(max_batch_rows=2, wait_s=60.0))
    first = s.call(1.0)

    answer = s.infer(2.0)
    s.join()

    assert answer.batch_rows == 2
    assert s.value(first) == [[2.0] * 4]


def test_a_short_wait_ends_by_itself(stage):
    s = free(stage(wait_s=0.01))

    assert s.infer(1.0).batch_rows == 1


def test_many_callers_each_get_their_own_rows(stage):
    s = free(stage())
    wrong = []

    def body(seed):
        values = np.random.default_rng(seed)
        for _ in range(200):
            x = values.random((int(values.integers(1, 4)), 4), np.float32)
            answer = s.batcher.infer_from_thread({"x": x}, a_request({"x": x}, within_s=PATIENCE_S))
            if not np.array_equal(answer.outputs["y"], 2 * x):
                wrong.append(x)

    assert in_threads(8, body) == []

    assert not wrong
    stats = s.batcher.stats()
    assert stats.ended == {"ok": 1600} and sum(stats.queue_us) == 1600
    assert 0 <= stats.queue_s < PATIENCE_S
    assert (stats.depth, stats.running) == (0, 0)


def test_every_caller_is_answered_when_several_batches_run_at_once():
    model = FakeModel()
    model.on_run = lambda *_: time.sleep(0.0005)
    batcher = a_batcher(
        FakeSession(model), BatchConfig(QueueLimits(slots=2, lease_s=60), merges=True), pace=FixedPace(32)
    )
    slowest = []

    def call_often(_):
        waits, tensors = [], {"x": np.ones((1, 2), np.float32)}
        for _ in range(100):
            began = time.monotonic()
            batcher.infer_from_thread(tensors, EngineRequest(tensors, began + PATIENCE_S))
            waits.append(time.monotonic() - began)
        slowest.append(max(waits))

    assert in_threads(16, call_often) == []

    assert max(slowest) < PATIENCE_S / 2  # who is forgotten waits until the deadline


class Unreachable(FakeSession):
    def run(self, inputs, outputs=None, *, soft_limit_s=None):
        super().run(inputs, outputs)
        raise Overloaded("away")


def test_retryable_error_ends_a_batch_as_a_whole(stage):
    """What is wrong with the way to a worker is not made better by sending every request for itself."""
    model = FakeModel()
    s = held(stage(model, session=Unreachable(model)))
    for value in (1.0, 2.0, 3.0):
        s.call(value)
    s.finish()

    assert [str(ending) for ending in s.endings.values()] == ["away"] * 4
    assert s.session.runs == [1, 3]


# Tasks of the loop.


def together(s, values, **more):
    """One request for each value from tasks of one turn of the loop."""

    async def ask(value):
        tensors = {"x": np.full((1, 4), value, np.float32)}
        return await s.batcher.infer(tensors, a_request(tensors, **more))

    async def ask_all():
        return await asyncio.gather(*map(ask, values), return_exceptions=True)

    return asyncio.run_coroutine_threadsafe(ask_all(), shared_loop().asyncio).result(PATIENCE_S)


def test_what_arrives_in_one_turn_of_the_loop_is_one_batch(stage):
    s = free(stage())

    answers = together(s, [1.0, 2.0, 3.0])

    assert s.session.runs == [3]
    assert [answer.outputs["y"][0, 0] for answer in answers] == [2.0, 4.0, 6.0]


def test_a_refusal_reaches_the_task_that_asked(stage):
    s = held(stage(limits=QueueLimits(max_waiting_rows=1, lease_s=60)))
    s.call(1.0)

    assert [type(answer) for answer in together(s, [1.0, 2.0])] == [Overloaded, Overloaded]


def test_a_task_that_is_cancelled_withdraws_its_request(stage):
    s = held(stage())

    async def ask_and_leave():
        tensors = {"x": np.ones((1, 4), np.float32)}
        task = asyncio.ensure_future(s.batcher.infer(tensors, a_request(tensors)))
        while not s.batcher.stats().depth:
            await asyncio.sleep(0)
        task.cancel()
        return await asyncio.gather(task, return_exceptions=True)

    ending = asyncio.run_coroutine_threadsafe(ask_and_leave(), shared_loop().asyncio).result(PATIENCE_S)
    s.finish()

    assert isinstance(ending[0], asyncio.CancelledError)
    assert s.session.runs == [1]


# Where a batch runs.

QUICK = {1: 1e-5, 32: 2e-5}


def quick(stage, *, is_steady=True, ladder=QUICK, **more):
    """A model whose runs are short by its curve; one has shown that already."""
    s = free(stage(FakeModel(is_steady=is_steady), curve=CostCurve(ladder), **more))
    s.infer(1.0)
    s.runners.clear()
    return s


@here_only
def test_a_run_that_is_short_beyond_doubt_is_on_the_loop(stage):
    s = quick(stage)

    s.infer(1.0)

    assert s.runners == ["engine-loop"]


@here_only
@pytest.mark.parametrize(
    "setting",
    [
        {"is_steady": False},
        {"ladder": {1: 0.0015, 32: 0.01}},
        {"priority": Priority.BULK},
        {"rows": 5},
    ],
    ids=["loops or another device", "too long", "bulk", "larger than any before"],
)
def test_other_runs_are_on_threads(stage, setting):
    asked = {name: setting.pop(name) for name in ("priority", "rows") if name in setting}
    s = quick(stage, **setting)

    s.infer(1.0, **asked)

    assert s.runners == ["test-run"]


@here_only
def test_batches_that_bulk_leads_have_threads_of_their_own(stage):
    s = free(stage(threads={"bulk_runners": Runners("bulk")}))

    s.infer(1.0, priority=Priority.BULK)
    s.infer(1.0)

    assert s.runners == ["bulk", "test-run"]


def spin(seconds):
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


@here_only
def test_a_version_that_kept_the_loop_for_long_runs_on_threads_from_then_on(stage):
    s = quick(stage)
    s.model.on_run = lambda rows: (s.on_run(rows), spin(0.011))

    for _ in range(3):
        s.infer(1.0)

    assert s.runners[0] == "engine-loop"
    assert s.runners[-2:] == ["test-run"] * 2


@here_only
def test_a_run_that_takes_too_long_on_the_loop_goes_on_on_a_thread_and_is_answered(stage):
    s = quick(stage, soft_limit_s=PATIENCE_S)
    s.model.on_run = lambda rows: (s.on_run(rows), s.model.released.set() if len(s.runners) > 1 else None)

    answer = s.infer(HANG)

    assert answer.outputs["y"].tolist() == [[2 * HANG] * 4]
    assert s.runners == ["engine-loop", "test-run"]
    assert s.batcher.stats().ended == {"ok": 2}


@here_only
def test_a_poisoned_run_on_the_loop_fails_only_itself(stage):
    s = quick(stage)

    answers = together(s, [1.0, POISON])

    assert answers[0].outputs["y"][0, 0] == 2.0
    assert isinstance(answers[1], RunFailed)


# The loop is stuck.


@elsewhere_only
def test_a_batch_elsewhere_may_take_as_long_as_its_most_patient_caller_waits(stage):
    s = held(stage(clock=Clock()))
    for patience_s in (3.0, 9.0, 6.0):
        s.call(1.0, patience_s=patience_s)
    s.finish()

    assert s.batcher.session.most_patient == [60.0, 9.0]


class Stuck:
    """A loop of its own, kept by something that does not end."""

    def __enter__(self):
        self.loop = EngineLoop.in_thread()
        self.over, entered = threading.Event(), threading.Event()
        self.loop.post(lambda: (entered.set(), self.over.wait(PATIENCE_S)))
        assert entered.wait(PATIENCE_S)
        return self

    def __exit__(self, *_):
        self.over.set()
        self.loop.close()


def test_threads_leave_a_stuck_loop_soon_after_their_deadline(stage):
    with Stuck() as stuck:
        s = stage(threads={"loop": stuck.loop})

        with pytest.raises(DeadlineExceeded):
            s.infer(1.0, patience_s=0.0)

        assert not s.batcher.health(timeout_s=0.01).is_moving


def test_the_next_thread_of_a_batch_is_woken_although_the_one_before_it_has_left(stage):
    s = held(stage())
    first, second = s.call(1.0), s.call(2.0)
    calls = list(s.batcher._combiner._all_waiting())
    real = calls[0].sleep
    calls[0].sleep = threading.Lock()  # it never wakes up
    calls[0].sleep.acquire()
    s.release()
    wait_until(lambda: calls[0].result is not None, within_s=PATIENCE_S, what="the batch has ended")
    shared_loop().post(lambda: s.batcher._abandon(calls[0]))

    s.join(second)

    real.release()
    s.join(first)
    assert s.value(second) == [[4.0] * 4]


def test_a_run_that_never_ends_is_seen_although_the_loop_is_stuck(stage):
    clock = Clock()
    with Stuck() as stuck:
        s = stage(threads={"loop": stuck.loop}, clock=clock, hard_limit_s=10.0)
        s.batcher._running_since["one"] = 0.0  # as a run on the loop itself would be noted
        clock.now = 10.0

        s.batcher.check_hard_limit()

        assert s.hard_limits == 1
