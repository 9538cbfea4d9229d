"""Jobs from acceptance to their end, in this process: a fake engine, a real ledger, a worker's threads."""

import pytest

from inference.engine.fake import HANG, NOT_A_NUMBER, POISON, FakeModel
from inference.jobs import files, services
from inference.jobs.models import Chunk
from inference.jobs.services import ledger
from registry.catalogue.selectors import USES
from registry.catalogue.services import archive_version
from registry.kit import loops
from registry.kit.loops import Backoff
from registry.record.models import Event
from tests.support.factories import a_split, an_actor
from tests.support.house import (
    a_runner,
    answers,
    chunk_statuses,
    ended,
    errors,
    folder_of,
    order,
    results,
    rows_of,
    work_off,
)
from tests.support.processes import wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both]


def test_rows_of_a_request_are_answered_in_their_order(engine):
    job = work_off(order(engine.a_live_version(), 1.0, 2.0, 3.0))

    assert (job.status, job.rows_total, job.rows_done, job.rows_bad) == ("done", 3, 3, 0)
    assert answers(job) == {1: 2.0, 2: 4.0, 3: 6.0}
    assert [row["row"] for row in results(job)] == [1, 2, 3]
    assert Event.objects.filter(kind="job_done", object_id=str(job.pk)).count() == 1


@pytest.mark.parametrize(("proven_rows", "runs"), [(1, [1, 1, 1, 1, 1]), (64, [5]), (2, [2, 2, 1])])
def test_rows_share_a_run_as_the_batch_proof_says(engine, proven_rows, runs):
    seen, fake = [], FakeModel()
    version = engine.a_live_version(fake=fake, proven_rows=proven_rows)
    job = order(version, 1.0, 2.0, 3.0, 4.0, 5.0)
    fake.on_run = seen.append

    work_off(job)

    loading = len(seen) - len(runs)  # the warm-up runs too
    assert seen[loading:] == runs
    assert answers(job) == {1: 2.0, 2: 4.0, 3: 6.0, 4: 8.0, 5: 10.0}


def test_several_threads_share_the_chunks_of_a_job(engine, monkeypatch):
    version = engine.a_live_version()
    monkeypatch.setattr("inference.jobs.predictions.chunk_rows_for", lambda version: 3)

    job = work_off(order(version, *map(float, range(20))), threads=3)

    assert chunk_statuses(job) == ["done"] * 7
    assert answers(job) == {row: 2.0 * (row - 1) for row in range(1, 21)}


def test_version_stays_as_accepted_though_the_split_moves(engine):
    first = engine.a_live_version()
    job = order(first, 1.0)
    second = engine.a_live_version(first.model)
    a_split(first.model, 100, versions=[second])

    work_off(job)

    assert (job.status, job.version) == ("done", first)


def test_version_that_was_archived_fails_its_job_with_a_sentence(engine, monkeypatch):
    version = engine.a_live_version()
    other = engine.a_live_version(version.model)
    a_split(version.model, 100, versions=[other])
    job = order(version, 1.0, version=version.number)
    monkeypatch.setattr(USES, "_items", {})  # as where the job is accepted in the same moment
    archive_version(version=version, reason="too old", by=an_actor())
    engine.runtime.refresh()

    work_off(job)

    assert job.status == "failed"
    assert "cannot be used: it is archived" in job.failure


def test_first_bad_row_fails_a_job_that_says_so(engine):
    job = work_off(order(engine.a_live_version(), 1.0, POISON, 3.0))

    assert job.status == "failed"
    assert "the job was to fail at the first one" in job.failure
    assert results(job) == []


@pytest.mark.parametrize("proven_rows", [1, 64], ids=["singly", "together"])
def test_bad_rows_are_left_out_where_the_contract_allows(engine, proven_rows):
    version = engine.a_live_version(proven_rows=proven_rows)
    skip = {"on_row_error": "skip", "error_limit": 2}

    job = work_off(order(version, 1.0, POISON, 3.0, NOT_A_NUMBER, contract=skip))

    assert (job.status, job.rows_done, job.rows_bad) == ("done", 2, 2)
    assert answers(job) == {1: 2.0, 3: 6.0}
    assert [error["row"] for error in errors(job)] == [2, 4]


def test_missing_values_reach_the_model_where_the_contract_says_so_whatever_the_setting(engine):
    version = engine.a_live_version()
    rows = [*rows_of(1.0), {"x": [None, 0.0, 0.0, 0.0]}]
    asked = {"on_row_error": "skip", "missing": "nan"}

    job = work_off(order(version, rows=rows, contract=asked))

    assert (job.rows_done, job.rows_bad) == (1, 1)
    # The fake answers twice its input, so it is the answer that JSON cannot say.
    assert "The model returned NaN" in errors(job)[0]["reason"]


def test_too_many_bad_rows_end_the_job_over_all_its_chunks(engine, monkeypatch):
    monkeypatch.setattr("inference.jobs.predictions.chunk_rows_for", lambda version: 2)
    skip = {"on_row_error": "skip", "error_limit": 1}
    job = work_off(order(engine.a_live_version(), POISON, 1.0, POISON, 2.0, 5.0, 6.0, contract=skip))

    assert job.status == "failed"
    assert "More than 1 rows" in job.failure
    assert chunk_statuses(job) == ["done", "failed", "waiting"]
    assert (job.rows_done, job.rows_bad) == (1, 1)


