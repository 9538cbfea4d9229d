"""The ledger's rules, one by one: who may take a chunk, who may write, and what a lost lease costs."""

from datetime import timedelta

import pytest
from django.db.models import F
from django.db.models.functions import Now

from inference.jobs import services
from inference.jobs.errors import JobEnded
from inference.jobs.models import Chunk, Job
from inference.jobs.selectors import progress_of
from inference.jobs.services import ledger
from inference.jobs.services.ledger import ChunkResults
from inference.jobs.services.sweeps import sweep_jobs
from inference.jobs.transitions import ALLOWED, CHUNK_ALLOWED, CHUNK_MEANING, MEANING, ChunkStatus, Status
from registry.catalogue.models import Model
from registry.record.models import AuditRecord, Event
from registry.record.sentences import describe
from tests.support.factories import a_live_model, an_actor
from tests.support.house import rows_of

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both]


def a_job(*values, model=None):
    order = services.SubmittedJob(model=(model or a_live_model(100)).slug, rows=rows_of(*(values or (1.0,))))
    return services.accept(order, by=an_actor(), principal=None)


def a_file_job():
    """A job whose first chunk is its plan."""
    slug = a_live_model(100).slug
    order = services.SubmittedJob(model=slug, input_ref="a-file", source="file", input_format="csv")
    return services.accept(order, by=an_actor(), principal=None)


@pytest.fixture(autouse=True)
def single_rows(monkeypatch):
    monkeypatch.setattr("inference.jobs.predictions.chunk_rows_for", lambda version: 1)


def take(holder="worker-1", pool=None):
    """Take the chunk whose turn it is."""
    for chunk in ledger.waiting_in_turn(pool):
        if (claim := ledger.claim(chunk, holder=holder)) is not None:
            return claim
    return None


def let_leases_end():
    Chunk.objects.filter(status="leased").update(lease_until=Now() - timedelta(seconds=1))


def lose(claim):
    let_leases_end()
    assert ledger.free_expired() == 1
    return Chunk.objects.get(pk=claim.chunk_id)


def state(job):
    job.refresh_from_db()
    return job.status


def test_every_state_has_its_moves_and_its_meaning():
    assert set(ALLOWED) == set(MEANING) == set(Status)
    assert set(CHUNK_ALLOWED) == set(CHUNK_MEANING) == set(ChunkStatus)


def test_chunk_is_taken_once():
    a_job()
    (chunk,) = ledger.waiting_in_turn()

    first = ledger.claim(chunk, holder="worker-1")

    assert (first.attempt, first.holder) == (1, "worker-1")
    assert ledger.claim(chunk, holder="worker-2") is None
    assert take("worker-2") is None


def test_failed_claim_leaves_the_turns_as_they_were():
    job = a_job()
    (chunk,) = ledger.waiting_in_turn()
    Chunk.objects.filter(pk=chunk.pk).update(attempt=5)
    before = Job.objects.get(pk=job.pk).served_at

    assert ledger.claim(chunk, holder="worker-1") is None

    job.refresh_from_db()
    assert (job.served_at, job.status, job.started_at) == (before, "queued", None)


def test_first_chunk_starts_the_job_and_the_last_ends_it_and_each_counts_once():
    job = a_job(1.0, 2.0)
    first, second = take(), take()
    assert state(job) == "running"

    assert ledger.finish(first, ChunkResults(1))
    assert not ledger.finish(first, ChunkResults(1))
    assert (state(job), job.rows_done, job.chunks_done) == ("running", 1, 1)
    assert ledger.finish(second, ChunkResults(1))

    assert (state(job), job.rows_done, job.chunks_done) == ("done", 2, 2)


def hours_pass(job, hours=1):
    """Shift all that the job's clock knows into the past."""
    past = timedelta(hours=hours)
    Job.objects.filter(pk=job.pk).update(created_at=F("created_at") - past)
    Job.objects.filter(pk=job.pk).update(working_since=F("working_since") - past)


def hours_of(job):
    """Worked and waited, in whole hours."""
    job.refresh_from_db()
    told = progress_of(job)
    return round(told.worked_s / 3600), round(told.waited_s / 3600)


def test_a_job_counts_the_time_that_somebody_works_on_it():
    job = a_job(1.0, 2.0)
    hours_pass(job, 5)
    first, second = take(), take()
    hours_pass(job)
    ledger.finish(first, ChunkResults(rows_done=1))
    hours_pass(job)  # the other goes on
    assert hours_of(job) == (2, 5)
    ledger.finish(second, ChunkResults(rows_done=1))

    assert state(job) == "done"
    assert hours_of(job) == (2, 5)


