"""What is accepted as a job, for whom, and under which id."""

import uuid

import pytest

from inference.jobs import selectors, services
from inference.jobs.errors import BadJob, JobIdTaken, TooManyJobs
from inference.jobs.models import Chunk, Job
from inference.jobs.services import SubmittedJob
from registry.access.keys import KeyTable
from registry.access.policies import Right, actor_from_key, actor_from_user
from registry.catalogue.services import archive_version
from registry.errors import Conflict, NoLiveVersion, NotAllowed, NotFound, Stopped
from registry.kit.actors import Source
from registry.record.models import AuditRecord
from registry.record.sentences import describe
from registry.traffic.services import stop_model
from tests.support.factories import a_key, a_live_model, a_person, a_split, a_tenant, a_version, an_actor
from tests.support.house import rows_of

pytestmark = pytest.mark.django_db


def accept(model, *values, by=None, principal=None, **more):
    if "input_ref" not in more:
        more.setdefault("rows", rows_of(*(values or (1.0,))))
    return services.accept(SubmittedJob(model=model.slug, **more), by=by or an_actor(), principal=principal)


def key_of(tenant=None, *scopes, **more):
    key, _ = a_key(*(scopes or ("predict",)), tenant=tenant, **more)
    principal = KeyTable().still_valid([key.pk])[key.pk]
    return actor_from_key(principal), principal


@pytest.mark.both
def test_accepted_is_written_whole():
    model = a_live_model(100)

    job = accept(model, 1.0, 2.0)

    assert (job.status, job.is_planned, job.rows_total, job.chunks_total) == ("queued", True, 2, 1)
    assert (job.version.number, job.input_bytes > 0) == (1, True)
    assert Chunk.objects.get(job=job).inputs == rows_of(1.0, 2.0)


@pytest.mark.parametrize(
    ("order", "said"),
    [
        ({"rows": None}, "rows"),
        ({"rows": []}, "1 to 10,000 rows"),
        ({"rows": [{}] * 10_001}, "not 10,001"),
        ({"rows": [1]}, "must be an object"),
        ({"rows": [{"x": "y" * 9_000_000}]}, "limit is 8,388,608"),
        ({"rows": [{"x": object()}]}, "cannot be written as JSON"),
        ({"input_ref": "a", "rows": [{"x": 1}]}, "either"),
        ({"contract": {"on_error": "skip"}}, "on_error"),
    ],
)
def test_what_cannot_be_answered_is_refused(order, said):
    with pytest.raises(BadJob, match=said):
        accept(a_live_model(100), **order)
    assert not Job.objects.exists()


def test_model_must_be_there_and_live():
    with pytest.raises(NotFound):
        services.accept(SubmittedJob(model="none", rows=rows_of(1.0)), by=an_actor(), principal=None)
    with pytest.raises(NoLiveVersion):
        accept(a_version().model)
    stopped = a_live_model(100)
    stop_model(model=stopped, text="on fire", by=an_actor())
    with pytest.raises(Stopped):
        accept(stopped)


def test_version_and_alias_may_be_named():
    model = a_live_model(50, 50)

    assert accept(model, version=2).version.number == 2
    assert accept(model, alias="champion").version.number in {1, 2}
    with pytest.raises(NotFound):
        accept(model, version=9)


def test_split_decides_over_many_jobs():
    model = a_live_model(50, 50)

    numbers = [accept(model).version.number for _ in range(20)]

    assert set(numbers) == {1, 2}


def test_who_may_not_predict_may_not_send():
    model = a_live_model(100)
    with pytest.raises(NotAllowed):
        accept(model, by=an_actor(Right.READ))
    by, principal = key_of(None, "registry.read")
    with pytest.raises(NotAllowed):
        accept(model, by=by, principal=principal)


