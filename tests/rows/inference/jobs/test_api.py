"""Jobs over HTTP: what is accepted, what is refused, who sees what."""

import gzip
import json
import uuid

import pytest
from rest_framework.test import APIClient

from inference.jobs import files, services, submissions
from inference.jobs.models import Chunk, Job
from inference.jobs.services import ledger
from inference.jobs.services.ledger import ChunkResults
from registry.access.keys import ring
from registry.access.policies import Role
from registry.intake.models import Upload
from tests.support.factories import a_key, a_live_model, a_person, a_tenant

pytestmark = pytest.mark.django_db
V1 = "/api/v1"
ROWS = [{"x": [1, 2, 3, 4]}, {"x": [5, 6, 7, 8]}]
CSV = b"a,b,c,d\n1,2,3,4\n5,6,7,8\n"
ONCE = {"Idempotency-Key": "once"}


@pytest.fixture(autouse=True)
def fresh(settings, tmp_path):
    settings.DATA_DIR = tmp_path
    ring.clear()
    yield tmp_path
    ring.clear()


@pytest.fixture
def model():
    return a_live_model(100, slug="fruit")


@pytest.fixture
def api(model):
    return client_with("predict")


def client_with(*scopes, **more):
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {a_key(*scopes, **more)[1]}")
    return client


def ask(api, *, headers=None, **given):
    return api.post(f"{V1}/jobs", {"model": "fruit", **given}, headers=headers)


def order(api, **more):
    answer = ask(api, **{"rows": ROWS, **more})
    assert answer.status_code == 202, answer.content
    return answer


def send(api, body, kind="text/csv", query="model=fruit", **more):
    return api.generic("POST", f"{V1}/jobs?{query}", body, content_type=kind, **more)


def inputs_in(folder):
    return [path for path in (folder / "jobs").rglob("*") if path.is_file()]


class TestOrders:
    @pytest.mark.parametrize(
        ("given", "rows"),
        [
            ({"rows": ROWS}, ROWS),
            ({"instances": [[1, 2, 3, 4]]}, [{"features": [1, 2, 3, 4]}]),
            ({"instances": ROWS}, ROWS),
            ({"inputs": {"x": [[1, 2, 3, 4], [5, 6, 7, 8]]}}, ROWS),
        ],
        ids=["rows", "instances of the only input", "instances by name", "tensors"],
    )
    def test_rows_in_the_request(self, api, given, rows):
        answer = ask(api, **given)

        assert answer.status_code == 202, answer.content
        told = answer.json()
        assert answer["Location"] == told["links"]["self"] == f"/api/v1/jobs/{told['id']}"
        assert (told["status"], told["model"], told["version"]) == ("queued", "fruit", 1)
        assert told["progress"]["rows_total"] == len(rows)
        assert [row for chunk in Chunk.objects.all() for row in chunk.inputs] == rows

    def test_the_version_is_the_one_that_is_asked_for(self, model, api):
        assert order(api, version=1).json()["version"] == 1
        assert order(api, alias="champion").json()["version"] == 1

    @pytest.mark.parametrize(
        ("given", "status", "code"),
        [
            ({}, 422, "invalid"),
            ({"rows": ROWS, "instances": [[1]]}, 422, "invalid"),
            ({"rows": ROWS, "contrct": {}}, 422, "invalid"),
            ({"inputs": {"x": [[1]], "y": []}}, 422, "bad_job"),
            ({"rows": ROWS, "contract": {"colums": {}}}, 422, "bad_job"),
            ({"model": "nobody", "rows": ROWS}, 404, "unknown_model"),
            ({"input": {"store": "cellar"}, "format": "csv"}, 422, "invalid"),
            ({"input": {"upload": str(uuid.uuid4())}}, 422, "invalid"),
            ({"input": {"upload": str(uuid.uuid4())}, "format": "csv"}, 404, "not_found"),
        ],
        ids=["nothing", "two forms", "misspelt", "uneven", "contract", "model", "store without path", "no format",
             "no upload"],
    )  # fmt: skip
    def test_what_cannot_be_answered_is_refused(self, api, given, status, code):
        answer = ask(api, **given)

        assert (answer.status_code, answer.json()["code"]) == (status, code), answer.content
        assert not Job.objects.exists()

    def test_a_body_of_two_megabytes_is_read(self, api):
        padded = [{**ROWS[0], "note": "x" * 1000}] * 2500

        assert order(api, rows=padded).json()["progress"]["rows_total"] == 2500

    @pytest.mark.parametrize(
        ("body", "more", "status", "code"),
        [
            (b"{}", {"CONTENT_LENGTH": str(9 << 20)}, 413, "body_too_large"),
            (b"{", {}, 400, "bad_body"),
        ],
        ids=["too large to be read", "broken"],
    )
    def test_a_body_that_is_no_order_is_named(self, api, body, more, status, code):
        answer = api.generic("POST", f"{V1}/jobs", body, content_type="application/json", **more)

        assert (answer.status_code, answer.json()["code"]) == (status, code)

    def test_the_same_key_gives_the_same_job(self, api):
        first, second = (ask(api, rows=ROWS, headers=ONCE) for _ in "ab")
        other = ask(api, rows=ROWS[:1], headers=ONCE)

        assert first.json()["id"] == json.loads(second.content)["id"]
        assert second["Idempotency-Replayed"] == "true"
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
        assert Job.objects.count() == 1


