"""Probes: answered from memory, with checks that a thread makes each second."""

import json
import threading
from datetime import UTC, datetime

import pytest
from django.db import DatabaseError
from django.utils import timezone

from inference.serving import runtime
from inference.serving.models import Pulse
from inference.serving.routes import Route, Target
from inference.serving.runtime import RuntimeReport
from registry.kit.loops import FailingLoop
from roundhouse import health
from roundhouse.health import Probes
from tests.support.engines import an_engine

WAIT_S = 20


@pytest.fixture
def engine(monkeypatch):
    def set_state(state, **more):
        monkeypatch.setattr(runtime, "report", lambda: RuntimeReport(state, 2, **more))

    set_state("ready")
    return set_state


@pytest.fixture
def pulse(db):
    Pulse.objects.create(worker="w", at=timezone.now())


class LostConnection:
    vendor = "postgresql"

    def cursor(self):
        raise DatabaseError("gone")


class Clock:
    now = 100.0

    def monotonic(self):
        return self.now


@pytest.fixture
def probes(monkeypatch, db):
    """Makes probes that have looked once, here, where this test's rows are seen."""
    monkeypatch.setattr(health.ThreadGroup, "start", lambda self: None)
    return Probes


def told(answer):
    assert dict(answer.headers) == {"Content-Type": "application/json"}
    return answer.status, json.loads(answer.body)


def test_readyz_is_ready_and_short_by_default(probes, engine, pulse):
    checked = checks(probes, "ready")

    assert set(checked) == {"engine", "database", "broker", "disk", "loops", "versions"}
    assert told(probes().answer("/readyz", "")) == (200, {"status": "ready"})


FIXED = {
    "/livez": {"status": "alive"},
    "/api/v1/health": {"status": "healthy"},
    "/v2/health/live": {"live": True},
    "/v2/health/live/": {"live": True},
    "/v2/health/ready": {"ready": True},
    "/v2/health/ready/": {"ready": True},
}


@pytest.mark.parametrize(("path", "body"), FIXED.items(), ids=FIXED)
def test_the_other_probes_say_one_thing(probes, engine, path, body):
    assert told(probes().answer(path, "")) == (200, body)


@pytest.mark.parametrize("path", ["/", "/livez/", "/readyz/", "/api/v1/health/", "/v2/health", "/livezz"])
def test_other_addresses_are_not_answered(probes, path):
    assert probes().answer(path, "") is None


def test_loop_and_django_answer_the_protocols_probes_alike(probes, engine, client):
    """Django's views have the same addresses, with the schema and the rights of all of them."""
    for state in ("ready", "draining"):
        engine(state)
        for path in ("/v2/health/live", "/v2/health/ready/"):
            answer, view = probes().answer(path, ""), client.get(path)
            assert (answer.status, answer.body) == (view.status_code, view.content)


@pytest.mark.parametrize("path", ["/readyz", *FIXED])
def test_answers_make_no_query(probes, engine, pulse, monkeypatch, django_assert_num_queries, path):
    made = probes()
    monkeypatch.setattr(health, "connection", LostConnection())
    monkeypatch.setattr(health, "_check_services", lambda: pytest.fail("asked when it was probed"))

    with django_assert_num_queries(0):
        status, _ = told(made.answer(path, "verbose"))

    assert status == 200


def test_refreshing_makes_queries(probes, engine, pulse, django_assert_num_queries):
    """Negative control: what is known comes from there."""
    with django_assert_num_queries(2):
        probes()


class TestWhenChecksHang:
    @pytest.fixture
    def clock(self, monkeypatch):
        clock = Clock()
        monkeypatch.setattr(health, "time", clock)
        return clock

    @pytest.fixture
    def looks(self, monkeypatch):
        """Looks into the world that may be held."""
        looks = Looks()
        monkeypatch.setattr(health, "_check_services", looks)
        monkeypatch.setattr(health, "_REFRESH_S", 0.0)
        yield looks
        looks.go_on.set()

    def test_it_is_reported_with_its_duration(self, engine, clock, looks):
        made = Probes()
        looks.hold()
        clock.now += 12

        status, body = told(made.answer("/readyz", "verbose"))

        assert (status, body["status"]) == (200, "degraded")
        for name in ("database", "broker"):
            assert body["checks"][name]["ok"] is False
            assert "Not checked for 12 s" in body["checks"][name]["reason"]
        assert told(made.answer("/livez", "")) == (200, {"status": "alive"})

        looks.release()
        assert told(made.answer("/readyz", ""))[1]["status"] == "ready"
        looks.go_on.set()
        made.stop()

    def test_a_short_delay_is_not_reported(self, engine, clock, looks):
        made = Probes()
        looks.hold()
        clock.now += 9

        assert told(made.answer("/readyz", ""))[1]["status"] == "ready"
        looks.go_on.set()
        made.stop()

    def test_time_changes_nothing_while_checks_work(self, engine, clock, looks):
        """Negative control: it is the silence that is told."""
        made = Probes()
        for _ in range(3):
            looks.hold()
            clock.now += 12
            looks.release()

            assert told(made.answer("/readyz", ""))[1]["status"] == "ready"
        looks.go_on.set()
        made.stop()


