"""Crashes of this host's processes: noted while they run, read when they have ended, and laid at the version's door."""

from collections import deque
from pathlib import Path
from uuid import uuid4

import structlog
from django.conf import settings
from django.utils import timezone

from inference.engine.crash_notes import CrashNotes, EndedProcess, NativeCrash, ended_processes
from inference.serving.executors.sandbox import Death
from registry.access.policies import task_actor
from registry.catalogue.models import Version
from registry.catalogue.services import record_crash
from registry.kit.loops import Attempts

log = structlog.get_logger("roundhouse.crashes")

_CHILD = "child"
_MOST_TOLD = 4000


def folder() -> Path:
    return Path(settings.DATA_DIR) / "crashes"


class CrashLedger:
    """This process's notes, and its share in reading those that others of this host have left."""

    def __init__(self, process: str) -> None:
        self.notes = CrashNotes(folder(), process)
        self._children: deque[NativeCrash] = deque()

    def note_death(self, death: Death) -> None:
        """Keep in mind how a version's child ended; whoever asked it does not wait until that is written."""
        if death.crash:
            label = death.version_id
            self._children.append(NativeCrash(_CHILD, death.crash, (label,), label, timezone.now(), ""))

    def collect(self) -> None:
        """Write down what has ended since the last look; what could not be written is looked at again."""
        with Attempts() as attempt:
            for ended in ended_processes(folder()):
                attempt(_take, ended)
            for _ in range(len(self._children)):
                attempt(self._take_child)

    def close(self) -> None:
        self.notes.close()

    def _take_child(self) -> None:
        crash = self._children.popleft()
        try:
            _record(crash, f"{_CHILD}-{uuid4().hex}")
        except BaseException:
            self._children.append(crash)
            raise


def _take(ended: EndedProcess) -> None:
    if ended.crash is not None:
        _record(ended.crash, ended.name)
    ended.forget()


def _record(crash: NativeCrash, source: str) -> None:
    log.critical(
        "a process crashed", process=source, signal=crash.signal, version_id=crash.blamed or None,
        running=crash.running, trace=crash.text[:_MOST_TOLD],
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
