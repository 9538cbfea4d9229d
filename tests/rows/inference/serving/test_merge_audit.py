"""What a proof misses, an audit ends: everywhere, on the record, and told."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from inference.engine.batch_runs import BatchConfig
from inference.engine.fake import FakeBackend, FakeModel, FakeSession
from inference.engine.latency import FixedPace
from inference.engine.loop import complete
from inference.engine.merge import RARELY, AuditSample, Sampler
from inference.serving.merge_audit import MergeAudit, end_merging
from inference.serving.runtime import Runtime
from registry.catalogue import artifacts
from registry.catalogue.selectors import current_serving
from registry.catalogue.services import change_serving
from registry.record.models import AuditRecord, Event
from tests.support.batchers import a_batcher, a_request
from tests.support.factories import a_model, a_split, a_version, an_actor
from tests.support.processes import wait_until
from tests.support.proofs import record_proof

PATIENCE_S = 20
ODD = 5.0  # a row that begins so changes its neighbours


class Mixing(FakeSession):
    """Rows mix where one of them begins with ODD."""

    def run(self, inputs, outputs=None, *, soft_limit_s=None):
        answer = super().run(inputs, outputs, soft_limit_s=soft_limit_s)
        x = np.asarray(inputs["x"])
        if len(x) > 1 and (x[:, 0] == ODD).any():
            answer["y"] = answer["y"][::-1].copy()
        return answer


class MixingBackend(FakeBackend):
    def load(self, path, options):
        return Mixing(super().load(path, options).model)


def hold_first(model):
    """Keep the first run in the session until `release`, so that those who come meanwhile share the next."""
    entered, release = threading.Event(), threading.Event()

    def on_run(rows):
        if not entered.is_set():
            entered.set()
            assert release.wait(PATIENCE_S)

    model.on_run = on_run
    return entered, release


def ask_together(ask, waiting, firsts, entered, release):
    """Ask once, and while that runs so many times more."""
    with ThreadPoolExecutor(1 + len(firsts)) as callers:
        callers.submit(ask, 0.0)
        assert entered.wait(PATIENCE_S)
        asked = {first: callers.submit(ask, first) for first in firsts}
        wait_until(lambda: waiting() == len(firsts), within_s=PATIENCE_S, what="all wait")
        release.set()
        return {first: one.result(PATIENCE_S) for first, one in asked.items()}


def row(first):
    return {"x": np.array([[first, 1, 2, 3]], np.float32)}


class TestBatcher:
    def ask_together(self, firsts, *, has_auditor=True):
        model = FakeModel()
        entered, release = hold_first(model)
        self.session = Mixing(model)
        self.sampled = threading.Event()
        more = {"on_sample": self.sampled.set} if has_auditor else {}
        self.batcher = a_batcher(self.session, BatchConfig(merges=True), pace=FixedPace(8), **more)
        return ask_together(
            lambda first: self.batcher.infer_from_thread(row(first), a_request(row(first))).outputs["y"],
            lambda: self.batcher.stats().depth,
            firsts,
            entered,
            release,
        )

    def test_an_answer_that_is_right_by_itself_too_passes(self):
        self.ask_together([1.0, 2.0])

        assert self.sampled.is_set() and self.batcher.has_samples
        assert self.batcher.audit(timeout_s=PATIENCE_S) is None
        assert self.batcher._rules.merges

    def test_an_answer_that_is_another_by_itself_ends_merging(self):
        answers = self.ask_together([1.0, ODD])
        assert answers[1.0][0, 0] == 2 * ODD  # the wrong answer that the proof did not foresee

        found = self.batcher.audit(timeout_s=PATIENCE_S)

        assert found == (
            "Output 'y' of a request that shared a run differs by 8 from its output when it runs alone."
        )
        assert not self.batcher._rules.merges
        self.batcher.merge_up_to(8)
        assert not self.batcher._rules.merges

    def test_audits_are_counted_nowhere(self):
        self.ask_together([1.0, 2.0])
        before = self.batcher.stats()

        while self.batcher.has_samples:
            self.batcher.audit(timeout_s=PATIENCE_S)

        after = self.batcher.stats()
        assert (after.batches, after.rows, after.ended) == (before.batches, before.rows, before.ended)
        assert len(self.session.runs) > before.batches

    def test_an_audit_that_finds_no_room_is_dropped(self):
        self.ask_together([1.0, ODD])
        self.batcher.close()

        assert self.batcher.audit(timeout_s=0.0) is None
        assert self.batcher._rules.merges

    def test_nothing_is_sampled_where_nobody_audits(self):
        self.ask_together([1.0, 2.0], has_auditor=False)

        assert not self.batcher.has_samples


def test_samples_are_dense_at_first_and_rare_later():
    sampler, taken = Sampler(), []
    sample = AuditSample({}, None, {}, {})
    for number in range(2_000_000):
        if sampler.is_due(64):
            sampler.add(sample)
            sampler.take()
            taken.append(number)

    first, last = sum(number < 1000 for number in taken), sum(number >= 1_000_000 for number in taken)
    assert 100 < first < 500
    assert 1_000_000 / RARELY / 2 < last < 1_000_000 / RARELY * 2


def test_samples_that_nobody_takes_are_bounded():
    sampler = Sampler()
    for _ in range(100):
        if sampler.is_due(64):
            sampler.add(AuditSample({}, None, {}, {}))

    assert len(sampler._waiting) == 8


def test_a_request_that_is_too_large_to_keep_is_not_sampled():
    assert not Sampler().is_due(64 << 20)


@pytest.mark.both
@pytest.mark.django_db
class TestEnding:
    def end(self, version):
        end_merging(version_id=version.pk, difference="It differs by 8.", by=an_actor())

    def test_it_is_a_serving_setting_on_the_record_and_an_event(self):
        version = a_version()

        self.end(version)

        serving = version.serving_settings.get(is_current=True)
        assert (serving.values["merging"], serving.revision) == ("never", 2)
        assert serving.reason == "Found by an audit: It differs by 8."
        record = AuditRecord.objects.get(action="change_serving")
        assert record.after == {"revision": 2, "merging": "never"}
        event = Event.objects.get(kind="merging_ended")
        assert event.summary == f"Requests for {version} no longer share runs. It differs by 8."
        assert event.data["version"] == version.number

    def test_several_processes_end_it_once(self):
        version = a_version()

        for _ in range(2):
            self.end(version)

        assert version.serving_settings.count() == 2
        assert Event.objects.filter(kind="merging_ended").count() == 1

    def test_a_person_who_has_decided_is_not_overruled(self):
        version = a_version()
        change_serving(
            version=version, changes={"merging": "always"}, reason="measured elsewhere", by=an_actor()
        )

        self.end(version)

        assert current_serving(version.pk).merging == "always"

    def test_what_could_not_be_written_is_tried_again(self, monkeypatch):
        version = a_version()

        class Executor:
            found = [(version.pk, "It differs by 8.")]
            has_samples = False

            def audit_merging(self, *, timeout_s):
                found, self.found = self.found, []
                return found

        audit = MergeAudit(Executor(), threading.Event())
        with monkeypatch.context() as broken:
            broken.setattr(
                "inference.serving.merge_audit.end_merging", lambda **_: (_ for _ in ()).throw(OSError)
            )
            with pytest.raises(OSError):
                audit._audit()
        audit._audit()

        assert current_serving(version.pk).merging == "never"


@pytest.mark.both
@pytest.mark.django_db(transaction=True)
def test_a_process_ends_it_for_all_and_merges_no_more():
    model = FakeModel()
    version = a_version(a_model("odd"), file=artifacts.store([b"odd"]))
    record_proof(version.artifact.sha256, rows=8)
    a_split(version.model, 100)
    started, other = (Runtime(MixingBackend({version.artifact.sha256: model})) for _ in range(2))
    started.start()
    other.start()
    try:
        entered, release = hold_first(model)  # only now: what is loaded has run
        target = started.find("odd", None).choose()
        assert started.executor.merged_rows(target) == other.executor.merged_rows(target) == 8

        ask_together(
            lambda first: complete(started.infer(target, a_request(row(first)))),
            lambda: started.executor.meters()[version.pk].depth,
            [1.0, ODD],
            entered,
            release,
        )

        def has_ended():
            return [one.executor.merged_rows(one.find("odd", None).choose()) for one in (started, other)] == [
                1,
                1,
            ]

        wait_until(has_ended, within_s=PATIENCE_S, what="both processes have stopped merging")
        assert Event.objects.get(kind="merging_ended").object_id == str(version.pk)
    finally:
        started.stop()
        other.stop()
