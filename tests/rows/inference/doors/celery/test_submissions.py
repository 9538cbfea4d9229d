"""Orders through Celery: who may, what becomes of them, and what strangers send."""

import json
import time
import uuid
from datetime import timedelta

import pytest
from django.db import OperationalError
from django.utils import timezone

from inference.doors.celery import queues, replies, submissions
from inference.doors.celery.models import RefusedOrder
from inference.doors.celery.submissions import receive
from inference.doors.rest.client import sign
from inference.jobs import policies
from inference.jobs.models import Job
from registry.access.models import ApiKey
from tests.support.factories import a_key, a_live_model
from tests.support.sending import ROWS, SUBMIT, a_message, an_order, raw, signed

pytestmark = pytest.mark.django_db
ON_DONE = {"task": "shop.scored", "queue": "shop"}


FOLLOW_UP = [{"task": "registry.sweep_uploads", "args": [], "options": {"queue": "chores"}}]


@pytest.fixture(autouse=True)
def fresh(settings, tmp_path, monkeypatch):
    settings.DATA_DIR = tmp_path
    monkeypatch.setattr(replies, "_budget", replies._RejectionBudget())


@pytest.fixture
def calls(monkeypatch):
    """What the senders' Celery was told; the broker itself has tests of its own."""
    told = []
    monkeypatch.setattr(
        queues, "call_task", lambda task, queue, what, *, task_id: told.append((task, queue, what, task_id))
    )
    return told


@pytest.fixture
def model():
    return a_live_model(100, slug="fruit")


@pytest.fixture
def key(model):
    return a_key("predict")[1]


def refused():
    """The one refusal there is."""
    (order,) = RefusedOrder.objects.all()
    assert not Job.objects.exists()
    return order


class TestOrders:
    def test_a_message_becomes_a_job_of_its_task_id(self, key):
        task_id = uuid.uuid4()

        receive(a_message(key, task_id, on_done=ON_DONE))

        job = Job.objects.get()
        assert (job.pk, job.model.slug, job.version.number, job.rows_total) == (task_id, "fruit", 1, 2)
        assert job.made_by.startswith("key key-") and job.made_by.endswith(", through Celery")
        assert (job.key, job.tenant) == (ApiKey.objects.get(), ApiKey.objects.get().tenant)
        assert job.on_done == ON_DONE
        assert ApiKey.objects.get().last_used_at is not None
        assert not RefusedOrder.objects.exists()

    def test_the_published_client_signs_as_we_read(self, key):
        task_id = str(uuid.uuid4())
        argument = sign(SUBMIT, an_order(), task_id, key)

        receive(raw(argument, task_id))
        receive(raw({**argument, "model": "other"}, str(uuid.uuid4())))

        assert str(Job.objects.get().pk) == task_id
        assert RefusedOrder.objects.get().code == "bad_signature"

    def test_twice_is_one_job_whenever_it_was_signed(self, key):
        task_id = uuid.uuid4()
        first = a_message(key, task_id)

        receive(first)
        receive(first)
        receive(a_message(key, task_id))

        assert Job.objects.count() == 1
        assert not RefusedOrder.objects.exists()

    def test_another_order_under_the_same_id_is_refused(self, key):
        task_id = uuid.uuid4()
        receive(a_message(key, task_id))

        receive(a_message(key, task_id, version=1))

        assert RefusedOrder.objects.get().code == "job_id_taken"
        assert Job.objects.count() == 1

    def test_the_order_of_a_known_job_is_no_less_known_when_it_is_old(self, key):
        task_id = uuid.uuid4()
        receive(a_message(key, task_id))

        receive(raw(signed(key, task_id, an_order(), sent_at=time.time() - 90_000), task_id))

        assert not RefusedOrder.objects.exists()