class Looks:
    """What is found is always well; each look waits until it is let go on."""

    def __init__(self):
        self.go_on = threading.Event()
        self._is_first = True
        self._begun, self._may_end = threading.Semaphore(0), threading.Semaphore(0)

    def __call__(self):
        if self._is_first:
            self._is_first = False
        elif not self.go_on.is_set():
            self._begun.release()
            while not self._may_end.acquire(timeout=0.05):
                if self.go_on.is_set():
                    break
        return {"database": {"ok": True}, "broker": {"ok": True}}

    def hold(self):
        """Return when a look is under way, which lasts until `release`."""
        assert self._begun.acquire(timeout=WAIT_S)

    def release(self):
        """Let it end; return when the next one is under way."""
        self._may_end.release()
        self.hold()
        self._begun.release()  # for the next `hold`: this one is held


@pytest.mark.parametrize("state", ["starting", "draining", "stopped"])
def test_readyz_refuses_when_process_cannot_predict(probes, engine, pulse, state):
    engine(state)

    assert told(probes().answer("/readyz", "")) == (503, {"status": state})
    assert told(probes().answer("/v2/health/ready", "")) == (503, {"ready": False})


def test_readyz_is_degraded_if_a_live_version_cannot_answer(probes, engine, pulse):
    engine("ready", lacking=1)

    checked = checks(probes, "degraded")["engine"]
    assert (checked["ok"], checked["cannot_answer"]) == (False, 1)


def test_readyz_refuses_if_a_peer_can_answer_more(probes, engine, pulse):
    engine("ready", lacking=1, is_outdone=True)

    assert "Another process" in checks(probes, "degraded", http=503)["engine"]["reason"]


def checks(probes, status, http=200):
    """What was checked, where all in all it is this."""
    answered, body = told(probes().answer("/readyz", "verbose"))

    assert (answered, body["status"]) == (http, status)
    return body["checks"]


def test_lost_database_degrades_only(probes, engine, pulse, monkeypatch):
    monkeypatch.setattr(health, "connection", LostConnection())

    assert checks(probes, "degraded")["database"]["ok"] is False


def test_silent_worker_degrades_only(probes, engine, db):
    Pulse.objects.create(worker="w", at=timezone.now() - timezone.timedelta(minutes=2))

    assert "120 s ago" in checks(probes, "degraded")["broker"]["reason"]


@pytest.fixture
def through_workers(monkeypatch, settings):
    settings.EXECUTOR = "workers"
    routes = [Route("a", 1, owners=(Target(1, 1, "0"),)), Route("nobody", 2, pool="gpu")]
    monkeypatch.setattr(runtime, "current_routes", lambda: routes)


def test_a_pool_without_a_worker_degrades_only(probes, engine, pulse, through_workers):
    an_engine(kind="worker", pool="gpu")

    assert checks(probes, "degraded")["workers"]["reason"] == "No worker is alive in pool infer."


def test_with_a_worker_it_is_ready(probes, engine, pulse, through_workers):
    an_engine(kind="worker", pool="infer")

    assert checks(probes, "ready")["workers"] == {"ok": True, "pools": {"infer": 1}}


def test_full_disk_degrades_only(probes, engine, pulse, monkeypatch):
    monkeypatch.setattr(health, "_LEAST_FREE_BYTES", 2**62)

    assert checks(probes, "degraded")["disk"]["ok"] is False


def test_a_refused_live_version_degrades_only_and_is_not_named(probes, engine, pulse, monkeypatch):
    monkeypatch.setattr(runtime, "broken_versions", lambda: [Target(1, 1, "0", is_broken=True)])

    expected = {
        "ok": False,
        "broken": 1,
        "reason": "Some live versions crashed processes and are no longer run.",
    }
    assert checks(probes, "degraded")["versions"] == expected


def test_a_failing_loop_degrades_only_and_its_error_is_not_shown(probes, engine, pulse, monkeypatch):
    since = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    monkeypatch.setattr(health.loops, "failing", lambda: [FailingLoop("routes", 3, since, "KeyError")])

    failing = {"name": "routes", "failures": 3, "since": "2026-01-02T03:04:05+00:00", "error": "KeyError"}
    assert checks(probes, "degraded")["loops"] == {"ok": False, "failing": [failing]}
    assert told(probes().answer("/readyz", "")) == (200, {"status": "degraded"})
