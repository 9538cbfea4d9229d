"""Jobs that are no predictions, of a kind that another app adds: every door, page and rule knows them."""

import json
import uuid
from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.urls import reverse
from django.utils import timezone
from rest_framework.test import APIClient

from inference.doors.celery import queues, replies
from inference.doors.celery.models import RefusedOrder
from inference.doors.celery.submissions import receive
from inference.jobs import attention, dispatch, files, policies, selectors, services
from inference.jobs.errors import BadJob, JobIdTaken
from inference.jobs.kinds import JOB_KINDS, SubmittedJob, subject_of
from inference.jobs.models import Chunk, Format, InputSource, Job
from inference.jobs.search import find_jobs
from inference.jobs.services import ledger
from registry.access.keys import ring
from registry.access.policies import Right
from registry.errors import NotAllowed
from registry.record.models import AuditRecord, Event
from tests.support.factories import a_key, a_live_model, a_person, a_tenant, an_actor
from tests.support.house import errors, results, work_off
from tests.support.lengths import JAMMED, LENGTHS, MEASURE, UNMEASURABLE, lengths_installed
from tests.support.sending import raw, signed

pytestmark = [pytest.mark.django_db(transaction=True)]
JOBS = "/api/v1/jobs"
TEXTS = ["one", "two words", "and three words"]
ROWS = [{"text": text} for text in TEXTS]
LIST, ADD, PREVIEW = (f"admin:inference_job_{name}" for name in ("changelist", "add", "preview"))


@pytest.fixture(autouse=True)
def lengths(settings, tmp_path, monkeypatch):
    settings.DATA_DIR = tmp_path
    monkeypatch.setattr(replies, "_budget", replies._RejectionBudget())
    ring.clear()
    with lengths_installed():
        yield
    ring.clear()


def a_job(rows=ROWS, by=None, **more):
    submitted = SubmittedJob(kind=LENGTHS, rows=rows, **more)
    return services.accept(submitted, by=by or an_actor(), principal=None)


def a_file_job(text, input_format=Format.CSV, **more):
    ref, size, _ = files.save_input([text.encode()])
    return a_job(
        None, source=InputSource.FILE, input_ref=ref, input_bytes=size, input_format=input_format, **more
    )


def client_with(*scopes, **more):
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {a_key(*scopes, **more)[1]}")
    return client


def start(client, **body):
    return client.post(JOBS, {"kind": LENGTHS, "rows": ROWS, **body})


def lengths_of(job):
    return [row["length"] for row in results(job)]


def lengths_of_csv(job):
    _header, *lines = b"".join(selectors.results_of(job)).decode().splitlines()
    return [line.split(",")[1] for line in lines]


