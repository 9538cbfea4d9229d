"""Moderation in bulk: a job's rows are contents, its results are decisions."""

import base64
import json
import uuid

import pytest

from inference.doors.celery.submissions import receive
from inference.jobs import files, selectors, services
from inference.jobs.kinds import SubmittedJob
from inference.jobs.models import Format, InputSource, Job
from inference.serving import runtime
from moderation.deciding import process
from moderation.deciding.dispatch import MODERATION
from moderation.deciding.models import Decision, StoredContent
from moderation.deciding.writer import DecisionWriter
from moderation.doors import jobs
from moderation.errors import WritesBehind
from moderation.policies.models import Policy
from registry.access.keys import ring
from registry.catalogue.models import Model
from registry.traffic.services.holds import stop_model
from tests.support.detectors import a_policy
from tests.support.factories import a_key, an_actor
from tests.support.house import errors, results, work_off
from tests.support.picture_files import picture, saved
from tests.support.sending import raw, signed

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def own_folder(settings, tmp_path):
    settings.DATA_DIR = tmp_path


@pytest.fixture
def client_key(tenant):
    return a_key("moderate", tenant=tenant)


def a_job(rows=None, *, by=None, **more):
    submitted = SubmittedJob(kind=MODERATION, rows=rows, **more)
    return services.accept(submitted, by=by or an_actor(), principal=None)


def a_file_job(content, input_format=Format.CSV, **more):
    ref, size, _ = files.save_input([content if isinstance(content, bytes) else content.encode()])
    source = {"source": InputSource.FILE, "input_ref": ref, "input_bytes": size, "input_format": input_format}
    return a_job(**source, **more)


def written():
    process.started().writer.stop()
    return {one.request_id: one for one in Decision.objects.select_related("content")}


def test_each_row_gets_the_decision_that_the_door_gives(deciding):
    job = work_off(
        a_job([{"text": "above"}, {"text": "mild", "content_id": 7}, {"title": "vile", "language": "en"}])
    )

    assert (job.status, job.failure) == ("done", "")
    blocked, allowed, titled = results(job)
    assert {name: value for name, value in blocked.items() if name != "request_id"} == {
        "row": 1, "decision": "block", "safe": False, "violations": ["toxic_language"], "problems": [], "held": False,
        "policy": "default", "policy_revision": 1,
    }  # fmt: skip
    assert (allowed["decision"], allowed["safe"], titled["decision"]) == ("allow", True, "block")
    stored = written()
    assert stored[blocked["request_id"]].content.text == "above"
    assert stored[allowed["request_id"]].content_id == "7"
    assert stored[titled["request_id"]].content.title == "vile"


def test_decisions_belong_to_the_tenant_of_the_key_and_follow_its_policy(moderate, tenant, client):
    strict = {
        "rules": [
            {"name": "any", "kind": "words", "entries": ["mild"], "code": "unwanted", "effect": "block"}
        ]
    }
    a_policy(strict, name="shop", tenant=tenant)
    process.started().refresh()
    row, key_text = a_key("moderate", tenant=tenant)

    answer = client.post(
        "/api/v1/jobs",
        json.dumps({"kind": "moderation", "rows": [{"text": "mild"}]}),
        "application/json",
        headers={"Authorization": f"Bearer {key_text}"},
    )
    job = work_off(Job.objects.get(pk=answer.json()["id"]))

    (result,) = results(job)
    assert (result["decision"], result["policy"]) == ("block", "shop")
    decision = written()[result["request_id"]]
    assert (decision.tenant, decision.key) == (tenant, row)


def test_rows_that_are_no_contents_are_bad_rows(deciding):
    rows = [{"text": "fine"}, {"author_id": "a"}, {"text": "x", "language": "!"}, {"text": "x" * 100_001}]
    job = work_off(a_job(rows, contract={"on_row_error": "skip"}))

    assert (job.status, job.rows_done, job.rows_bad) == ("done", 1, 3)
    assert [error["row"] for error in errors(job)] == [2, 3, 4]
    assert "is empty" in errors(job)[0]["reason"]


def test_rows_without_a_policy_are_bad_rows(deciding):
    a_policy(name="comments", context="comments")
    Policy.objects.filter(name="default").update(context="posts")
    process.started().refresh()
    rows = [{"text": "fine", "context": "comments"}, {"text": "fine", "context": "chats"}]

    job = work_off(a_job(rows, contract={"on_row_error": "skip"}))

    assert (job.rows_done, job.rows_bad) == (1, 1)
    assert "No policy covers this content" in errors(job)[0]["reason"]


