"""Jobs in the admin: the list, a job's page, its buttons, a new one, the Model's panel."""

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from inference.jobs import services, submissions
from inference.jobs.models import Chunk, Job
from inference.jobs.services import SubmittedJob, ledger
from inference.jobs.services.ledger import ChunkResults
from tests.support.factories import a_live_model, a_person, a_tenant, an_actor

pytestmark = pytest.mark.django_db
ROWS = [{"x": [1, 2, 3, 4], "name": "a"}, {"x": [5, 6, 7, 8], "name": "b"}]
LIST, ADD, BARS = "admin:inference_job_changelist", "admin:inference_job_add", "admin:inference_job_bars"


@pytest.fixture(autouse=True)
def own_folder(settings, tmp_path):
    settings.DATA_DIR = tmp_path


@pytest.fixture
def model():
    return a_live_model(100, slug="fruit")


@pytest.fixture
def operator(client):
    client.force_login(a_person("operator", username="operator"))
    return client


@pytest.fixture
def job(model):
    return a_job(model)


def a_job(model, rows=ROWS, **more):
    return services.accept(SubmittedJob(model=model.slug, rows=rows, **more), by=an_actor(), principal=None)


def a_claim(job):
    claim = ledger.claim(Chunk.objects.filter(job=job, status="waiting").first(), holder="worker 1")
    assert claim is not None
    return claim


def page_of(job, name="change"):
    return reverse(f"admin:inference_job_{name}", args=[job.pk])


def finish(job):
    assert ledger.finish(a_claim(job), ChunkResults(rows_done=2, results='{"id": 1}\n{"id": 2}\n'))


def read(client, path):
    return client.get(path).content.decode()


class TestList:
    def test_shows_jobs_with_their_bars(self, operator, job):
        page = read(operator, reverse(LIST))

        assert str(job.pk)[:8] in page
        assert "0 % · 0 of 2 rows" in page
        assert f'data-job="{job.pk}" data-open="yes"' in page

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ("status__exact=queued", True),
            ("status__exact=done", False),
            ("model__slug=fruit", True),
            ("model__slug=bread", False),
            ("made_by=tester", True),
            ("made_by=nobody", False),
            ("q=fruit", True),
            ("q=bread", False),
        ],
    )
    def test_is_filtered_and_searched(self, operator, job, query, found):
        assert (str(job.pk)[:8] in read(operator, f"{reverse(LIST)}?{query}")) is found

    def test_is_searched_by_id(self, operator, model, job):
        other = a_job(model)

        page = read(operator, f"{reverse(LIST)}?q={job.pk}")

        assert str(job.pk)[:8] in page
        assert str(other.pk)[:8] not in page

    def test_an_empty_one_says_what_to_do(self, operator):
        assert "No jobs yet." in read(operator, reverse(LIST))
        assert "No jobs yet." not in read(operator, f"{reverse(LIST)}?q=x")

    def test_tells_its_script_how_far_they_are(self, operator, model, job):
        ended = a_job(model)
        finish(ended)

        told = operator.get(reverse(BARS), {"id": [str(job.pk), str(ended.pk), "nonsense"]}).json()["jobs"]

        assert {pk: row["is_open"] for pk, row in told.items()} == {str(job.pk): True, str(ended.pk): False}
        assert "100 % · 2 of 2 rows" in told[str(ended.pk)]["bar"]


class TestPage:
    def test_of_one_that_is_done(self, operator, model):
        job = a_job(model, contract={"id": "name", "on_row_error": "skip"})
        finish(job)

        page = read(operator, page_of(job))

        assert "{&quot;id&quot;: 1}" in page
        assert f"/api/v1/jobs/{job.pk}/results" in page
        assert "skipped, up to 1,000" in page
        assert 'data-open="no"' in page

    def test_of_one_that_has_no_results_to_show_yet(self, operator, job):
        Job.objects.update(rows_done=1)  # of a part that goes on

        page = read(operator, page_of(job))

        assert "The first results will appear here." in page
        assert '<progress max="1000" value="500"' in page

    def test_of_one_without_rows(self, operator, job):
        Job.objects.update(is_planned=True, rows_total=0)

        assert '<progress max="1000" value="1000"' in read(operator, page_of(job))

    def test_of_one_with_a_dead_part(self, operator, job):
        for _ in range(ledger.MAX_LEASES_LOST):
            claim = a_claim(job)
            Chunk.objects.filter(pk=claim.chunk_id).update(lease_until="2000-01-01T00:00:00Z")
            ledger.free_expired()

        page = read(operator, page_of(job))

        assert '<span class="rh-badge rh-badge-bad">dead</span>' in page
        assert Chunk.objects.get(job=job).failure.split(".")[0] in page
        assert "Workers died three times on 1 part" in read(operator, page_of(job, "retry"))

    def test_tells_its_script_what_has_changed(self, operator, job):
        a_claim(job)

        told = operator.get(page_of(job, "progress")).json()

        assert told["is_open"] is True
        assert "worker 1" in told["parts"]
        assert "running" in told["progress"]

    def test_names_the_tenant(self, operator, job):
        Job.objects.update(tenant=a_tenant("night-shift"))

        assert "tester for night-shift" in read(operator, page_of(job))

    def test_takes_nothing_by_post(self, operator, job):
        assert operator.post(page_of(job)).status_code == 405


