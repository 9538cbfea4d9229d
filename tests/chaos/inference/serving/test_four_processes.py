import os
import subprocess
import sys
import time
from pathlib import Path
from queue import Queue
from threading import Thread

import pytest
from django.db import connection

from tests.support.factories import a_live_model, a_split
from tests.support.processes import ROOT

CHILD = Path(__file__).with_name("polling_child.py")
PROCESSES, LIMIT_S = 4, 2.0


@pytest.fixture
def processes(request):
    started: list[subprocess.Popen[str]] = []

    def start(slug: str) -> list["Queue[tuple[int, float]]"]:
        environ = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'platform'}",
        }
        command = [sys.executable, str(CHILD), str(connection.settings_dict["NAME"]), slug]
        lines: list[Queue[tuple[int, float]]] = []
        for _ in range(PROCESSES):
            child = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True, cwd=ROOT)
            started.append(child)
            lines.append(Queue())
            Thread(target=_read, args=[child, lines[-1]], daemon=True).start()
        return lines

    yield start
    for child in started:
        child.kill()
        child.wait()
        child.stdout.close()


def _read(child, lines) -> None:
    for line in child.stdout:
        lines.put((int(line), time.monotonic()))


def seen_after(lines, split, since) -> float:
    """Wait until every process follows this split; return the seconds that the slowest took."""
    slowest = 0.0
    for one in lines:
        found, at = one.get(timeout=60)
        while found != split:
            found, at = one.get(timeout=60)
        slowest = max(slowest, at - since)
    return slowest


@pytest.mark.parametrize("changes", [3, pytest.param(100, marks=pytest.mark.long)])
@pytest.mark.django_db(transaction=True)
def test_four_polling_processes_see_a_change_within_two_seconds(processes, changes):
    model = a_live_model(50, 50)
    lines = processes(model.slug)
    seen_after(lines, 1, time.monotonic())

    late = []
    for turn in range(changes):
        split = a_split(model, 40 + turn % 20, 60 - turn % 20)
        took = seen_after(lines, split.number, time.monotonic())
        late += [took] if took > LIMIT_S else []

    assert late == []
