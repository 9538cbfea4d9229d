"""Jobs that read from a named store and write to one."""

import json
from datetime import timedelta

import pytest
from django.utils import timezone

from inference.jobs.models import InputSource, Job, Store, StoreKind
from inference.jobs.services import completion
from inference.jobs.services.storage import StoreSettings, add_store, change_store, remove_store
from tests.support.factories import an_actor
from tests.support.house import answers, order, rows_of, work_off

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def lake(tmp_path, settings):
    folder = tmp_path / "lake"
    folder.mkdir()
    settings.JOB_FOLDERS = [folder]
    add_store(name="lake", settings=store_settings(folder, may_write=True), by=an_actor())
    return folder


def store_settings(folder, **more):
    return StoreSettings(kind=StoreKind.FOLDER, root=str(folder), **more)


def order_of_file(version, name, **more):
    return order(version, rows=None, input_ref=f"lake/{name}", source=InputSource.STORE, **more)


def test_a_file_in_a_store_is_answered_into_a_store(engine, lake):
    lines = "".join(json.dumps(row) + "\n" for row in rows_of(1.0, 2.0))
    (lake / "rows.jsonl").write_text(lines)

    job = work_off(order_of_file(engine.a_live_version(), "rows.jsonl", output_ref="lake/out/results.jsonl"))
    assert completion.deliver_results(job.pk) or Job.objects.get(pk=job.pk).delivered_at

    written = [json.loads(line) for line in (lake / "out" / "results.jsonl").read_text().splitlines()]
    assert {row["row"]: row["y"][0] for row in written} == answers(job) == {1: 2.0, 2: 4.0}
    assert (lake / "rows.jsonl").read_text() == lines
    job.refresh_from_db()
    assert (job.failure, completion.deliver_results(job.pk)) == ("", False)


@pytest.mark.parametrize("wrong", ["missing", "gone", "closed"])
def test_a_file_that_cannot_be_had_fails_the_job_with_the_reason(engine, lake, wrong):
    store = change_store(store=a_store(), settings=store_settings(lake, may_write=True), by=an_actor())
    (lake / "rows.jsonl").write_text('{"x": [1, 0, 0, 0]}\n')
    job = order_of_file(engine.a_live_version(), "no.jsonl" if wrong == "missing" else "rows.jsonl")
    if wrong == "gone":
        remove_store(store=store, by=an_actor())
    if wrong == "closed":
        change_store(
            store=store, settings=store_settings(lake, may_read=False, may_write=True), by=an_actor()
        )

    job = work_off(job)

    assert job.status == "failed"
    assert {"missing": "has no", "gone": "no longer exists", "closed": "may not read"}[wrong] in job.failure


def a_store():
    return Store.objects.get(name="lake")


@pytest.fixture
def undelivered(engine, lake):
    job = work_off(order(engine.a_live_version(), 1.0, output_ref="lake/out.jsonl"))
    Job.objects.filter(pk=job.pk).update(delivered_at=None, ended_at=timezone.now() - timedelta(hours=1))
    (lake / "out.jsonl").unlink(missing_ok=True)
    return job


def test_a_store_that_was_taken_away_is_told_and_the_results_stay(undelivered):
    remove_store(store=a_store(), by=an_actor())

    assert completion.deliver_results(undelivered.pk) is False

    undelivered.refresh_from_db()
    assert undelivered.status == "done"
    assert "no longer exists" in undelivered.failure
    assert answers(undelivered) == {1: 2.0}
    assert completion.sweep_deliveries() == 0


def test_a_store_that_does_not_answer_is_tried_again(undelivered, lake):
    (lake / "out.jsonl").mkdir()  # a folder is in the way

    assert completion.deliver_results(undelivered.pk) is False
    (lake / "out.jsonl").rmdir()
    assert completion.sweep_deliveries() == 1
    completion.deliver_results(undelivered.pk)

    assert (lake / "out.jsonl").is_file()
    assert Job.objects.get(pk=undelivered.pk).delivered_at is not None
    assert completion.sweep_deliveries() == 0