class TestButtons:
    @pytest.mark.parametrize(
        ("name", "said", "status"),
        [
            ("cancel", "1 part waiting and 0 parts running will be cancelled", "cancelled"),
            ("retry", "1 part with 2 rows will run again.", "queued"),
        ],
    )
    def test_say_what_they_do_and_do_it(self, operator, job, name, said, status):
        if name == "retry":
            assert ledger.fail(a_claim(job), "No.")

        asked = read(operator, page_of(job, name))
        operator.post(page_of(job, name), {"reason": "wrong file"})

        assert said in asked
        job.refresh_from_db()
        assert job.status == status

    def test_what_cannot_be_done_is_said(self, operator, job):
        finish(job)

        page = operator.post(page_of(job, "cancel"), {"reason": "too late"}).content.decode()

        assert "nothing to cancel" in page

    def test_are_for_those_who_may(self, client, job):
        client.force_login(a_person("viewer"))

        assert page_of(job, "cancel") not in read(client, page_of(job))


class TestNewJob:
    def order(self, client, **given):
        return client.post(
            reverse(ADD), {"model": "fruit", "on_row_error": "fail", "error_limit": "1000", **given}
        )

    def test_rows_that_were_typed(self, operator, model):
        answer = self.order(operator, pasted='{"x": [1, 2, 3, 4]}\n')

        job = Job.objects.get()
        assert answer["Location"] == page_of(job)
        assert (job.input_format, job.made_by, job.input_bytes) == ("jsonl", "operator", 20)

    def test_a_file_with_all_options(self, operator, model):
        file = SimpleUploadedFile("rows.csv.gz", b"whatever")

        self.order(
            operator, file=file, version="1", output_format="jsonl", id_column="name", copied="note, place",
            columns='{"x": ["a", "b", "c", "d"]}', on_row_error="skip", error_limit="5",
        )  # fmt: skip

        job = Job.objects.get()
        assert (job.input_format, job.is_gzipped, job.output_format) == ("csv", True, "jsonl")
        assert job.contract == {
            "columns": {"x": ["a", "b", "c", "d"]}, "id": "name", "passthrough": ["note", "place"],
            "on_row_error": "skip", "error_limit": 5, "missing": "error",
        }  # fmt: skip

    @pytest.mark.parametrize(
        ("given", "said"),
        [
            ({}, "Choose a file, or paste rows"),
            ({"pasted": "x\n1\n", "file": SimpleUploadedFile("rows.csv", b"x\n1\n")}, "not both"),
            ({"pasted": "x\n1\n", "model": "nobody"}, "nobody"),
            ({"pasted": "x\n1\n", "version": "9"}, "version 9"),
            ({"pasted": "x\n1\n", "columns": "{"}, "valid JSON"),
            ({"pasted": "x\n1\n", "columns": "[1]"}, "columns"),
        ],
        ids=["nothing", "both", "no Model", "no version", "no JSON", "no mapping"],
    )
    def test_says_what_is_wrong(self, operator, model, tmp_path, given, said):
        page = self.order(operator, **given).content.decode()

        assert said in page
        assert not Job.objects.exists()
        assert not [path for path in (tmp_path / "jobs").rglob("*") if path.is_file()]

    def test_a_file_that_is_too_large_is_for_the_api(self, operator, model, monkeypatch):
        monkeypatch.setattr("inference.jobs.forms.MAX_FILE_BYTES", 3)

        page = self.order(operator, file=SimpleUploadedFile("rows.csv", b"x\n1\n")).content.decode()

        assert submissions.MAX_FILE_BYTES == 64 << 20
        assert "Upload it in parts" in page

    def test_a_name_that_says_nothing_needs_a_format(self, operator, model):
        page = self.order(operator, file=SimpleUploadedFile("rows", b"x\n1\n")).content.decode()

        assert "choose it here" in page


class TestPanel:
    @pytest.fixture
    def page(self, model):
        return f"{reverse('admin:registry_model_change', args=[model.pk])}?tab=jobs"

    def test_shows_the_last_jobs(self, operator, model, page):
        jobs = [a_job(model) for _ in range(6)]

        text = read(operator, page)

        assert [str(job.pk)[:8] in text for job in jobs] == [False, True, True, True, True, True]
        assert f"{reverse(ADD)}?model=fruit" in text

    def test_an_empty_one_says_what_to_do(self, operator, page):
        assert "A job runs predictions for a file of rows" in read(operator, page)
