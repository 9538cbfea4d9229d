"""40 hostile files: each is refused with its code and a sentence, in time, and nothing outside them is opened."""

import json
import os
import re
import resource
import signal
import subprocess
import sys
import time

import pytest

from inference.checks.probe import probe
from inference.engine.backends import SessionOptions
from registry.intake.file_scan import scan_file
from registry.intake.file_scan.errors import FileRefused
from tests.support.processes import ROOT
from tests.unit.registry.intake.hostile_files import HOSTILE, SECRET, TOUCHED

CAP_S = 3.0
CORES = os.cpu_count()
MEMORY = 512 << 20
ADVICE = re.compile(r"(send|export|upload|use|raise|remove|make|convert|download|shorten)\b", re.IGNORECASE)


@pytest.fixture
def folder(tmp_path):
    inner = tmp_path / "inner"
    inner.mkdir()
    return inner


def cpu_seconds():
    """What this thread and the children that have ended took of a processor: neighbours change nothing of it."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.thread_time() + children.ru_utime + children.ru_stime


def refused(path):
    """The code and the sentence that this file is answered with, by the scan or else by the probe."""
    try:
        scan_file(path)
    except FileRefused as error:
        return "gate", error.code, str(error)
    result = probe(path, SessionOptions(), time_limit_s=CAP_S, memory_limit_bytes=MEMORY)
    return "probe", result.code, result.message


@pytest.mark.parametrize("hostile", HOSTILE, ids=lambda hostile: hostile.name)
def test_it_is_refused_with_its_code(folder, hostile):
    path = hostile.write(folder)
    took_before = cpu_seconds()

    by, code, message = refused(path)

    assert (by, code) == (hostile.by, hostile.code)
    assert cpu_seconds() - took_before < ((CAP_S + 2) * CORES if by == "probe" else 1)
    assert message[0].isupper() and message.endswith(".") and message.isprintable()
    assert hostile.names in message and ADVICE.search(message)
    assert str(folder) not in message
    assert not (folder / TOUCHED).exists()


WATCHING = """
import json, sys
from pathlib import Path
from registry.intake.file_scan import scan_file
from registry.intake.file_scan.errors import FileRefused

seen = []
sys.addaudithook(lambda event, arguments: seen.append([event, str(arguments[0])]) if watching else None)
how, *paths = sys.argv[1:]
for path in map(Path, paths):
    watching = True
    try:
        scan_file(path)
    except FileRefused:
        pass
    if how == "control":
        path.parent.parent.joinpath("outside-secret").read_bytes()
    watching = False
print(json.dumps(seen))
"""


def watched(how, paths):
    """Everything that Python asks the system for while these files are checked."""
    done = subprocess.run(
        [sys.executable, "-c", WATCHING, how, *paths], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [
        (event, what) for event, what in json.loads(done.stdout) if event not in {"compile", "exec", "import"}
    ]


class TestOutside:
    @pytest.fixture
    def paths(self, tmp_path):
        paths = []
        for hostile in HOSTILE:
            folder = tmp_path / hostile.name
            folder.mkdir()
            paths.append(str(hostile.write(folder)))
        return paths

    def test_nothing_but_the_files_is_opened(self, paths):
        assert watched("gate", paths) == [("open", path) for path in paths]

    def test_the_watch_would_see_it(self, paths, tmp_path):
        """Negative control: the same watch over somebody who does open the file outside."""
        opened = [what for event, what in watched("control", paths[:1]) if event == "open"]

        assert opened == [paths[0], str(tmp_path / SECRET)]


class TestWithoutUs:
    """Negative controls: what the same files do to a process that loads them itself."""

    LOAD = (
        "import sys, onnxruntime as o; s = o.InferenceSession(sys.argv[1]); print('loaded', flush=True);"
        + ("import numpy as np; s.run(None, {'x': np.ones((1, 4), np.float32)})")
    )
    CRASH = "from tests.support.hostile import Crashing; Crashing().load(None, None)"

    def test_an_endless_loop_hangs_it(self, folder):
        path = next(hostile for hostile in HOSTILE if hostile.name == "endless-loop").write(folder)
        process = subprocess.Popen([sys.executable, "-c", self.LOAD, path], stdout=subprocess.PIPE, text=True)

        try:
            assert process.stdout.readline() == "loaded\n"
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(1)
        finally:
            process.kill()
            process.communicate()

    def test_a_crash_while_loading_kills_it(self):
        done = subprocess.run([sys.executable, "-c", self.CRASH], cwd=ROOT, check=False)

        assert done.returncode == -signal.SIGSEGV
