"""Versions that nobody approved: they answer from children of this process, and whatever they do stays there."""

import os
from dataclasses import replace

import numpy as np
import pytest

from inference.engine.batcher import Cancellation
from inference.engine.errors import (
    Cancelled,
    DeadlineExceeded,
    LoadFailed,
    RunCrashed,
    RunFailed,
    RunTimedOut,
    SlotLost,
    StillLoading,
)
from inference.engine.loop import complete
from inference.serving.executors import inprocess
from inference.serving.executors.inprocess import InProcessExecutor
from inference.serving.executors.sandbox import ChildDeath, SandboxBackend
from inference.serving.routes import read_table
from inference.tensors.errors import RequestTooLarge, WrongDtype
from registry.catalogue.services import change_serving
from tests.support.batchers import a_request
from tests.support.factories import an_actor
from tests.support.live_models import put_ready
from tests.support.onnx_models import CRASHES_AT, crashing_at, endless, identity, missing_as_zero, scaled
from tests.support.processes import family_of, wait_until

pytestmark = pytest.mark.django_db(transaction=True)
FINE = {"x": [[CRASHES_AT - 1]]}  # divides by -2
FATAL = {"x": [[CRASHES_AT]]}


def children():
    return [pid for pid, command in family_of(os.getpid()).items() if "trial_child" in command]


@pytest.fixture
def deaths():
    return []


@pytest.fixture
def executor(deaths):
    made = InProcessExecutor(on_death=deaths.append)
    yield made
    made.close(timeout_s=10)
    assert children() == []


def a_target(path, slug="untried"):
    version = put_ready(slug, path)
    return read_table().targets_by_id[version.pk]


def ask(executor, target, inputs=FINE, within_s=30.0, **more):
    return complete(executor.infer(target, a_request(inputs, within_s=within_s, **more)))


def in_process(executor):
    return [held.key for held in executor._engine.versions()]


class TestAnswering:
    def test_it_answers_from_a_child(self, executor, tmp_path):
        target = a_target(crashing_at(tmp_path / "m.onnx"))

        answer = ask(executor, target)

        assert answer.outputs["y"].tolist() == [[2**62]]
        assert (len(children()), in_process(executor)) == (1, [])
        assert executor.is_warm(target)
        assert [(held.target, held.state, held.use) for held in executor.holdings()] == [
            (target, "warm", "on_demand")
        ]
        assert executor.meters()[target.version_id].rows == 1

    def test_an_approved_one_answers_here(self, executor, tmp_path):
        target = replace(a_target(scaled(tmp_path / "m.onnx", 2.0)), is_approved=True)

        answer = ask(executor, target, {"x": [[1, 2, 3, 4]]})

        assert answer.outputs["y"].tolist() == [[2, 4, 6, 8]]
        assert (children(), in_process(executor)) == ([], [target.version_id])

    def test_its_child_goes_when_it_is_approved(self, executor, tmp_path):
        target = a_target(scaled(tmp_path / "m.onnx", 2.0))
        ask(executor, target, {"x": [[1, 2, 3, 4]]})

        executor.hold(frozenset({replace(target, is_approved=True)}))

        assert (children(), in_process(executor)) == ([], [target.version_id])

    def test_a_shadow_is_held_in_a_child(self, executor, tmp_path):
        target = a_target(scaled(tmp_path / "m.onnx", 2.0))

        executor.hold(frozenset({target}))
        held = executor.is_warm(target), executor.warm_versions(), len(children()), in_process(executor)
        executor.retain_only(frozenset())

        assert held == (True, 1, 1, [])
        assert children() == []

    def test_its_signature_is_known_and_its_inputs_are_checked_as_ever(self, executor, tmp_path):
        target = a_target(missing_as_zero(tmp_path / "m.onnx"))
        missing = {"x": [[float("nan"), 1, 2, 3]]}

        signature = complete(executor.signature(target, timeout_s=30))
        with pytest.raises(WrongDtype, match="allow_non_finite"):
            ask(executor, target, missing)
        with pytest.raises(RequestTooLarge):
            ask(executor, target, {"x": np.zeros((1_000, 4), np.float32)})

        assert [spec.name for spec in signature.inputs] == ["x"]
        assert ask(executor, target, missing, allow_non_finite=True).outputs["y"].tolist() == [[0, 1, 2, 3]]

    @pytest.mark.parametrize("texts", [[b"\xff\xfe", b"ab"], [b"\xff", b"abc"], ["ünï", "a"]])
    def test_texts_come_as_they_went(self, executor, tmp_path, texts):
        """Those that are no UTF-8 travel in arrays of bytes; the runtime cannot hand them out again."""
        target = a_target(identity(tmp_path / "m.onnx", "BYTES", ("rows",)))

        try:
            told = ask(executor, target, {"x": np.array(texts, object)}).outputs["y"].tolist()
        except RunFailed as error:
            told = error.code

        assert told == (texts if isinstance(texts[0], str) else "output_not_text")


