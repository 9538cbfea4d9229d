"""Stop, start, freeze and roll back, asked of each web process by itself: two seconds, and nobody asks the wrong one."""

import http.client
import json
import os
import re
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.chaos.inference.serving.stewards.test_processes import House
from tests.support.processes import ROOT, serving, wait_until

PROCESSES, LIMIT_S = 2, 2.0
MODEL = ROOT / "examples" / "ripeness" / "model.onnx"
ROW = json.loads((ROOT / "examples" / "ripeness" / "sample.json").read_text())


class Line:
    """A connection that one web process holds: what is asked over it, that process answers."""

    def __init__(self, served, key):
        self._line = http.client.HTTPConnection("127.0.0.1", int(served.url.rpartition(":")[2]), timeout=10)
        self._key = key
        self("GET", "/livez")
        self.pid = self._holder(served.find("granian"))

    def __call__(self, method, path, body=None):
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        self._line.request(method, path, body=json.dumps(body) if body is not None else None, headers=headers)
        response = self._line.getresponse()
        text = response.read()
        return response.status, json.loads(text) if "json" in response.getheader("Content-Type", "") else text

    def predict(self):
        """The number of the version that answered, or the refusal."""
        status, told = self("POST", "/api/v1/models/ripeness/predict", ROW)
        return told["version"] if status == 200 else (status, told["code"], told["detail"])

    def verb(self, name, **body):
        status, told = self("POST", f"/api/v1/models/ripeness/{name}", body)
        assert status in {200, 201}, told
        return told

    def _holder(self, pids):
        """The process at the other end: whose descriptor the kernel's socket is."""
        ours, theirs = (sock[1] for sock in (self._line.sock.getsockname(), self._line.sock.getpeername()))
        ends = [f":{theirs:04X}", f":{ours:04X}"]
        rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        (inode,) = [row[9] for row in rows if [row[1][-5:], row[2][-5:]] == ends]
        for pid in pids:
            for descriptor in Path(f"/proc/{pid}/fd").iterdir():
                with suppress(OSError):
                    if os.readlink(descriptor) == f"socket:[{inode}]":
                        return pid
        raise AssertionError(f"nobody of {pids} holds the other end")

    def close(self):
        self._line.close()


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    folder = tmp_path_factory.mktemp("incidents")
    with serving(folder, "--demo", WEB_PROCESSES=PROCESSES) as served:
        served.wait_ready()
        made = House(served)
        made.wait_for_engines()
        give_another_version(made)
        yield made


def give_another_version(house):
    done = house.manage(
        "import_model",
        "ripeness",
        MODEL,
        "--labels",
        "unripe,ripe,overripe",
        "--scores",
        "probabilities",
        "--live",
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def lines(house):
    """One connection to each web process."""
    key = house.manage(
        "issue_key", "incident", "--scope", "registry.write", "--scope", "predict"
    ).stdout.strip()
    found, others = {}, []
    wait_until(
        lambda: _connect(house.served, key, found, others) == PROCESSES,
        within_s=20,
        what="a line to each process",
    )
    yield list(found.values())
    for line in [*found.values(), *others]:
        line.close()


def _connect(served, key, found, others):
    line = Line(served, key)
    (others.append(line) if line.pid in found else found.update({line.pid: line}))
    return len(found)


def everywhere(lines, answer):
    """Ask every process until all answer so; the seconds since the call, which is made when the change is committed."""
    since, late = time.monotonic(), list(lines)
    while late:
        late = [line for line in late if line.predict() != answer]
        assert time.monotonic() - since < 30, [line.predict() for line in late]
    return time.monotonic() - since


@pytest.fixture
def two_warm(lines):
    """Version 1 is kept warm, version 2 answers."""
    assert lines[0]("PATCH", "/api/v1/models/ripeness", {"bake_minutes": 30})[0] == 200
    for number in (1, 2):
        lines[0].verb("roll-back", reason="before a test", to_version=number)
        everywhere(lines, number)


def test_stop_start_and_rolling_back_are_seen_by_every_process_within_two_seconds(lines, two_warm):
    took, live = [], 2

    for turn in range(PROCESSES):
        asked = lines[turn % PROCESSES]
        asked.verb("stop", text=f"wrong labels, {turn}")
        took.append(everywhere(lines, (503, "stopped", f"ripeness is stopped: wrong labels, {turn}")))
        asked.verb("start", reason="mended")
        took.append(everywhere(lines, live))
        live = 3 - live
        assert asked.verb("roll-back", reason="worse", to_version=live)["status"] == "current"
        took.append(everywhere(lines, live))

    assert max(took) <= LIMIT_S, took


@pytest.mark.long
def test_a_freeze_holds_in_every_process_at_once(lines, two_warm):
    first, second = lines
    share = {"arms": [{"version": 1, "share": 5_000}, {"version": 2, "share": 5_000}], "reason": "x"}
    first.verb("freeze", reason="audit week")

    refused = [line("POST", "/api/v1/models/ripeness/splits", share) for line in lines]
    back = second.verb("roll-back", reason="worse", to_version=1)
    took = everywhere(lines, 1)
    second.verb("unfreeze", reason="over")
    allowed = [line("POST", "/api/v1/models/ripeness/splits", share)[0] for line in lines]

    assert [(status, told["code"]) for status, told in refused] == [(409, "model_frozen")] * PROCESSES
    assert (back["status"], took <= LIMIT_S) == ("current", True)
    assert allowed == [201] * PROCESSES


@pytest.mark.long
def test_a_cold_version_warms_and_flips_within_two_seconds_of_the_last_engine(house, lines, two_warm):
    """Meanwhile what was live answers, and the answer to the rollback says what it waits for."""
    line = lines[0]
    assert line("PATCH", "/api/v1/models/ripeness", {"bake_minutes": 0})[0] == 200
    give_another_version(house)
    first, newest = (house.one(f"{_VERSIONS} ORDER BY number {order}") for order in ("ASC", "DESC"))
    warm = f"SELECT count(*) FROM inference_heldversion WHERE state = 'warm' AND version_id = {first}"
    wait_until(lambda: house.one(warm) == 0, within_s=20, what="the first version to be let go")
    number = house.one(f"SELECT number FROM registry_version WHERE id = {newest}")
    everywhere(lines, number)

    back = line.verb("roll-back", reason="worse", to_version=1)

    assert back["status"] == "waiting"
    assert re.fullmatch(r"waiting: \d of 2 engines are warm, gives up in \d:\d\d", back["waiting"]["told"])
    seen = set()
    while house.one(warm) < PROCESSES:
        seen |= {one.predict() for one in lines}
    took = everywhere(lines, 1)
    assert seen <= {number, 1}
    assert took <= LIMIT_S


_VERSIONS = (
    "SELECT registry_version.id FROM registry_version JOIN registry_model ON registry_model.id = model_id "
    "WHERE slug = 'ripeness'"
)
