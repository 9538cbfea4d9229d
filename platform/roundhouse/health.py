"""Probes: /livez reports that the process is running, and /readyz whether it can predict."""

import shutil
import time
from datetime import timedelta
from typing import Any

import orjson
from django.conf import settings
from django.db import DatabaseError, connection
from django.utils import timezone

from inference.serving import runtime
from inference.serving.runtime import RuntimeReport
from inference.serving.selectors import last_pulse, live_workers
from registry.kit import loops
from registry.kit.loops import Loop, ThreadGroup
from roundhouse.rsgi import WebResponse

_LEAST_FREE_BYTES = 256 * 2**20
_PULSE_OVERDUE = timedelta(seconds=45)
_REFRESH_S = 1.0
_STALE_AFTER_S = 10.0

Check = dict[str, Any]


class Probes:
    """Answers probes from memory. A thread checks database, broker and disk each second, so neither a hanging database nor a
    flood of probes slows predictions down.
    """

    def __init__(self) -> None:
        self._checks = _check_services()
        self._checked_at = time.monotonic()
        self._thread = ThreadGroup(
            "health", Loop("health", self._refresh, _REFRESH_S, "probes report old results")
        )
        self._thread.start()

    def answer(self, path: str, query: str) -> WebResponse | None:
        """The response, if the path is a probe's."""
        if path == "/livez":
            return _ALIVE
        if path == "/readyz":
            return readyz(self._latest(), verbose="verbose" in query)
        return _FIXED_RESPONSES.get(path) or (_oip_ready() if path in _OIP_READY_PATHS else None)

    def stop(self) -> None:
        self._thread.stop()

    def _refresh(self) -> None:
        self._checks = _check_services()
        self._checked_at = time.monotonic()

    def _latest(self) -> dict[str, Check]:
        age_s = time.monotonic() - self._checked_at
        if age_s < _STALE_AFTER_S:
            return self._checks
        reason = f"Not checked for {age_s:.0f} s; the database may be hanging."
        return {name: {"ok": False, "reason": reason} for name in self._checks}


def readyz(services: dict[str, Check], *, verbose: bool) -> WebResponse:
    """503 only if this process cannot predict, or another one can predict more. Any other failure makes it `degraded`, with
    200."""
    report = runtime.report()
    engine = _engine(report)
    checks = {**services, "loops": _loops(), "versions": _versions()}
    if report.state != "ready":
        status = report.state
    elif engine["ok"] and all(check["ok"] for check in checks.values()):
        status = "ready"
    else:
        status = "degraded"
    body: dict[str, Any] = {"status": status}
    if verbose:
        body["checks"] = {"engine": engine, **checks}
    return _json(body, 200 if report.can_predict else 503)


def _check_services() -> dict[str, Check]:
    """The checks that need more than this process's memory."""
    checks = {"database": _database(), "broker": _broker(), "disk": _disk()}
    return {**checks, "workers": _workers()} if settings.EXECUTOR == "workers" else checks


def _oip_ready() -> WebResponse:
    is_ready = runtime.report().can_predict
    return _json({"ready": is_ready}, 200 if is_ready else 503)


def _json(body: Any, status: int = 200) -> WebResponse:
    return WebResponse(status, [("Content-Type", "application/json")], orjson.dumps(body))


_ALIVE = _json({"status": "alive"})
_FIXED_RESPONSES = {
    "/api/v1/health": _json({"status": "healthy"}),
    "/v2/health/live": _json({"live": True}),
    "/v2/health/live/": _json({"live": True}),
}
_OIP_READY_PATHS = {"/v2/health/ready", "/v2/health/ready/"}


def _engine(report: RuntimeReport) -> Check:
    """Probes are public, so this reports how many versions cannot answer, not which ones."""
    facts = {"state": report.state, "versions": report.warm_versions}
    if not report.lacking:
        return {"ok": report.can_predict, **facts}
    reason = "Some live versions cannot answer in this process. Its log and the Workers page show which ones, and why."
    if report.is_outdone:
        reason += " Another process can answer more of them, so send requests there."
    return {"ok": False, **facts, "cannot_answer": report.lacking, "reason": reason}


def _database() -> Check:
    started = time.monotonic()
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return {"ok": False, "reason": "The database is not responding."}
    return {"ok": True, "vendor": connection.vendor, "ms": round((time.monotonic() - started) * 1000, 1)}


def _broker() -> Check:
    """A recent message from beat, through the broker, to a worker proves that all three work."""
    try:
        seen_at = last_pulse()
    except DatabaseError:
        return {
            "ok": False,
            "reason": "Unknown: the worker reports through the database, which is not responding.",
        }
    if seen_at is None:
        return {"ok": False, "reason": "No task has reached a worker yet."}
    age = timezone.now() - seen_at
    if age > _PULSE_OVERDUE:
        return {"ok": False, "reason": f"The last task reached a worker {age.seconds} s ago."}
    return {"ok": True, "last_task_s_ago": round(age.total_seconds(), 1)}


def _workers() -> Check:
    """Whether every pool with live versions has a worker. If not, this process stays ready for the other pools."""
    needed = sorted({route.pool for route in runtime.current_routes() if route.owners})
    try:
        alive = {pool: live_workers(pool) for pool in needed}
    except DatabaseError:
        return {
            "ok": False,
            "reason": "Unknown: workers report through the database, which is not responding.",
        }
    if missing := [pool for pool, count in alive.items() if not count]:
        return {
            "ok": False,
            "pools": alive,
            "reason": f"No worker is alive in pool {', '.join(missing)}.",
        }
    return {"ok": True, "pools": alive}


def _loops() -> Check:
    """Whether this process's background loops work. Probes are public, so error texts are left out."""
    failing = [
        {
            "name": loop.name,
            "failures": loop.failures,
            "since": loop.since.isoformat(timespec="seconds"),
            "error": loop.error,
        }
        for loop in loops.failing()
    ]
    return {"ok": False, "failing": failing} if failing else {"ok": True, "running": loops.running()}


def _versions() -> Check:
    """Whether all live versions may run. Probes are public, so this does not name them."""
    if broken := len(runtime.broken_versions()):
        return {
            "ok": False,
            "broken": broken,
            "reason": "Some live versions crashed processes and are no longer run.",
        }
    return {"ok": True}


def _disk() -> Check:
    try:
        free = shutil.disk_usage(settings.DATA_DIR).free
    except OSError as error:
        return {"ok": False, "reason": f"The data folder cannot be read: {error.strerror}."}
    if free < _LEAST_FREE_BYTES:
        return {"ok": False, "free_bytes": free, "reason": "Less than 256 MiB is free in the data folder."}
    return {"ok": True, "free_bytes": free}