class TestLimits:
    def test_a_withdrawn_request_and_a_late_one_end_as_ever(self, executor, tmp_path):
        target = a_target(crashing_at(tmp_path / "m.onnx"))
        ask(executor, target)
        withdrawn = Cancellation()
        withdrawn.cancel()

        with pytest.raises(Cancelled):
            ask(executor, target, cancellation=withdrawn)
        with pytest.raises(DeadlineExceeded):
            ask(executor, target, within_s=-1)

    def test_who_cannot_wait_for_its_start_is_told_so(self, executor, tmp_path):
        target = a_target(crashing_at(tmp_path / "m.onnx"))

        with pytest.raises(StillLoading):
            ask(executor, target, within_s=0.01)
        assert ask(executor, target).outputs["y"].tolist() == [[2**62]]

    def test_a_run_without_end_is_ended(self, executor, tmp_path, monkeypatch):
        target = a_target(scaled(tmp_path / "m.onnx", 2.0))
        executor._plan(target)
        endless(tmp_path / "endless.onnx")
        session = SandboxBackend(lambda death: None).load(
            tmp_path / "endless.onnx", executor._plan(target).order.options
        )
        try:
            with pytest.raises(RunTimedOut):
                session.run({"x": np.zeros((1, 4), np.float32)}, soft_limit_s=0.2)
        finally:
            session.close()

    def test_few_are_there_at_once_and_the_longest_idle_one_goes(self, executor, tmp_path):
        targets = [a_target(crashing_at(tmp_path / f"{n}.onnx", CRASHES_AT + n), f"m{n}") for n in range(3)]

        for target in targets:
            ask(executor, target)
        wait_until(lambda: len(children()) == 2, within_s=10, what="two children")

        assert [executor.is_warm(target) for target in targets] == [False, True, True]

    def test_an_idle_one_goes(self, executor, tmp_path, monkeypatch):
        target = a_target(crashing_at(tmp_path / "m.onnx"))
        ask(executor, target)

        executor.look_after()
        stays = len(children())
        monkeypatch.setattr(inprocess, "_CHILD_IDLE_S", 0.0)
        executor.look_after()

        assert (stays, children()) == (1, [])


class TestCrashing:
    def test_a_crash_ends_the_child_and_its_request(self, executor, deaths, tmp_path):
        target = a_target(crashing_at(tmp_path / "m.onnx"))

        with pytest.raises(RunCrashed, match="SIGFPE"):
            ask(executor, target, FATAL)

        assert deaths == [ChildDeath(target.version_id, "SIGFPE")]
        assert (children(), executor.is_warm(target)) == ([], False)

    def test_it_rests_longer_each_time_before_it_is_started_again(self, tmp_path):
        path, now, deaths = crashing_at(tmp_path / "m.onnx"), [1_000.0], []
        backend = SandboxBackend(deaths.append, clock=lambda: now[0])
        target = a_target(path)
        options = replace(inprocess.plans.session_options(), label=target.version_id)
        rests = []
        for _ in range(3):
            session = backend.load(path, options)
            with pytest.raises(RunCrashed):
                session.run({"x": np.array(FATAL["x"], np.int64)})
            with pytest.raises(SlotLost):  # whoever waited behind it has done nothing wrong
                session.run({"x": np.array(FINE["x"], np.int64)})
            session.close()
            began = now[0]
            while True:
                try:
                    backend.load(path, options).close()
                    break
                except StillLoading:
                    now[0] += 1.0
            rests.append(now[0] - began)

        assert rests == [1, 2, 4]
        assert len(deaths) == 3

    def test_a_child_that_somebody_else_ended_is_not_the_versions_fault(self, executor, deaths, tmp_path):
        target = a_target(crashing_at(tmp_path / "m.onnx"))
        ask(executor, target)

        os.kill(children()[0], 9)
        with pytest.raises(SlotLost):
            ask(executor, target)

        assert deaths == [ChildDeath(target.version_id)]

    def test_a_file_that_does_not_load_is_refused(self, tmp_path):
        (tmp_path / "m.onnx").write_bytes(b"no model")

        with pytest.raises(LoadFailed):
            SandboxBackend(lambda death: None).load(tmp_path / "m.onnx", inprocess.plans.session_options())


def test_serving_settings_hold_in_the_child_too(executor, tmp_path):
    target = a_target(missing_as_zero(tmp_path / "m.onnx"))
    version = target.version_id
    from registry.catalogue.models import Version

    change_serving(
        version=Version.objects.get(pk=version), changes={"allow_non_finite": True}, reason="x", by=an_actor()
    )

    answer = ask(executor, read_table().targets_by_id[version], {"x": [[float("nan"), 1, 2, 3]]})

    assert answer.outputs["y"].tolist() == [[0, 1, 2, 3]]
