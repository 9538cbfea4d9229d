"""Hostile pictures, each read in a child process: the listed answer, 2 seconds of a core and 300 MB at most."""

import json
import subprocess
import sys

import pytest

from tests.support.hostile_pictures import bomb, hostile_files, many_scans
from tests.support.processes import ROOT

MOST_SECONDS, MOST_KIB = 2, 300 * 1024
FILES = hostile_files()
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def measured(folder, files, *options):
    for name, data in files.items():
        (folder / name).write_bytes(data)
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.hostile_pictures", folder, *options],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return {line["name"]: line for line in map(json.loads, done.stdout.splitlines())}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return measured(tmp_path_factory.mktemp("hostile"), {name: make() for name, (make, _) in FILES.items()})


@pytest.mark.parametrize("name", FILES)
def test_hostile_pictures_are_refused_or_read_cheaply(name, results):
    error, found = FILES[name][1], results[name]

    assert found["result"] == (error.__name__ if error else "RGB")
    assert found["seconds"] <= MOST_SECONDS
    assert found["kib"] <= MOST_KIB


def test_there_are_enough_of_them():
    assert len(FILES) >= 30


def test_pillow_alone_exceeds_both_limits(tmp_path):
    """Control: what is measured here is seen."""
    files = {"bomb": bomb(20_000), "scans": many_scans(8_000, 400)}

    found = measured(tmp_path, files, "--pillow")

    assert found["bomb"]["kib"] > MOST_KIB
    assert found["scans"]["seconds"] > MOST_SECONDS