class TestRunning:
    @pytest.mark.both
    def test_each_row_has_the_answer_of_the_kind(self):
        job = work_off(a_job(options={"of": "words"}))

        assert (job.status, job.failure, job.rows_done, job.chunks_total) == ("done", "", 3, 2)
        assert results(job) == [
            {"row": 1, "length": 1, "noted": False},
            {"row": 2, "length": 2, "noted": False},
            {"row": 3, "length": 3, "noted": False},
        ]
        (event,) = Event.objects.filter(kind="job_done")
        assert f"Job {job} of lengths ended as done: 3 rows processed, 0 skipped." in event.summary
        assert (event.data["kind"], event.data["model"], event.data["version"]) == (LENGTHS, None, None)

    @pytest.mark.both
    def test_a_file_is_planned_by_the_columns_of_the_kind(self):
        job = work_off(
            a_file_job(
                f"key,words,note\na,one,yes\nb,{UNMEASURABLE},\nc,three,\n",
                contract={"columns": {"text": "words"}, "id": "key", "on_row_error": "skip"},
            )
        )

        assert (job.status, job.rows_done, job.rows_bad, job.chunks_total) == ("done", 2, 1, 2)
        assert lengths_of_csv(job) == ["3", "5"]
        assert errors(job) == [{"row": 2, "id": "b", "reason": "It cannot be measured."}]

    def test_a_file_without_the_columns_says_which_there_are(self):
        job = work_off(a_file_job("words\none\n"))

        assert job.status == "failed"
        assert "'text'" in job.failure and "'words'" in job.failure

    def test_rows_may_lack_what_is_optional(self):
        job = work_off(a_job([{"text": "a", "note": "n"}, {"text": "b"}, {"text": "c", "note": None}]))

        assert [row["noted"] for row in results(job)] == [True, False, False]

    @pytest.mark.both
    def test_only_what_failed_is_tried_again(self, monkeypatch):
        job = work_off(a_job([*ROWS, {"text": JAMMED}]))
        assert job.status == "failed"
        assert (
            "1 of 2 parts could not be processed. First failure: The measuring tape is jammed." in job.failure
        )
        monkeypatch.setattr("tests.support.lengths.JAMMED", "")

        services.retry(job=job, by=an_actor(), reason="mended")
        work_off(job)

        assert (job.status, lengths_of(job)) == ("done", [3, 9, 15, 6])
        assert [chunk.attempt for chunk in job.chunks.order_by("index")] == [1, 2]

    def test_a_job_whose_kind_is_gone_fails_and_says_so(self):
        job = a_job()
        with JOB_KINDS.changed():
            del JOB_KINDS._items[LENGTHS]
            work_off(job)
            assert subject_of(job) == LENGTHS

        assert job.status == "failed"
        assert job.failure.startswith(
            "This installation has no jobs of kind 'lengths'; use one of: prediction"
        )

    @pytest.mark.both
    def test_workers_of_the_usual_pool_take_it(self):
        a_job()

        assert list(ledger.waiting_in_turn("other")) == []
        assert [chunk.index for chunk in ledger.waiting_in_turn("infer")] == [0]

    def test_it_takes_turns_with_predictions(self):
        prediction = services.accept(
            SubmittedJob(model=a_live_model(100).slug, rows=[{"x": [1, 2, 3, 4]}]),
            by=an_actor(),
            principal=None,
        )
        job = a_job()

        assert [chunk.job_id for chunk in ledger.waiting_in_turn()] == [prediction.pk, job.pk]

    def test_the_sweeper_hints_at_it_and_expires_it(self, monkeypatch):
        hinted = []
        monkeypatch.setattr(dispatch, "hint", hinted.append)
        job = a_job()
        services.sweep_jobs()
        assert hinted == ["infer", "infer"]  # when it was accepted, and now

        Job.objects.filter(pk=job.pk).update(expires_at=timezone.now() - timedelta(days=1))
        services.expire_jobs()
        Job.objects.filter(pk=job.pk).update(expires_at=timezone.now() - timedelta(days=1))
        assert services.expire_jobs() == 1
        assert not Job.objects.exists()


class TestAcceptance:
    @pytest.mark.both
    def test_the_table_ties_kind_and_version(self):
        prediction = services.accept(
            SubmittedJob(model=a_live_model(100).slug, rows=[{"x": [1, 2, 3, 4]}]),
            by=an_actor(),
            principal=None,
        )
        for job, change in ((a_job(), {"kind": "prediction"}), (prediction, {"kind": LENGTHS})):
            with pytest.raises(IntegrityError, match="job_has_version_if_prediction"), transaction.atomic():
                Job.objects.filter(pk=job.pk).update(**change)

    def test_the_kind_checks_its_options(self):
        assert a_job().options == {"of": "characters"}
        with pytest.raises(BadJob, match="`of` characters or words"):
            a_job(options={"of": "vowels"})

    def test_a_prediction_has_no_options(self):
        submitted = SubmittedJob(model=a_live_model(100).slug, rows=[{"x": [1]}], options={"of": "words"})
        with pytest.raises(BadJob, match="remove `options`"):
            services.accept(submitted, by=an_actor(), principal=None)

    def test_the_right_of_the_kind_is_needed(self):
        with pytest.raises(NotAllowed, match="lacks the right to measure texts"):
            a_job(by=an_actor(Right.PREDICT, Right.MANAGE_JOBS))
        assert a_job(by=an_actor(MEASURE)).kind == LENGTHS

    def test_the_same_id_is_the_same_job_only_with_the_same_options(self):
        job_id = uuid.uuid4()
        first = a_job(job_id=job_id, options={"of": "words"})

        assert a_job(job_id=job_id, options={"of": "words"}) == first
        with pytest.raises(JobIdTaken):
            a_job(job_id=job_id)

    def test_the_digest_of_a_prediction_is_what_it_was(self):
        """Senders repeat messages across an upgrade."""
        submitted = SubmittedJob(model="ripeness", rows=[{"features": [1, 2, 3]}])
        assert submitted.digest == "f3c08d675209b59c84fe5441349653b7d338c3b6f24559c27399f25b7da65a78"


