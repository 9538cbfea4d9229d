"""Native crashes on this host: each process notes the version it runs, and a crash is recorded against that version."""

from collections import deque
from pathlib import Path
from uuid import uuid4

import structlog
from django.conf import settings
from django.utils import timezone

from inference.engine.crash_notes import CrashNotes, EndedProcess, NativeCrash, ended_processes
from inference.serving.executors.sandbox import ChildDeath
from registry.access.policies import task_actor
from registry.catalogue.models import Version
from registry.catalogue.services import record_crash
from registry.kit.loops import Attempts

log = structlog.get_logger("roundhouse.crashes")

_CHILD = "child"
_MAX_TRACE = 4000


def folder() -> Path:
    return Path(settings.DATA_DIR) / "crashes"


class CrashLedger:
    """Keeps this process's notes, and reads the notes left by ended processes on this host."""

    def __init__(self, process: str) -> None:
        self.notes = CrashNotes(folder(), process)
        self._children: deque[NativeCrash] = deque()

    def note_death(self, death: ChildDeath) -> None:
        """Remember how a version's child ended; it is recorded later, so that the caller does not wait."""
        if death.crash:
            label = death.version_id
            self._children.append(NativeCrash(_CHILD, death.crash, (label,), label, timezone.now(), ""))

    def collect(self) -> None:
        """Record the crashes since the last call; those that cannot be written are tried again."""
        with Attempts() as attempt:
            for ended in ended_processes(folder()):
                attempt(_record_ended, ended)
            for _ in range(len(self._children)):
                attempt(self._record_child)

    def close(self) -> None:
        self.notes.close()

    def _record_child(self) -> None:
        crash = self._children.popleft()
        try:
            _record(crash, f"{_CHILD}-{uuid4().hex}")
        except BaseException:
            self._children.append(crash)
            raise


def _record_ended(ended: EndedProcess) -> None:
    if ended.crash is not None:
        _record(ended.crash, ended.name)
    ended.forget()


def _record(crash: NativeCrash, source: str) -> None:
    log.critical(
        "a process crashed", process=source, signal=crash.signal, version_id=crash.blamed or None,
        running=crash.running, trace=crash.text[:_MAX_TRACE],
    )  # fmt: skip
    version = Version.objects.select_related("model").filter(pk=crash.blamed).first()
    if version is not None:
        record_crash(
            version=version,
            signal=crash.signal,
            process=crash.process,
            source=source,
            crashed_at=crash.at,
            by=task_actor("inference.crash_ledger"),
        )