class TestRefusals:
    @pytest.mark.both
    @pytest.mark.parametrize(
        ("change", "code"),
        [
            ({"version": 9}, "not_found"),
            ({"rows": None, "instances": None}, "bad_job"),
            ({"contrct": {}}, "bad_job"),
            ({"rows": [{"x": "a\0b"}], "model": "fr\0uit"}, "*"),
            ({"input": {"upload": str(uuid.uuid4())}, "rows": None, "format": "csv"}, "*"),
        ],
        ids=["version", "nothing", "misspelt", "NUL", "upload"],
    )
    def test_what_the_api_would_refuse(self, key, calls, change, code):
        task_id = uuid.uuid4()

        receive(a_message(key, task_id, on_done=ON_DONE, **change))

        order = refused()
        assert code in {order.code, "*"}
        assert (order.task_id, order.on_done) == (str(task_id), ON_DONE)
        ((task, queue, told, _),) = calls
        assert (task, queue) == ("shop.scored", "shop")
        assert told == {
            "job": str(task_id), "status": "refused", "model": order.model_slug, "version": None, "rows_done": 0,
            "rows_bad": 0, "failure": order.why, "code": order.code, "results_url": None,
        }  # fmt: skip
        assert order.told_at is not None

    def test_a_model_out_of_reach(self, model, calls):
        text = a_key("predict", models=[a_live_model(100, slug="other").pk])[1]
        receive(a_message(text, on_done=ON_DONE))
        assert (refused().code, len(calls)) == ("unknown_model", 1)

    @pytest.mark.parametrize(
        ("change", "code"),
        [
            ({"revoked_at": timezone.now()}, "key_ended"),
            ({"expires_at": timezone.now() - timedelta(seconds=1)}, "key_ended"),
            ({"scopes": ["registry.read"]}, "not_allowed"),
        ],
        ids=["revoked", "its time is over", "without the right"],
    )
    def test_a_key_that_may_not(self, key, calls, change, code):
        ApiKey.objects.update(**change)
        receive(a_message(key, on_done=ON_DONE))
        assert (refused().code, len(calls)) == (code, 1)

    @pytest.mark.parametrize(
        ("sent_at", "is_fresh"),
        [(-90_000, False), (-80_000, True), (200, True), (400, False)],
        ids=["too old", "old", "a little ahead", "from the future"],
    )
    def test_what_is_not_fresh(self, key, sent_at, is_fresh):
        task_id = uuid.uuid4()
        receive(raw(signed(key, task_id, an_order(), sent_at=time.time() + sent_at), task_id))
        assert Job.objects.count() == is_fresh
        assert [order.code for order in RefusedOrder.objects.all()] == ["stale_message"] * (not is_fresh)

    def test_a_sender_who_could_not_be_told_is_told_by_the_sweeper(self, key, monkeypatch):
        def away(*_, **__):
            raise OSError("away")

        monkeypatch.setattr(queues, "call_task", away)
        receive(a_message(key, on_done=ON_DONE, version=9))
        assert refused().told_at is None

        told = []
        monkeypatch.setattr(queues, "call_task", lambda *what, **_: told.append(what))
        assert replies.sweep_replies() == 1
        assert replies.sweep_replies() == 0
        assert [queue for _, queue, _ in told] == ["shop"]


class TestOnDone:
    @pytest.mark.parametrize(
        "on_done",
        [
            {"task": "registry.sweep_uploads", "queue": "shop"},
            {"task": "inference.run_jobs", "queue": "shop"},
            {"task": "celery.chain", "queue": "shop"},
            {"task": "roundhouse.submit", "queue": "shop"},
            {"task": "shop.scored", "queue": "chores"},
            {"task": "shop.scored", "queue": "pool.infer"},
            {"task": "shop.scored", "queue": "jobs.infer"},
            {"task": "shop.scored", "queue": "roundhouse.submit"},
            {"task": "shop.scored", "queue": "roundhouse:chores"},
            {"task": "shop.scored", "queue": "../messages"},
            {"task": "shop.scored", "queue": "unacked"},
            {"task": "shop.scored", "queue": ""},
            {"task": "shop scored", "queue": "shop"},
            {"task": "shop." * 60 + "x", "queue": "shop"},
            {"task": "shop.scored", "queue": "s" * 129},
            {"task": "shop\n.scored", "queue": "shop"},
            {"task": "shop.scored", "queue": "sh\nop"},
        ],
        ids=lambda on_done: f"{on_done['task'][:24]!r} {on_done['queue'][:24]!r}",
    )
    def test_ours_and_impossible_names_are_refused_and_never_called(self, key, calls, on_done):
        receive(a_message(key, on_done=on_done))

        assert refused().code == "bad_job"
        assert refused().on_done is None
        assert calls == []

    @pytest.mark.parametrize("queue", ["shop", "celery", "shop.night-2", "jobs_of_mine", "choresque"])
    def test_theirs_are_taken(self, key, queue):
        receive(a_message(key, on_done={"task": "shop.scored", "queue": queue}))
        assert Job.objects.get().on_done["queue"] == queue


