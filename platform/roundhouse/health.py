"""Probes: /livez knows the process only, /readyz whether this process can predict."""

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
from roundhouse.rsgi import Answer

_LEAST_FREE_BYTES = 256 * 2**20
_PULSE_OVERDUE = timedelta(seconds=45)
_LOOK_S = 1.0
_SILENT_S = 10.0

Check = dict[str, Any]


class Probes:
    """Answers probes from memory. What has to be asked for, a thread asks each second: a database that hangs, or a flood of
    probes, changes nothing for predictions.
    """

    def __init__(self) -> None:
        self._others = _look()
        self._looked_at = time.monotonic()
        self._thread = ThreadGroup(
            "health", Loop("health", self._look_again, _LOOK_S, "probes tell what was so before")
        )
        self._thread.start()

    def answer(self, path: str, query: str) -> Answer | None:
        """The answer, if that is the address of a probe."""
        if path == "/livez":
            return _ALIVE
        if path == "/readyz":
            return readyz(self._known(), verbose="verbose" in query)
        return _FIXED.get(path) or (_ready_for_oip() if path in _OIP_READY else None)

    def stop(self) -> None:
        self._thread.stop()

    def _look_again(self) -> None:
        self._others = _look()
        self._looked_at = time.monotonic()

    def _known(self) -> dict[str, Check]:
        silent_s = time.monotonic() - self._looked_at
        if silent_s < _SILENT_S:
            return self._others
        reason = f"Nobody could ask for {silent_s:.0f} s; the database may hang."
        return {name: {"ok": False, "reason": reason} for name in self._others}


def readyz(others: dict[str, Check], *, verbose: bool) -> Answer:
    """503 only when this process cannot predict, or another can predict more; what else is broken makes it `degraded`,
    with 200."""
    report = runtime.report()
    engine = _engine(report)
    others = {**others, "loops": _loops(), "versions": _versions()}
    if report.state != "ready":
        status = report.state
    elif engine["ok"] and all(check["ok"] for check in others.values()):
        status = "ready"
    else:
        status = "degraded"
    body: dict[str, Any] = {"status": status}
    if verbose:
        body["checks"] = {"engine": engine, **others}
    return _json(body, 200 if report.can_predict else 503)


def _look() -> dict[str, Check]:
    """What cannot be told from this process's memory."""
    found = {"database": _database(), "broker": _broker(), "disk": _disk()}
    return {**found, "workers": _workers()} if settings.EXECUTOR == "workers" else found


def _ready_for_oip() -> Answer:
    is_ready = runtime.report().can_predict
    return _json({"ready": is_ready}, 200 if is_ready else 503)


def _json(body: Any, status: int = 200) -> Answer:
    return Answer(status, [("Content-Type", "application/json")], orjson.dumps(body))


_ALIVE = _json({"status": "alive"})
_FIXED = {
    "/api/v1/health": _json({"status": "healthy"}),
    "/v2/health/live": _json({"live": True}),
    "/v2/health/live/": _json({"live": True}),
}
_OIP_READY = {"/v2/health/ready", "/v2/health/ready/"}


def _engine(report: RuntimeReport) -> Check:
    """Anybody may read this, so it says how many versions cannot answer, and not which."""
    facts = {"state": report.state, "versions": report.warm_versions}
    if not report.lacking:
        return {"ok": report.can_predict, **facts}
    reason = "Live versions cannot answer in this process; its log and the page Workers say which, and why."
    if report.is_outdone:
        reason += " Another process holds more of them, so callers should go there."
    return {"ok": False, **facts, "cannot_answer": report.lacking, "reason": reason}


def _database() -> Check:
    started = time.monotonic()
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return {"ok": False, "reason": "The database does not answer."}
    return {"ok": True, "vendor": connection.vendor, "ms": round((time.monotonic() - started) * 1000, 1)}


def _broker() -> Check:
    """A beat message that came through broker and worker lately proves all three."""
    try:
        seen_at = last_pulse()
    except DatabaseError:
        return {
            "ok": False,
            "reason": "Unknown: the worker reports through the database, which does not answer.",
        }
    if seen_at is None:
        return {"ok": False, "reason": "No worker has taken a task from the broker yet."}
    age = timezone.now() - seen_at
    if age > _PULSE_OVERDUE:
        return {"ok": False, "reason": f"The worker took its last task from the broker {age.seconds} s ago."}
    return {"ok": True, "last_task_s_ago": round(age.total_seconds(), 1)}


def _workers() -> Check:
    """Whether every pool that a live version needs has a worker: the others answer, so this process stays ready."""
    needed = sorted({route.pool for route in runtime.current_routes() if route.owners})
    try:
        alive = {pool: live_workers(pool) for pool in needed}
    except DatabaseError:
        return {"ok": False, "reason": "Unknown: workers report through the database, which does not answer."}
    if missing := [pool for pool, count in alive.items() if not count]:
        return {
            "ok": False,
            "pools": alive,
            "reason": f"No worker of the pool {', '.join(missing)} is alive.",
        }
    return {"ok": True, "pools": alive}


def _loops() -> Check:
    """Whether all that goes on in the background of this process works. Anybody may read this, so no error's text is in it."""
    failing = [
        {
            "name": one.name,
            "failures": one.failures,
            "since": one.since.isoformat(timespec="seconds"),
            "error": one.error,
        }
        for one in loops.failing()
    ]
    return {"ok": False, "failing": failing} if failing else {"ok": True, "running": loops.running()}


def _versions() -> Check:
    """Whether all live versions may run. Anybody may read this, so it names none."""
    if broken := len(runtime.broken_versions()):
        return {"ok": False, "broken": broken, "reason": "Live versions ended processes and are refused."}
    return {"ok": True}


def _disk() -> Check:
    try:
        free = shutil.disk_usage(settings.DATA_DIR).free
    except OSError as error:
        return {"ok": False, "reason": f"The data folder cannot be read: {error.strerror}."}
    if free < _LEAST_FREE_BYTES:
        return {"ok": False, "free_bytes": free, "reason": "Less than 256 MiB are free in the data folder."}
    return {"ok": True, "free_bytes": free}