def test_model_out_of_reach_is_not_there():
    model = a_live_model(100)
    by, principal = key_of(None, models=[a_live_model(100).pk])

    with pytest.raises(NotFound):
        accept(model, by=by, principal=principal)


@pytest.mark.both
def test_same_id_and_order_is_the_same_job_and_another_order_is_refused():
    model, job_id = a_live_model(100), uuid.uuid4()

    first = accept(model, 1.0, job_id=job_id)

    assert accept(model, 1.0, job_id=job_id) == first
    with pytest.raises(JobIdTaken):
        accept(model, 2.0, job_id=job_id)
    stranger, principal = key_of()
    with pytest.raises(JobIdTaken):
        accept(model, 1.0, job_id=job_id, by=stranger, principal=principal)
    assert Job.objects.count() == 1


def test_same_id_is_the_same_job_though_its_version_was_replaced():
    model, job_id = a_live_model(100), uuid.uuid4()
    first = accept(model, job_id=job_id)
    a_split(model, 100, versions=[a_version(model)])

    assert accept(model, job_id=job_id) == first


@pytest.mark.both
def test_open_jobs_rows_and_bytes_are_bounded_for_a_tenant(settings):
    model, tenant = a_live_model(100), a_tenant()
    by, principal = key_of(tenant)
    colleague, hers = key_of(tenant)
    other, others = key_of()
    settings.JOB_OPEN = 2
    accept(model, by=by, principal=principal)
    accept(model, by=colleague, principal=hers)

    with pytest.raises(TooManyJobs, match="2 jobs open"):
        accept(model, by=by, principal=principal)
    accept(model, by=other, principal=others)
    settings.JOB_OPEN, settings.JOB_OPEN_ROWS = 100, 3
    with pytest.raises(TooManyJobs, match="2 rows open"):
        accept(model, 1.0, 2.0, by=by, principal=principal)
    settings.JOB_OPEN_ROWS, settings.JOB_OPEN_BYTES = 100, 60
    with pytest.raises(TooManyJobs, match="bytes of input"):
        accept(model, by=by, principal=principal)


def test_ended_jobs_take_no_room(settings):
    model = a_live_model(100)
    settings.JOB_OPEN = 1
    job = services.cancel(job=accept(model), by=an_actor())

    accept(model)
    record = AuditRecord.objects.get(action="cancel_job")
    assert describe(record) == f"cancelled job {str(job.pk)[:8]}, which was queued"


def test_keys_see_and_change_their_tenants_jobs_only():
    model = a_live_model(100)
    by, principal = key_of()
    job = accept(model, by=by, principal=principal)
    stranger, _ = key_of()

    assert list(selectors.jobs_in_reach(by)) == [job]
    assert list(selectors.jobs_in_reach(stranger)) == []
    with pytest.raises(NotFound):
        services.cancel(job=job, by=stranger)
    services.cancel(job=job, by=by)


def test_people_see_jobs_of_their_models_and_change_their_own_and_operators_all():
    model = a_live_model(100)
    viewer, approver, operator = (
        actor_from_user(a_person(role), Source.ADMIN) for role in ("viewer", "approver", "operator")
    )
    job, own = accept(model), accept(model, by=approver)

    for person in (viewer, operator):
        assert set(selectors.jobs_in_reach(person)) == {job, own}
    with pytest.raises(NotAllowed):
        services.cancel(job=job, by=viewer)
    services.cancel(job=job, by=operator)
    services.cancel(job=own, by=approver)


def test_version_with_open_jobs_is_not_archived():
    model, by = a_live_model(100), an_actor()
    version = model.versions.get()
    jobs = [accept(model, by=by), accept(model, by=by)]
    a_split(model, 100, versions=[a_version(model)])

    with pytest.raises(Conflict, match="has 2 open jobs to process"):
        archive_version(version=version, reason="old", by=by)

    for job in jobs:
        services.cancel(job=job, by=by)
    assert archive_version(version=version, reason="old", by=by).status == "archived"
