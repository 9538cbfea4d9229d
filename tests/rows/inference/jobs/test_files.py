"""Jobs whose rows are in a file: planned by a worker, cut, answered, and removed when their time is over."""

import gzip
from datetime import timedelta

import pytest
from django.db.models.functions import Now

from inference.engine.fake import POISON
from inference.jobs import files, selectors, services
from inference.jobs.models import Format, InputSource, Job
from tests.support.house import chunk_statuses, errors, folder_of, order, results, work_off

pytestmark = pytest.mark.django_db(transaction=True)
HEADER = "name,a,b,c,d\n"
CONTRACT = {"id": "name", "columns": {"x": ["a", "b", "c", "d"]}}


def send(version, text, **more):
    data = text if isinstance(text, bytes) else text.encode()
    more = {"input_format": Format.CSV, "contract": CONTRACT, "input_bytes": len(data), **more}
    return order(version, rows=None, input_ref=files.save_input([data]).ref, source=InputSource.FILE, **more)


def lines(*values):
    return HEADER + "".join(f"row-{value:g},{value},0,0,0\n" for value in values)


@pytest.fixture(autouse=True)
def two_rows_a_chunk(monkeypatch):
    monkeypatch.setattr("inference.jobs.predictions.chunk_rows_for", lambda version: 2)


@pytest.mark.both
def test_csv_is_planned_by_a_worker_and_answered_in_order(engine):
    job = send(engine.a_live_version(), lines(1, 2, 3, 4, 5))
    assert selectors.progress_of(job).rows_total is None

    work_off(job, threads=2)

    assert (job.status, job.rows_total, job.rows_done) == ("done", 5, 5)
    assert chunk_statuses(job) == ["done"] * 3
    whole = b"".join(selectors.results_of(job)).decode().splitlines()
    assert whole[0] == "name,y.0,y.1,y.2,y.3"
    assert [line.split(",")[:2] for line in whole[1:]] == [[f"row-{n}", f"{2 * n}.0"] for n in range(1, 6)]
    progress = selectors.progress_of(job)
    assert (progress.fraction, progress.eta_s, progress.chunks_done) == (1.0, None, 3)


@pytest.mark.parametrize("kind", [Format.JSONL, Format.CSV])
def test_text_is_sent_while_it_is_read(engine, kind):
    job = work_off(send(engine.a_live_version(), lines(1, 2, 3), output_format=kind))
    sent = selectors.results_of(job)

    assert b"row-1" in next(sent)

    last = selectors.chunks_of(job).last()
    (folder_of(job) / last.results_ref).unlink()
    with pytest.raises(FileNotFoundError):
        next(sent)


def test_packed_file_is_unpacked_once_and_output_may_have_another_format(engine):
    packed = gzip.compress(lines(1, 2, 3).encode())

    job = work_off(send(engine.a_live_version(), packed, is_gzipped=True, output_format=Format.JSONL))

    assert (job.status, job.rows_done) == ("done", 3)
    assert [row["name"] for row in results(job)] == ["row-1", "row-2", "row-3"]


def test_bad_rows_are_told_with_their_ids(engine):
    text = lines(1, POISON) + "broken,x,0,0,0\n" + "row-4,4,0,0,0\n"
    job = work_off(send(engine.a_live_version(), text, contract={**CONTRACT, "on_row_error": "skip"}))

    assert (job.status, job.rows_done, job.rows_bad) == ("done", 2, 2)
    assert [(error["row"], error["id"]) for error in errors(job)] == [(2, "row-666"), (3, "broken")]


def test_partial_results_name_their_gaps(engine):
    job = work_off(send(engine.a_live_version(), lines(1, 2, POISON, 4, 5)))

    assert job.status == "failed"
    assert next((gap.first_row, gap.rows) for gap in selectors.chunks_of(job).exclude(status="done")) == (
        3,
        2,
    )


@pytest.mark.parametrize(
    ("text", "contract", "said"),
    [
        ("", CONTRACT, "empty"),
        (lines(1), {"columns": {"x": ["a", "none"]}}, "none"),
        (lines(1), {"columns": {"x": "a"}}, "1 column"),
        (HEADER + 'row-1,"1,2', CONTRACT, ""),
        (None, CONTRACT, "The job's file no longer exists."),
    ],
    ids=["empty", "no such column", "too few columns", "a quote that nobody closes", "gone"],
)
def test_file_that_cannot_be_used_fails_its_job_with_a_sentence(engine, text, contract, said):
    job = send(engine.a_live_version(), text or "", contract=contract)
    if text is None:
        files.drop_input(job.input_ref)

    work_off(job)

    assert job.status == "failed"
    assert said in job.failure


def test_more_rows_than_may_be_open_fail_the_plan(engine, settings):
    settings.JOB_OPEN_ROWS = 2
    job = work_off(send(engine.a_live_version(), lines(1, 2, 3)))

    assert job.status == "failed"
    assert "3 rows" in job.failure


@pytest.mark.both
def test_job_goes_with_its_files_when_its_time_is_over(engine):
    job = work_off(send(engine.a_live_version(), lines(1, 2, 3)))
    kept = work_off(send(engine.a_live_version(), lines(1)))
    path, folder = files.input_path(job.input_ref), folder_of(job)
    assert path.exists()
    assert folder.exists()
    Job.objects.filter(pk=job.pk).update(expires_at=Now() - timedelta(seconds=1))

    assert services.expire_jobs() == 1

    assert not path.exists()
    assert not folder.exists()
    assert list(Job.objects.all()) == [kept]


@pytest.mark.both
def test_job_that_nobody_finished_ends_first_and_is_kept_a_while_longer(engine):
    job = send(engine.a_live_version(), lines(1))
    Job.objects.filter(pk=job.pk).update(expires_at=Now() - timedelta(seconds=1))

    assert services.expire_jobs() == 0

    job.refresh_from_db()
    assert job.status == "failed"
    assert services.expire_jobs() == 0