class TestFiles:
    def test_the_body_is_the_file(self, api, fresh):
        contract = json.dumps({"columns": {"x": ["a", "b", "c", "d"]}, "on_row_error": "skip"})

        answer = send(api, CSV, query=f"model=fruit&contract={contract}&output_format=jsonl")

        assert answer.status_code == 202, answer.content
        told = answer.json()
        assert (told["source"], told["format"], told["output_format"]) == ("file", "csv", "jsonl")
        assert told["contract"]["on_row_error"] == "skip"
        assert told["progress"]["rows_total"] is None
        (kept,) = inputs_in(fresh)
        assert kept.read_bytes() == CSV

    @pytest.mark.parametrize(
        ("kind", "query", "found"),
        [
            ("application/x-ndjson", "", "jsonl"),
            ("application/octet-stream", "", "npz"),
            ("application/octet-stream", "&format=csv", "csv"),
            ("application/vnd.apache.parquet", "", "parquet"),
            ("application/zip", "", "zip"),
        ],
    )
    def test_its_type_says_what_it_is(self, api, kind, query, found):
        assert send(api, b"whatever", kind, f"model=fruit{query}").json()["format"] == found

    def test_gzip_is_kept_packed(self, api, fresh):
        answer = send(api, gzip.compress(CSV), HTTP_CONTENT_ENCODING="gzip")

        assert answer.json()["gzip"] is True
        assert gzip.decompress(inputs_in(fresh)[0].read_bytes()) == CSV

    @pytest.mark.parametrize(
        ("body", "more", "status", "code"),
        [
            (CSV, {"kind": "image/png"}, 415, "unsupported_media_type"),
            (CSV, {"HTTP_CONTENT_ENCODING": "br"}, 415, "unsupported_media_type"),
            (CSV, {"query": "model=nobody"}, 404, "unknown_model"),
            (CSV, {"query": ""}, 422, "invalid"),
            (CSV, {"query": "model=fruit&contract=[]"}, 422, "invalid"),
            (CSV, {"query": "model=fruit&output=csv"}, 422, "invalid"),
            (CSV, {"query": 'model=fruit&contract={"id":1}'}, 422, "bad_job"),
            (CSV, {"CONTENT_LENGTH": ""}, 411, "length_required"),
            (CSV, {"CONTENT_LENGTH": str(submissions.MAX_FILE_BYTES + 1)}, 413, "body_too_large"),
            (b"", {"CONTENT_LENGTH": "0"}, 422, "bad_job"),
        ],
        ids=["type", "coding", "model", "nothing", "contract", "unknown", "bad contract", "no length", "too large",
             "empty"],
    )  # fmt: skip
    def test_a_refused_file_leaves_nothing(self, api, fresh, body, more, status, code):
        answer = send(api, body, **more)

        assert (answer.status_code, answer.json()["code"]) == (status, code), answer.content
        assert not Job.objects.exists()
        assert inputs_in(fresh) == []

    def test_the_same_key_with_the_same_file(self, api, fresh):
        first, second = (send(api, CSV, headers=ONCE) for _ in "ab")
        other = send(api, CSV + b"9,9,9,9\n", headers=ONCE)

        assert first.json()["id"] == json.loads(second.content)["id"]
        assert other.status_code == 422
        assert len(inputs_in(fresh)) == 1

    def test_a_page_of_ours_sends_with_its_token(self, model):
        person = a_person(Role.OPERATOR)
        client = APIClient(enforce_csrf_checks=True)
        client.force_login(person)

        refused = send(client, CSV)
        client.get("/admin/")
        token = client.cookies["csrftoken"].value
        accepted = send(client, CSV, HTTP_X_CSRFTOKEN=token)

        assert (refused.status_code, accepted.status_code) == (403, 202), accepted.content
        assert Job.objects.get().made_by == person.username

    def test_one_that_no_job_came_of_is_swept(self, api, fresh, monkeypatch):
        send(api, CSV)
        files.save_input([b"its process died"])
        services.expire_jobs()
        assert len(inputs_in(fresh)) == 2

        monkeypatch.setattr(files, "_STRAY_AFTER_S", -60)
        services.expire_jobs()

        (kept,) = inputs_in(fresh)
        assert kept.read_bytes() == CSV