def tampered(key, change, **more):
    task_id = uuid.uuid4()
    envelope = signed(key, task_id, an_order(version=1, on_done=ON_DONE))
    change(envelope)
    return raw(envelope, task_id, **more)


class TestStrangers:
    """Whatever does not prove a key is on record, makes no job, and calls nobody."""

    @pytest.mark.parametrize(
        "change",
        [
            lambda it: it.update(model="other"),
            lambda it: it.update(version=2),
            lambda it: it.update(alias="champion"),
            lambda it: it["rows"].append(ROWS[0]),
            lambda it: it["rows"][0]["x"].__setitem__(0, 1.0),
            lambda it: it.update(on_done={"task": "other.task", "queue": "other"}),
            lambda it: it.pop("on_done"),
            lambda it: it.update(sent_at=it["sent_at"] + 1),
            lambda it: it.update(contract={}),
            lambda it: it.update(key_id="abcd1234"),
            lambda it: it.update(key_id="abcd\0234"),
            lambda it: it.update(signature=it["signature"][:-1]),
            lambda it: it.update(signature=""),
            lambda it: it.update(signature="é" * 64),
            lambda it: it.update(signature="\ud800"),
        ],
        ids=["model", "version", "a field more", "a row more", "a value's type", "on_done", "a field less", "sent_at",
             "contract", "key_id", "key_id with NUL", "short", "empty", "not ASCII", "half a pair"],
    )  # fmt: skip
    def test_a_changed_envelope(self, key, calls, change):
        receive(tampered(key, change))
        assert (refused().code, refused().sender, calls) == ("bad_signature", replies.UNKNOWN_SENDER, [])

    def test_another_key(self, key, calls):
        other = a_key("predict")[1]
        receive(tampered(key, lambda it: it.update(key_id=other.split("_")[1])))
        assert (refused().code, calls) == ("bad_signature", [])

    @pytest.mark.parametrize(
        "message",
        [
            lambda key, it: raw(signed(key, uuid.uuid4(), an_order()), it),
            lambda key, it: raw(signed(key, it, an_order(), task="roundhouse.predict"), it),
        ],
        ids=["another id", "another task"],
    )
    def test_what_was_signed_for_something_else(self, key, message):
        receive(message(key, uuid.uuid4()))
        assert refused().code == "bad_signature"

    def test_unchanged_is_taken(self, key):
        """The control of the tests above."""
        receive(tampered(key, lambda it: None))
        assert Job.objects.count() == 1

    @pytest.mark.parametrize("version", [2, 0, None, "1", True, [1]])
    def test_an_envelope_of_another_version(self, key, version):
        task_id = uuid.uuid4()
        receive(raw(signed(key, task_id, an_order(), v=version), task_id))
        assert refused().code == "unknown_envelope"

    @pytest.mark.parametrize(
        "make",
        [
            lambda good: b"",
            lambda good: b"\xff\xfe\x00",
            lambda good: b"null",
            lambda good: b"[]",
            lambda good: b"{}",
            lambda good: good[:-20],
            lambda good: b"[" * 100_000,
            lambda good: b'{"a":' * 500 + b"1" + b"}" * 500,
            lambda good: good.replace(b'"id": "', b'"id": "x'),
            lambda good: good.replace(b"application/json", b"application/x-python-serialize"),
            lambda good: good.replace(b'"lang"', b'"compression": "zlib", "lang"'),
            lambda good: good.replace(b'"body": "', b'"body": "?'),
            lambda good: good.replace(b'"task": "roundhouse.submit"', b'"task": "registry.sweep_uploads"'),
            lambda good: good.replace(b'"task": "roundhouse.submit"', b'"task": ["roundhouse.submit"]'),
            lambda good: raw(None, uuid.uuid4(), args=[]),
            lambda good: raw(None, uuid.uuid4(), args=[{}, {}]),
            lambda good: raw({}, uuid.uuid4(), kwargs={"v": 1}),
            lambda good: raw("text", uuid.uuid4()),
            lambda good: raw(float("nan"), uuid.uuid4()),
            lambda good: raw({"v": 1, "key_id": 1, "sent_at": 1, "signature": "x"}, uuid.uuid4()),
            lambda good: raw({"v": 1, "key_id": "abcd1234", "sent_at": "now", "signature": "x"}, uuid.uuid4()),
            lambda good: raw({"v": 1, "key_id": "abcd1234", "sent_at": 1e400, "signature": "x"}, uuid.uuid4()),
            lambda good: raw({"v": 1, "rows": json.loads("[" * 40 + "]" * 40)}, uuid.uuid4()),
            lambda good: raw({"pad": "x" * 2**20}, uuid.uuid4()),
            lambda good: b"x" * 2**21,
        ],
        ids=["empty", "not UTF-8", "null", "list", "bare object", "cut off", "deep brackets", "deep objects", "id",
             "pickle", "compressed", "base64", "another task", "a list for a task", "no argument", "two arguments",
             "keywords", "a text", "NaN", "key_id a number", "sent_at a text", "sent_at infinite", "deep rows", "huge",
             "huger"],
    )  # fmt: skip
    def test_malformed_messages(self, key, calls, make):
        receive(make(a_message(key)))

        assert refused().code in {"bad_message", "unknown_envelope"}
        assert refused().why
        assert calls == []

    @pytest.mark.parametrize(
        "more",
        [
            *({"embed": {name: FOLLOW_UP}} for name in ("callbacks", "errbacks", "chain", "chord")),
            {"headers": {"eta": "2100-01-01T00:00:00Z"}},
        ],
        ids=["callbacks", "errbacks", "chain", "chord", "delay"],
    )
    def test_follow_ups_of_celery_and_delays_are_refused(self, key, calls, more):
        task_id = uuid.uuid4()
        receive(raw(signed(key, task_id, an_order()), task_id, **more))
        assert (refused().code, calls) == ("bad_message", [])

    def test_headers_are_not_obeyed(self, key):
        """Nobody is called, no time is set, no name is believed: only what is signed counts."""
        task_id = uuid.uuid4()
        headers = {"shadow": "x", "timelimit": [0, 0], "retries": 10**9, "group": "g", "root_id": "r", "expires": "never",
                   "ignore_result": False, "stamps": {"a": 1}, "replaced_task_nesting": -1, "reply_to": "chores"}  # fmt: skip
        receive(raw(signed(key, task_id, an_order()), task_id, headers=headers))
        assert Job.objects.get().pk == task_id

    @pytest.mark.both
    def test_a_flood_fills_no_table(self, key):
        for _ in range(replies.ROWS_A_MINUTE + 40):
            receive(b"{}")
        assert RefusedOrder.objects.count() == replies.ROWS_A_MINUTE


@pytest.mark.both
class TestTheDatabase:
    def test_while_it_is_away_the_message_stays(self, key, monkeypatch):
        def away(*_, **__):
            raise OperationalError("gone")

        monkeypatch.setattr(policies, "check_quota", away)
        with pytest.raises(OperationalError):
            receive(a_message(key))
        assert not RefusedOrder.objects.exists()

    def test_an_error_of_ours_is_a_refusal(self, key, calls, monkeypatch):
        def broken(*_, **__):
            raise ZeroDivisionError

        monkeypatch.setattr(submissions.services, "accept", broken)
        receive(a_message(key, on_done=ON_DONE))
        assert (refused().code, len(calls)) == ("error", 1)