def test_a_csv_file_of_comments(deciding):
    text = "id,comment,author\n1,above,ann\n2,,bob\n3,fine,\n"
    contract = {"columns": {"text": "comment", "author_id": "author"}, "id": "id", "on_row_error": "skip"}
    job = work_off(a_file_job(text, contract=contract))

    lines = b"".join(selectors.results_of(job)).decode().splitlines()
    assert lines[0] == "id,request_id,decision,safe,violations,problems,held,policy,policy_revision"
    assert [line.split(",")[0] for line in lines[1:]] == ["1", "3"]
    assert ',block,false,"[""toxic_language""]",[],false,default,1' in lines[1]
    assert [error["id"] for error in errors(job)] == ["2"]
    assert {one.author_id for one in written().values()} == {"ann", ""}


def test_what_is_not_to_be_stored_is_not(deciding):
    rows = [
        {"text": "above", "do_not_store": True},
        {"text": "vile", "do_not_store": "yes"},
        {"text": "vile"},
    ]
    job = work_off(a_job(rows, contract={"on_row_error": "skip"}))

    kept, stored = results(job), written()
    assert [row["decision"] for row in kept] == ["block", "block"]
    assert set(stored) == {kept[1]["request_id"]}
    assert StoredContent.objects.count() == 1
    assert "`do_not_store` is true or false" in errors(job)[0]["reason"]


def test_a_key_for_tests_stores_nothing(moderate, tenant, client):
    _, key_text = a_key("moderate.test", tenant=tenant)
    answer = client.post(
        "/api/v1/jobs",
        json.dumps({"kind": "moderation", "rows": [{"text": "above"}]}),
        "application/json",
        headers={"Authorization": f"Bearer {key_text}"},
    )
    job = work_off(Job.objects.get(pk=answer.json()["id"]))

    assert results(job)[0]["decision"] == "block"
    assert written() == {}


def test_a_failing_detector_makes_reviews_that_name_it(deciding):
    toxicity = Model.objects.get(slug="toxicity")
    stop_model(model=toxicity, text="a test", by=an_actor())
    runtime.started().refresh()

    job = work_off(a_job([{"text": "fine"}]))

    (result,) = results(job)
    assert (result["decision"], result["safe"], result["held"]) == ("review", None, True)
    assert result["problems"][0]["source"] == "toxicity"


def test_it_waits_while_the_database_is_behind(deciding, monkeypatch):
    tries = []
    check = DecisionWriter.check_room

    def behind_twice(writer):
        tries.append(writer)
        if len(tries) < 3:
            raise WritesBehind
        check(writer)

    monkeypatch.setattr(jobs, "_PAUSE_S", 0.01)
    monkeypatch.setattr(DecisionWriter, "check_room", behind_twice)

    assert work_off(a_job([{"text": "fine"}])).status == "done"
    assert len(tries) == 3


def test_through_celery(moderate, tenant):
    ring.clear()
    _, key_text = a_key("moderate", tenant=tenant)
    task_id = uuid.uuid4()
    receive(raw(signed(key_text, task_id, {"kind": "moderation", "rows": [{"text": "above"}]}), task_id))

    job = work_off(Job.objects.get(pk=task_id))
    assert results(job)[0]["decision"] == "block"


def test_pictures_as_base64(deciding):
    red = base64.b64encode(saved(picture(), "PNG")).decode()
    job = work_off(a_job([{"image": red, "text": "fine"}, {"image": "?"}], contract={"on_row_error": "skip"}))

    assert (job.rows_done, job.rows_bad) == (1, 1)
    assert "not base64" in errors(job)[0]["reason"]


def test_parts_that_are_decided_at_the_same_time_keep_the_order_of_the_rows(deciding, monkeypatch):
    monkeypatch.setattr(jobs, "_TOGETHER", 4)
    monkeypatch.setattr(jobs, "_URLS_TOGETHER", 2)
    rows = [{"text": "above" if number % 3 else "fine", "content_id": number} for number in range(30)]
    rows += [{"image_url": "https://nowhere.example/1.png", "content_id": number} for number in range(30, 35)]

    job = work_off(a_job(rows, contract={"id": "content_id"}))

    found = results(job)
    assert [row["content_id"] for row in found] == list(range(35))
    assert [row["decision"] for row in found[:30]] == [
        "block" if number % 3 else "allow" for number in range(30)
    ]
    assert {row["decision"] for row in found[30:]} == {"review"}
    assert all(row["problems"][0]["source"] == "image" for row in found[30:])