class TestVisibility:
    def test_a_key_sees_the_jobs_of_its_tenant(self):
        tenant = a_tenant()
        one, same, other = (
            client_with("measure", tenant=tenant), client_with("measure", tenant=tenant), client_with("measure"),
        )  # fmt: skip
        job = start(one).json()["id"]

        assert same.get(f"{JOBS}/{job}").status_code == 200
        assert other.get(f"{JOBS}/{job}").status_code == 404
        assert other.post(f"{JOBS}/{job}/cancel", {}).status_code == 404
        assert (
            client_with("predict", tenant=tenant, models=[a_live_model(100).pk])
            .get(f"{JOBS}/{job}")
            .status_code
            == 404
        )

    def test_a_key_for_some_models_sees_its_own(self):
        client = client_with("measure", models=[a_live_model(100).pk])
        job = start(client).json()["id"]

        assert [row["id"] for row in client.get(JOBS).json()["results"]] == [job]
        assert client.post(f"{JOBS}/{job}/cancel", {}).json()["status"] == "cancelled"

    def test_people_limited_to_some_models_see_their_own(self):
        person = a_person("operator")
        models = frozenset({a_live_model(100).pk})
        limited = an_actor(Right.READ, MEASURE, models=models, user=person)
        own, others = a_job(by=limited), a_job()

        assert set(policies.jobs_in_scope(limited)) == {own}
        assert set(policies.jobs_in_scope(an_actor(Right.READ))) == {own, others}
        assert not policies.jobs_in_scope(an_actor(Right.READ, models=models)).exists()


class TestApi:
    def test_a_key_with_the_scope_of_the_kind_is_enough(self):
        client = client_with("measure")

        answer = start(client, options={"of": "words"})

        assert answer.status_code == 202, answer.content
        shown = answer.json()
        assert (shown["kind"], shown["model"], shown["version"]) == (LENGTHS, None, None)
        assert shown["options"] == {"of": "words"}
        job = work_off(Job.objects.get(pk=shown["id"]))
        answer = client.get(f"{JOBS}/{job.pk}/results")
        assert f"lengths-{str(job.pk)[:8]}-results.jsonl" in answer["Content-Disposition"]
        assert [json.loads(line)["length"] for line in answer.getvalue().splitlines()] == [1, 2, 3]
        assert len(client.get(f"{JOBS}/{job.pk}/chunks").json()["results"]) == 2
        assert client.get("/api/v1/job-stores").status_code == 200

    def test_a_file_is_the_body_and_options_are_in_the_address(self):
        options = json.dumps({"of": "words"})
        answer = client_with("measure").generic(
            "POST", f"{JOBS}?kind={LENGTHS}&options={options}", "text\none two\n", content_type="text/csv"
        )

        assert answer.status_code == 202, answer.content
        assert lengths_of_csv(work_off(Job.objects.get())) == ["2"]

    @pytest.mark.parametrize(
        ("body", "field", "why"),
        [
            ({"kind": "poems"}, "kind", "no jobs of kind 'poems'; use one of: prediction, "),
            ({"model": "fruit"}, "model", "Jobs of lengths have no Model"),
            ({"version": 1}, "version", "Jobs of lengths have no Model"),
            ({"kind": "prediction"}, "model", "required"),
        ],
        ids=["unknown", "model", "version", "prediction"],
    )
    def test_what_does_not_fit_the_kind_is_refused(self, body, field, why):
        answer = start(client_with("measure", "predict"), **body)

        assert answer.status_code == 422
        assert why in str(answer.json()) and field in str(answer.json())

    def test_a_key_without_the_right_is_refused_before_its_file_is_read(self):
        answer = client_with("predict").generic(
            "POST", f"{JOBS}?kind={LENGTHS}", "text\none\n", content_type="text/csv"
        )

        assert answer.status_code == 403
        assert not list(files._inputs_folder().iterdir())

    def test_jobs_are_listed_by_kind(self):
        client = client_with("measure", "predict")
        start(client)

        assert len(client.get(f"{JOBS}?kind={LENGTHS}").json()["results"]) == 1
        assert client.get(f"{JOBS}?kind=prediction").json()["results"] == []


class TestCelery:
    @pytest.fixture
    def calls(self, monkeypatch):
        told = []
        monkeypatch.setattr(queues, "call_task", lambda task, queue, what, *, task_id: told.append(what))
        return told

    def send(self, key, **order):
        task_id = uuid.uuid4()
        on_done = {"task": "shop.measured", "queue": "shop"}
        receive(raw(signed(key, task_id, {"rows": ROWS, "on_done": on_done, **order}), task_id))
        return task_id

    @pytest.mark.both
    def test_a_message_names_a_kind_instead_of_a_model(self, calls):
        task_id = self.send(a_key("measure")[1], kind=LENGTHS, options={"of": "words"})

        job = work_off(Job.objects.get(pk=task_id))
        replies.reply(job.pk)

        assert lengths_of(job) == [1, 2, 3]
        assert (calls[0]["status"], calls[0]["model"], calls[0]["version"]) == ("done", None, None)

    def test_what_is_refused_is_recorded(self, calls):
        self.send(a_key("measure")[1], kind="poems")

        (rejected,) = RefusedOrder.objects.all()
        assert (rejected.code, rejected.model_slug) == ("bad_job", "")
        assert rejected.why.startswith("`kind`: This installation has no jobs of kind 'poems'; use one of: ")
        assert calls[0]["status"] == "refused"

    def test_the_right_is_needed(self, calls):
        self.send(a_key("predict")[1], kind=LENGTHS)

        assert RefusedOrder.objects.get().code == "not_allowed"


