"""Servers as child processes: started on a free port, ended by process id with all their children."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.processes import clean_environment, family_of, is_running

_END_WITHIN_S = 15.0


class NotServing(Exception):
    """A server did not start. Contains its last output."""


@contextmanager
def started(
    command: Sequence[str | Path],
    *,
    folder: Path,
    is_ready: Callable[[], bool],
    within_s: float = 60,
    cwd: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until the block ends. All its processes end with it."""
    log = folder / f"server-{time.monotonic_ns()}.log"
    with log.open("wb") as sink:
        process = subprocess.Popen(
            command,
            env={**clean_environment(), "OMP_NUM_THREADS": "1", **(environ or {})},
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            cwd=cwd or folder,
            start_new_session=True,  # Ctrl-C reaches only this process, which ends it in order
        )
    try:
        _await(process, is_ready, within_s, log)
        yield process
    finally:
        _end(process)
        log.unlink()


def _await(
    process: subprocess.Popen[bytes], is_ready: Callable[[], bool], within_s: float, log: Path
) -> None:
    give_up_at = time.monotonic() + within_s
    while not is_ready():
        if process.poll() is not None:
            raise NotServing(f"exit status {process.returncode}: {_last_words(log)}")
        if time.monotonic() > give_up_at:
            raise NotServing(f"not ready within {within_s:g} s: {_last_words(log)}")
        time.sleep(0.05)


def _last_words(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    errors = [line for line in lines if re.match(r"[\w.]*(Error|Exception|Problem)\b", line)]
    return " | ".join((errors or lines)[-2:])


def _end(process: subprocess.Popen[bytes]) -> None:
    family = family_of(process.pid)
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_END_WITHIN_S)
    if process.poll() is None:
        process.kill()
        process.wait()
    # Its children may still run. A pid that now belongs to another command is not ours.
    for pid, command in family.items():
        if is_running(pid) and _command_of(pid) == command:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def resident_bytes(pids: Sequence[int]) -> int:
    total = 0
    for pid in pids:
        with suppress(OSError, IndexError):
            total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return total
