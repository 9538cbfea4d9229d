from datetime import UTC, datetime

import pytest
from django.db import DatabaseError
from django.utils import timezone

from inference.serving import runtime
from inference.serving.models import Pulse
from inference.serving.routes import Route, Target
from inference.serving.runtime import Report
from registry.loops import FailingLoop
from roundhouse import health
from tests.support.engines import an_engine


@pytest.fixture
def engine(monkeypatch):
    def set_state(state, **more):
        monkeypatch.setattr(runtime, "report", lambda: Report(state, 2, **more))

    set_state("ready")
    return set_state


@pytest.fixture
def pulse(db):
    Pulse.objects.create(worker="w", at=timezone.now())


class LostConnection:
    vendor = "postgresql"

    def cursor(self):
        raise DatabaseError("gone")


def test_livez_needs_neither_database_nor_known_host(client):
    response = client.get("/livez", headers={"host": "10.1.2.3:8000"})

    assert response.status_code == 200
    assert response.json() == {"status": "alive"}


def test_readyz_is_ready_and_short_unless_asked(client, engine, pulse):
    told = checks(client, "ready", headers={"host": "10.1.2.3"})

    assert set(told) == {"engine", "database", "broker", "disk", "loops", "versions"}
    assert client.get("/readyz").json() == {"status": "ready"}


@pytest.mark.parametrize("state", ["starting", "draining", "stopped"])
def test_readyz_refuses_when_process_cannot_predict(client, engine, pulse, state):
    engine(state)

    response = client.get("/readyz")

    assert (response.status_code, response.json()["status"]) == (503, state)


def test_readyz_is_degraded_where_a_live_version_cannot_answer(client, engine, pulse):
    engine("ready", lacking=1)

    told = checks(client, "degraded")["engine"]
    assert (told["ok"], told["cannot_answer"]) == (False, 1)


def test_readyz_refuses_where_a_peer_can_answer_more(client, engine, pulse):
    engine("ready", lacking=1, is_outdone=True)

    assert "Another process" in checks(client, "degraded", http=503)["engine"]["reason"]


def checks(client, status, http=200, **more):
    """What was checked, where all in all it is this."""
    response = client.get("/readyz?verbose", **more)

    assert (response.status_code, response.json()["status"]) == (http, status)
    return response.json()["checks"]


def test_lost_database_degrades_only(client, engine, pulse, monkeypatch):
    monkeypatch.setattr(health, "connection", LostConnection())

    assert checks(client, "degraded")["database"]["ok"] is False


def test_silent_worker_degrades_only(client, engine, db):
    Pulse.objects.create(worker="w", at=timezone.now() - timezone.timedelta(minutes=2))

    assert "120 s ago" in checks(client, "degraded")["broker"]["reason"]


@pytest.fixture
def through_workers(monkeypatch, settings):
    settings.EXECUTOR = "workers"
    routes = [Route("a", 1, owners=(Target(1, 1, "0"),)), Route("nobody", 2, pool="gpu")]
    monkeypatch.setattr(runtime, "routes_here", lambda: routes)


def test_a_pool_without_a_worker_degrades_only(client, engine, pulse, through_workers):
    an_engine(kind="worker", pool="gpu")

    assert checks(client, "degraded")["workers"]["reason"] == "No worker of the pool infer is alive."


def test_with_a_worker_it_is_ready(client, engine, pulse, through_workers):
    an_engine(kind="worker", pool="infer")

    assert checks(client, "ready")["workers"] == {"ok": True, "pools": {"infer": 1}}


def test_full_disk_degrades_only(client, engine, pulse, monkeypatch):
    monkeypatch.setattr(health, "_LEAST_FREE_BYTES", 2**62)

    assert checks(client, "degraded")["disk"]["ok"] is False


def test_a_live_version_that_is_refused_degrades_only_and_is_not_named(client, engine, pulse, monkeypatch):
    monkeypatch.setattr(runtime, "broken_versions", lambda: [Target(1, 1, "0", is_broken=True)])

    told = {"ok": False, "broken": 1, "reason": "Live versions ended processes and are refused."}
    assert checks(client, "degraded")["versions"] == told


def test_api_health(client):
    assert client.get("/api/v1/health").json() == {"status": "healthy"}


def test_a_loop_that_fails_degrades_only_and_nothing_of_its_error_is_told(client, engine, pulse, monkeypatch):
    since = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    monkeypatch.setattr(health.loops, "failing", lambda: [FailingLoop("routes", 3, since, "KeyError")])

    told = {"name": "routes", "failures": 3, "since": "2026-01-02T03:04:05+00:00", "error": "KeyError"}
    assert checks(client, "degraded")["loops"] == {"ok": False, "failing": [told]}
    assert client.get("/readyz").json() == {"status": "degraded"}