@pytest.mark.parametrize(
    "let_go",
    [ledger.give_back, lose, lambda claim: ledger.fail(claim, "odd")],
    ids=["given back", "lost", "failed"],
)
def test_what_nobody_has_is_at_rest(let_go):
    job = a_job(1.0, 2.0)
    claim = take()
    hours_pass(job)
    let_go(claim)

    hours_pass(job, 7)

    assert hours_of(job) == (1, 7)
    assert take() is not None
    hours_pass(job)
    assert hours_of(job) == (2, 7)


def test_the_time_until_a_retry_is_no_work():
    job = a_job(1.0)
    claim = take()
    hours_pass(job)
    ledger.fail(claim, "odd")
    Job.objects.filter(pk=job.pk).update(ended_at=F("ended_at") - timedelta(hours=9))
    hours_pass(job, 9)
    assert hours_of(job) == (1, 0)

    job.refresh_from_db()
    services.retry(job=job, by=an_actor(), reason="mended")
    ledger.finish(take(), ChunkResults(rows_done=1))

    assert (state(job), hours_of(job)) == ("done", (1, 9))


def test_a_cancelled_job_stops_its_clock():
    job = a_job(1.0)
    late = take()
    hours_pass(job)
    services.cancel(job=job, by=an_actor())

    assert not ledger.finish(late, ChunkResults(rows_done=1))
    hours_pass(job)

    job.refresh_from_db()
    assert (round(job.worked.total_seconds() / 3600), job.working_since) == (1, None)


@pytest.mark.parametrize("other", ["worker-2", "worker-1"], ids=["another worker", "the same once more"])
def test_lost_lease_goes_to_another_and_the_first_cannot_write_any_more(other):
    job = a_job()
    first = take("worker-1")
    chunk = lose(first)
    assert (chunk.status, chunk.leases_lost, chunk.runs_alone) == ("waiting", 1, True)

    second = take(other)

    assert (second.attempt, second.runs_alone) == (2, True)
    assert not ledger.finish(first, ChunkResults(1, results="old"))
    assert not ledger.fail(first, "late")
    assert not ledger.give_back(first)
    assert ledger.renew([first]) == [first]
    assert ledger.finish(second, ChunkResults(1, results="new"))
    assert Chunk.objects.get(pk=chunk.pk).results == "new"
    assert state(job) == "done"


def test_renewed_lease_is_not_lost():
    a_job()
    claim = take()
    let_leases_end()

    assert ledger.renew([claim]) == []
    assert ledger.free_expired() == 0


def test_ended_lease_that_nobody_freed_may_still_be_finished():
    job = a_job()
    claim = take()
    let_leases_end()

    assert ledger.finish(claim, ChunkResults(1))
    assert state(job) == "done"


def test_three_lost_leases_are_the_end_until_a_person_asks():
    job = a_job(1.0, 2.0)
    first = take()
    lose(first)
    other = take()
    assert other.chunk_id == first.chunk_id  # by its index
    lose(other)
    chunk = lose(take())

    assert (chunk.status, chunk.leases_lost) == ("dead", 3)
    assert "3 workers died" in chunk.failure
    assert Event.objects.filter(kind="job_dead_letter", object_id=str(job.pk)).count() == 1
    assert state(job) == "running"
    assert ledger.finish(take(), ChunkResults(1))
    assert state(job) == "failed"
    assert "1 of 2 parts" in job.failure
    assert take() is None

    services.retry(job=job, reason="the file was mended", by=an_actor())

    again = take()
    assert (again.chunk_id, again.attempt, again.runs_alone) == (chunk.pk, 4, True)
    assert ledger.finish(again, ChunkResults(1))
    assert state(job) == "done"
    record = AuditRecord.objects.get(action="retry_job", object_id=str(job.pk))
    assert describe(record) == f"queued 1 failed part of job {str(job.pk)[:8]} again"
    record.after_json = record.after_json.replace('"chunks_tried":1', '"chunks_tried":0')
    assert describe(record) == f"queued job {str(job.pk)[:8]} again"


@pytest.mark.parametrize(
    ("let_go", "lost", "alone"),
    [(ledger.give_back, 0, False), (ledger.lose, 1, True)],
    ids=["given back, nobody's fault", "its own worker counts it as lost"],
)
def test_lease_is_let_go_once(let_go, lost, alone):
    a_job()
    claim = take()

    assert let_go(claim)

    chunk = Chunk.objects.get(pk=claim.chunk_id)
    assert (chunk.status, chunk.leases_lost, chunk.runs_alone) == ("waiting", lost, alone)
    assert not let_go(claim)


def test_failed_chunk_leaves_the_others_going():
    job = a_job(1.0, 2.0)
    first, second = take(), take()

    assert ledger.fail(first, "It cannot be answered.")
    assert state(job) == "running"
    assert ledger.finish(second, ChunkResults(1))

    assert state(job) == "failed"
    assert "It cannot be answered." in job.failure