class TestPages:
    @pytest.fixture
    def operator(self, client):
        client.force_login(a_person("operator", username="operator"))
        return client

    def form(self, **fields):
        return {
            "kind": LENGTHS,
            "pasted": "text\none two\n",
            "on_row_error": "fail",
            "error_limit": 10,
            **fields,
        }

    def test_who_may_submit_several_kinds_chooses(self, operator, client):
        page = operator.get(reverse(ADD)).content.decode()
        assert '<option value="lengths">Lengths</option>' in page and 'name="options"' in page

        client.force_login(a_person("approver"))
        assert 'name="kind"' not in client.get(reverse(ADD)).content.decode()

    def test_the_form_starts_a_job(self, operator):
        answer = operator.post(reverse(ADD), self.form(options='{"of": "words"}'), follow=True)

        job = Job.objects.get()
        assert f"Job {str(job.pk)[:8]} started: lengths." in answer.content.decode()
        assert (job.kind, job.options) == (LENGTHS, {"of": "words"})
        assert lengths_of_csv(work_off(job)) == ["2"]

    @pytest.mark.parametrize(
        ("fields", "why"),
        [
            ({"model": "fruit"}, "Jobs of lengths have no Model"),
            ({"options": "[1]"}, "Enter a JSON object."),
            ({"options": '{"of": "vowels"}'}, "characters or words"),
            ({"kind": "poems"}, "Select a valid choice"),
            ({"kind": "prediction"}, "This field is required."),
            ({"kind": ""}, "This field is required."),
        ],
        ids=["model", "list", "options", "kind", "no model", "no kind"],
    )
    def test_the_form_says_what_does_not_fit(self, operator, fields, why):
        page = operator.post(reverse(ADD), self.form(**fields)).content.decode()

        assert why in page
        assert not Job.objects.exists()

    def test_the_preview_shows_the_columns_of_the_kind(self, operator):
        page = operator.post(reverse(PREVIEW), self.form(is_whole="yes")).content.decode()
        assert "The columns and the first row fit lengths." in page

        page = operator.post(
            reverse(PREVIEW), self.form(pasted="words\none\n", is_whole="yes")
        ).content.decode()
        assert "The file does not fit lengths." in page

    def test_pages_show_the_kind_where_a_version_would_be(self, operator, rf):
        job = a_job([*ROWS, {"text": JAMMED}], options={"of": "words"})
        assert (
            "in the pool <b>infer</b>"
            in operator.get(reverse("admin:inference_job_change", args=[job.pk])).content.decode()
        )
        work_off(job)

        page = operator.get(reverse("admin:inference_job_change", args=[job.pk])).content.decode()
        assert "<dt>Kind</dt><dd>Lengths</dd>" in page and "<dt>of</dt><dd>words</dd>" in page
        listed = operator.get(f"{reverse(LIST)}?kind={LENGTHS}").content.decode()
        assert str(job.pk)[:8] in listed and "lengths" in listed
        assert str(job.pk)[:8] not in operator.get(f"{reverse(LIST)}?kind=prediction").content.decode()
        retry = operator.get(reverse("admin:inference_job_retry", args=[job.pk])).content.decode()
        assert f"job {str(job.pk)[:8]} of lengths" in retry
        request = rf.get("/")
        request.actor = an_actor()
        (hit,) = find_jobs(request, str(job.pk)[:8])
        assert hit.detail == "lengths, failed, by tester"

    def test_the_home_page_names_it(self):
        job = work_off(a_job([{"text": JAMMED}]))

        (failed,) = attention.failed_jobs(an_actor())
        assert failed.sentence == f"Job {str(job.pk)[:8]} of lengths failed after 0 rows."
        assert failed.name == "lengths"
        a_job()
        (queue,) = attention.stuck_queues(an_actor())
        assert "in the pool infer" in queue.sentence

    def test_cancelling_is_recorded(self, operator):
        job = a_job()
        operator.post(reverse("admin:inference_job_cancel", args=[job.pk]), {"reason": "wrong file"})

        record = AuditRecord.objects.get(action="cancel_job")
        assert (record.object_id, record.model_slug, record.reason) == (str(job.pk), "", "wrong file")
        assert Chunk.objects.filter(status="cancelled").count() == 2