class TestUploads:
    @pytest.fixture
    def api(self, model):
        return client_with("predict", "registry.write")

    def begin(self, api, size_bytes):
        return api.post(f"{V1}/uploads", {"size_bytes": size_bytes})

    @pytest.fixture
    def upload(self, api):
        begun = self.begin(api, len(CSV))
        api.put(f"{begun['Location']}?offset=0", CSV, content_type="application/octet-stream")
        return begun.json()["id"]

    def ask(self, api, upload, **more):
        return ask(api, input={"upload": upload}, format="csv", **more)

    def test_a_whole_upload_becomes_the_input(self, api, upload, fresh, django_capture_on_commit_callbacks):
        with django_capture_on_commit_callbacks(execute=True):
            answer = self.ask(api, upload)

        assert answer.status_code == 202, answer.content
        assert [path.read_bytes() for path in inputs_in(fresh)] == [CSV]
        assert Upload.objects.get().status == "taken"
        assert not list((fresh / "uploads").glob("*.part"))

    def test_it_is_used_once(self, api, upload, fresh):
        self.ask(api, upload)

        again = self.ask(api, upload)

        assert (again.status_code, again.json()["code"]) == (409, "upload_ended")
        assert len(inputs_in(fresh)) == 1

    def test_the_same_key_asks_once(self, api, upload):
        first, second = (self.ask(api, upload, headers=ONCE) for _ in "ab")

        assert first.status_code == second.status_code == 202
        assert first.json()["id"] == json.loads(second.content)["id"]

    def test_an_upload_on_its_way_is_refused(self, api, fresh):
        answer = self.ask(api, self.begin(api, 100).json()["id"])

        assert (answer.status_code, answer.json()["code"]) == (409, "upload_incomplete")
        assert inputs_in(fresh) == []

    def test_what_the_job_refuses_leaves_the_upload(self, api, upload, fresh):
        assert self.ask(api, upload, version=7).status_code == 404

        assert Upload.objects.get().status == "open"
        assert inputs_in(fresh) == []
        assert self.ask(api, upload).status_code == 202

    def test_somebody_elses_is_not_there(self, upload):
        assert self.ask(client_with("predict", "registry.write"), upload).status_code == 404


class TestReading:
    def test_one_that_is_open_says_when_to_ask_again_and_one_that_has_ended_does_not(self, api):
        path = order(api)["Location"]

        answer = api.get(path)

        assert int(answer["Retry-After"]) >= 1
        assert api.get(path, HTTP_IF_NONE_MATCH=answer["ETag"]).status_code == 304
        api.post(f"{path}/cancel")
        assert "Retry-After" not in api.get(path)

    def test_lists_are_filtered(self, model, api):
        first, second = order(api).json(), order(api).json()
        api.post(f"{first['links']['cancel']}")

        def ids(query):
            return [job["id"] for job in api.get(f"{V1}/jobs?{query}").json()["results"]]

        assert ids("") == [second["id"], first["id"]]
        assert ids("status=cancelled") == [first["id"]]
        assert ids("model=fruit&version=1&status=queued") == [second["id"]]
        assert ids("model=nobody") == []
        assert api.get(f"{V1}/jobs?stat=queued").status_code == 422
        assert api.get(f"{V1}/jobs?status=asleep").status_code == 422

    def test_chunks_are_listed(self, api):
        path = order(api)["Location"]

        (chunk,) = api.get(f"{path}/chunks").json()["results"]

        assert (chunk["index"], chunk["status"], chunk["rows"], chunk["leases_lost"]) == (0, "waiting", 2, 0)
        assert api.get(f"{path}/chunks?status=dead").json()["results"] == []

    @pytest.mark.parametrize("name", ["nobody", "6f1c1f5e-54a8-4b52-9d4e-3c1f0a7b9d10", "1"])
    def test_what_is_not_there(self, api, name):
        assert api.get(f"{V1}/jobs/{name}").status_code == 404