def test_failure_that_ends_the_job_leaves_the_rest_undone():
    job = a_job(1.0, 2.0, 3.0)
    first, running = take(), take()

    assert ledger.fail(first, "The first bad row.", ends_job=True)

    assert (state(job), job.failure) == ("failed", "The first bad row.")
    assert take() is None
    assert ledger.finish(running, ChunkResults(1))  # what is done stays
    assert (state(job), job.rows_done) == ("failed", 1)


def test_cancelled_job_is_taken_by_nobody_and_written_by_nobody():
    job = a_job(1.0, 2.0)
    running = take()

    services.cancel(job=job, reason="not needed", by=an_actor())

    assert take() is None
    assert not ledger.finish(running, ChunkResults(1))
    assert ledger.renew([running]) == [running]
    assert (state(job), job.rows_done) == ("cancelled", 0)
    assert {chunk.status for chunk in job.chunks.all()} == {"cancelled"}
    with pytest.raises(JobEnded, match="nothing to cancel"):
        services.cancel(job=job, by=an_actor())
    with pytest.raises(JobEnded, match="only failed jobs"):
        services.retry(job=job, reason="why not", by=an_actor())


def test_jobs_take_turns_by_when_they_were_served():
    model = a_live_model(100)
    first, second = a_job(1.0, 2.0, model=model), a_job(3.0, 4.0, model=model)

    turns = [take().job_id for _ in range(4)]

    assert turns == [first.pk, second.pk, first.pk, second.pk]


def test_pool_takes_only_its_own():
    model = a_live_model(100)
    type(model).objects.filter(pk=model.pk).update(pool="gpu")
    job = a_job(model=model)

    assert take(pool="infer") is None
    assert take(pool="gpu").job_id == job.pk


def test_sweeper_frees_and_hints_again(monkeypatch):
    hinted = []
    monkeypatch.setattr("inference.jobs.dispatch._send_hint", hinted.append)
    a_job()
    take()
    hinted.clear()
    assert sweep_jobs() == 0
    assert hinted == []

    let_leases_end()

    assert sweep_jobs() == 1
    assert hinted == ["infer"]


def test_acceptance_survives_a_broker_that_is_away(monkeypatch):
    def refuse(pool):
        raise OSError("no broker")

    monkeypatch.setattr("inference.jobs.dispatch._send_hint", refuse)

    assert state(a_job()) == "queued"


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_plan_is_leased_like_any_chunk(lost):
    job = a_file_job()
    for _ in range(lost):
        lose(take())
    claim = take()
    assert claim.is_plan
    chunks = [Chunk(job=job, index=0, first_row=1, rows=2), Chunk(job=job, index=1, first_row=3, rows=1)]

    assert ledger.finish_plan(claim, chunks, rows=3)
    assert not ledger.finish_plan(claim, chunks, rows=3)

    job.refresh_from_db()
    assert (job.is_planned, job.rows_total, job.chunks_total, job.chunks_done) == (True, 3, 2, 0)
    assert [take().is_plan, take().is_plan] == [False, False]


def test_dead_plan_ends_its_job():
    job = a_file_job()
    for _ in range(3):
        lose(take())

    assert state(job) == "failed"
    assert "could not be cut into parts" in job.failure

    services.retry(job=job, reason="again", by=an_actor())

    assert take().is_plan


def test_file_without_rows_is_done_at_once():
    job = a_file_job()

    assert ledger.finish_plan(take(), [], rows=0)

    assert state(job) == "done"


def test_a_lease_that_cannot_be_freed_keeps_no_other_from_it(monkeypatch):
    first, *_ = jobs = [a_job() for _ in range(3)]
    assert all(take() for _ in jobs)
    let_leases_end()

    def odd_for_one(job_id):
        if job_id == first.pk:
            raise KeyError("odd")
        return lock(job_id)

    lock = ledger.completion.lock_job
    monkeypatch.setattr(ledger.completion, "lock_job", odd_for_one)
    with pytest.raises(KeyError):
        ledger.free_expired()

    left = Chunk.objects.filter(status="leased")
    assert [chunk.job_id for chunk in left] == [first.pk]


def test_a_pool_that_cannot_be_hinted_at_keeps_no_other_from_it(monkeypatch):
    for pool in ("one", "two", "three", "three"):
        model = a_live_model(100)
        Model.objects.filter(pk=model.pk).update(pool=pool)
        a_job(model=model)
    hinted = []

    def odd_for_one(pool):
        if pool == "one":
            raise KeyError("odd")
        hinted.append(pool)

    monkeypatch.setattr("inference.jobs.services.sweeps.dispatch.hint", odd_for_one)
    with pytest.raises(KeyError):
        sweep_jobs()

    assert sorted(hinted) == ["three", "two"]