def test_retry_does_only_what_failed(engine, monkeypatch):
    monkeypatch.setattr("inference.jobs.predictions.chunk_rows_for", lambda version: 1)
    job = work_off(order(engine.a_live_version(), 1.0, POISON))
    assert (job.status, chunk_statuses(job)) == ("failed", ["done", "failed"])
    Chunk.objects.filter(job=job, index=1).update(inputs=rows_of(2.0))

    services.retry(job=job, reason="the input was mended", by=an_actor())
    work_off(job)

    assert (job.status, job.failure, job.rows_done) == ("done", "", 2)
    assert [chunk.attempt for chunk in job.chunks.order_by("index")] == [1, 2]
    assert answers(job) == {1: 2.0, 2: 4.0}


@pytest.fixture
def hanging(engine):
    """A model that hangs until it is released, and a job for it."""
    fake = FakeModel(honours_soft_limit=False)
    return fake, order(engine.a_live_version(fake=fake), HANG)


def test_cancelled_while_a_chunk_runs_its_results_are_refused(hanging):
    fake, job = hanging
    with a_runner() as runner:
        taken(job)
        services.cancel(job=job, reason="not needed", by=an_actor())
        fake.released.set()
        wait_until(lambda: not runner._held.all(), within_s=10, what="the chunk's end")

    job.refresh_from_db()
    assert (job.status, job.rows_done, chunk_statuses(job)) == ("cancelled", 0, ["cancelled"])
    assert results(job) == []


def test_stopping_runner_finishes_what_it_holds(hanging):
    fake, job = hanging
    with a_runner() as runner:
        taken(job)
        fake.released.set()
        assert runner.stop(timeout_s=10)

    assert ended(job, within_s=0.1).status == "done"


def test_stopping_runner_hands_back_what_does_not_end(hanging):
    fake, job = hanging
    with a_runner() as runner:
        taken(job)
        assert not runner.stop(timeout_s=2.2)
        chunk = job.chunks.get()
        assert (chunk.status, chunk.leases_lost, chunk.runs_alone) == ("waiting", 0, False)
        fake.released.set()

    assert work_off(job).status == "done"
    assert job.chunks.get().attempt == 2


def test_small_results_need_no_file_and_large_ones_have_the_attempt_in_their_name(engine, monkeypatch):
    monkeypatch.setattr(files, "INLINE_BYTES", files.INLINE_BYTES // 256)
    version = engine.a_live_version()
    small, large = order(version, 1.0), order(version, *map(float, range(50)))

    work_off(small)
    work_off(large)

    assert (small.status, large.status, large.failure) == ("done", "done", "")
    assert not folder_of(small).exists()
    assert next(file.name for file in sorted(folder_of(large).iterdir())).startswith("000000-1.")
    assert answers(large)[50] == 2 * 49.0


def taken(job):
    """Wait until the job's first chunk is with a worker, whose run then hangs in the model."""
    wait_until(lambda: job.chunks.filter(status="leased").exists(), within_s=10, what="a worker at the chunk")


@pytest.fixture
def odd_claim(monkeypatch):
    """One job whose chunks cannot be claimed because of an error of ours."""
    monkeypatch.setattr(Backoff, "after", lambda self, failures: 0.01)
    real, odd_ones = ledger.claim, set()

    def claim(chunk, *, holder):
        if chunk.job_id in odd_ones:
            raise KeyError("odd")
        return real(chunk, holder=holder)

    monkeypatch.setattr(ledger, "claim", claim)
    return odd_ones


def test_a_chunk_that_cannot_be_claimed_keeps_no_other_job_from_being_done(engine, odd_claim):
    version = engine.a_live_version()
    odd, first, second = (order(version, float(number)) for number in range(3))
    odd_claim.add(odd.pk)

    with a_runner():
        assert ended(first).status == ended(second).status == "done"
        wait_until(lambda: "jobs" in {one.name for one in loops.failing()}, within_s=20, what="its report")
        assert chunk_statuses(odd) == ["waiting"]

        odd_claim.clear()
        assert ended(odd).status == "done"


def test_a_chunk_whose_end_cannot_be_written_costs_no_thread(engine, monkeypatch):
    monkeypatch.setattr(Backoff, "after", lambda self, failures: 0.01)
    version = engine.a_live_version()
    odd, other = order(version, 1.0), order(version, 2.0)

    def odd_for_one(write):
        def call(claim, *rest, **more):
            if claim.job_id == odd.pk:
                raise KeyError("odd")
            return write(claim, *rest, **more)

        return call

    for name in ("finish", "fail"):
        monkeypatch.setattr(ledger, name, odd_for_one(getattr(ledger, name)))

    with a_runner():
        assert ended(other).status == "done"
    assert chunk_statuses(odd) == ["leased"]  # until its lease ends