class TestResults:
    def done(self, api):
        told = order(api).json()
        claim = ledger.claim(Chunk.objects.get(job=told["id"]), holder="tester")
        assert ledger.finish(claim, ChunkResults(rows_done=2, results='{"row": 1}\n{"row": 2}\n'))
        return told["links"]

    def test_are_taken_as_a_file(self, api):
        answer = api.get(self.done(api)["results"])

        assert answer.getvalue() == b'{"row": 1}\n{"row": 2}\n'
        assert answer["Content-Type"] == "application/x-ndjson"
        assert answer["X-Job-Complete"] == "true"
        assert answer["Content-Disposition"].startswith('attachment; filename="fruit-')

    @pytest.mark.parametrize(
        ("asked", "status", "sent", "told"),
        [
            ("bytes=5-", 206, b'": 1}\n{"row": 2}\n', "bytes 5-21/22"),
            ("bytes=11-12", 206, b'{"', "bytes 11-12/22"),
            ("bytes=-3", 206, b"2}\n", "bytes 19-21/22"),
            ("rows=1-", 200, b'{"row": 1}\n{"row": 2}\n', None),
        ],
        ids=["the rest", "the middle", "the end", "no range of bytes"],
    )
    def test_parts_of_them_are_sent(self, api, asked, status, sent, told):
        answer = api.get(self.done(api)["results"], headers={"Range": asked})

        assert (answer.status_code, answer.getvalue(), answer.get("Content-Range")) == (status, sent, told)

    def test_nothing_lies_behind_their_end(self, api):
        answer = api.get(self.done(api)["results"], headers={"Range": "bytes=22-"})

        assert (answer.status_code, answer.json()["code"]) == (416, "range_not_satisfiable")

    def test_parts_of_what_may_change_are_not(self, api):
        answer = api.get(order(api).json()["links"]["results"], headers={"Range": "bytes=1-"})

        assert (answer.status_code, answer["X-Job-Complete"]) == (200, "false")

    @pytest.mark.parametrize("is_cancelled", [False, True], ids=["before the end", "cancelled"])
    def test_are_partial_where_it_is_not_done(self, api, is_cancelled):
        links = order(api).json()["links"]
        if is_cancelled:
            api.post(links["cancel"])

        answer = api.get(links["results"])

        assert (answer.getvalue(), answer["X-Job-Complete"]) == (b"", "false")

    def test_errors_are_lines(self, api):
        answer = api.get(self.done(api)["errors"])

        assert (answer.getvalue(), answer["Content-Type"]) == (b"", "application/x-ndjson")


class TestCancelAndRetry:
    def test_cancelling(self, api):
        path = order(api)["Location"]

        cancelled = api.post(f"{path}/cancel", {"reason": "wrong file"})
        again = api.post(f"{path}/cancel")

        assert cancelled.json()["status"] == "cancelled"
        assert (again.status_code, again.json()["code"]) == (409, "job_state")

    def test_retrying_says_why_and_takes_up_what_failed(self, api):
        """A worker takes the first part and fails at it."""
        told = order(api).json()
        claim = ledger.claim(Chunk.objects.get(job=told["id"]), holder="tester")
        assert ledger.fail(claim, "A row is wrong.")

        failed = api.get(told["links"]["self"]).json()
        unsaid = api.post(told["links"]["retry"])
        retried = api.post(told["links"]["retry"], {"reason": "mended"})

        assert (failed["status"], failed["progress"]["chunks_stuck"]) == ("failed", 1)
        assert "A row is wrong." in failed["failure"]
        assert unsaid.status_code == 422
        assert (retried.json()["status"], retried.json()["failure"]) == ("queued", "")


class TestWhoMay:
    @pytest.fixture
    def job(self, api):
        return order(api).json()

    def test_another_tenant_finds_nothing(self, job):
        other = client_with("predict")

        assert other.get(f"{V1}/jobs").json()["results"] == []
        for path in ("", "/results", "/errors", "/chunks"):
            assert other.get(f"{V1}/jobs/{job['id']}{path}").status_code == 404
        for path in ("cancel", "retry"):
            assert other.post(f"{V1}/jobs/{job['id']}/{path}", {"reason": "mine now"}).status_code == 404

    def test_another_key_of_the_tenant_goes_on(self, model):
        tenant = a_tenant()
        job = order(client_with("predict", tenant=tenant)).json()

        other = client_with("predict", tenant=tenant)

        assert other.get(job["links"]["self"]).status_code == 200
        assert other.post(job["links"]["cancel"]).json()["status"] == "cancelled"

    def test_people_limited_to_other_models_do_not(self, job):
        client = APIClient()
        client.force_login(a_person("operator", models=[a_live_model(100).pk]))

        assert client.get(job["links"]["self"]).status_code == 404
        assert client.post(job["links"]["cancel"]).status_code == 404

    def test_a_key_for_another_model_finds_no_model(self, model):
        api = client_with("predict", models=[a_live_model(100).pk])

        assert ask(api, rows=ROWS).status_code == 404
        assert send(api, CSV).status_code == 404
