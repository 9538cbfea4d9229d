"""Real processes: they wait for each other, are missed when they are killed, and leave in order."""

import itertools
import os
import signal
import sqlite3
import threading
from contextlib import contextmanager

import pytest

from tests.support.processes import ROOT, manage, paused, post, serving, wait_until

ROW = {"inputs": {"hour": [[0.5]], "warmth": [[0.5]]}}
DEMAND = ROOT / "examples" / "demand" / "model.onnx"
NEWEST_VERSION = "SELECT max(id) FROM registry_version"


class House:
    """A served Roundhouse, and what its database says."""

    def __init__(self, served, **variables):
        self.served, self.variables = served, {"DATA": served.data, "WEB_THREADS": 8, **variables}

    def rows(self, query, *values):
        database = sqlite3.connect(
            f"file:{self.served.data / 'roundhouse.sqlite3'}?mode=ro", uri=True, timeout=20
        )
        try:
            return database.execute(query, values).fetchall()
        finally:
            database.close()

    def one(self, query, *values):
        return self.rows(query, *values)[0][0]

    def engines(self, kind):
        found = "SELECT pid FROM inference_enginereport WHERE kind = ? AND state = 'ready' AND lost_at IS NULL ORDER BY pid"
        return [pid for (pid,) in self.rows(found, kind)]

    def wait_for_engines(self, within_s=30):
        wait_until(
            lambda: (len(self.engines("web")), len(self.engines("worker"))) == (2, 1),
            within_s=within_s,
            what=f"two web processes and a worker; it said:\n{self.served.output}",
        )

    def lost(self):
        query = "SELECT summary FROM registry_event WHERE kind = 'worker_lost' ORDER BY id"
        return [summary for (summary,) in self.rows(query)]

    def split(self, number):
        query = (
            "SELECT status FROM registry_split JOIN registry_model ON registry_model.id = model_id "
            "WHERE slug = 'demand' AND number = ?"
        )
        found = self.rows(query, number)
        return found[0][0] if found else None

    def newest_split(self):
        return self.one(
            "SELECT max(number) FROM registry_split JOIN registry_model ON registry_model.id = model_id WHERE slug = 'demand'"
        )

    def manage(self, *arguments):
        return manage(*arguments, **self.variables)

    def ask(self):
        key = {"Authorization": f"Bearer {self.served.credentials['api_key']}"}
        return post(f"{self.served.url}/api/v1/models/demand/predict", ROW, **key)


@contextmanager
def housed(folder, **variables):
    with serving(folder, "--demo", WEB_PROCESSES=2, **variables) as served:
        served.wait_ready()
        house = House(served, **variables)
        house.wait_for_engines()
        assert house.manage("approval_rule", "demand", "off", "--reason", "a test").returncode == 0
        yield house


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    with housed(tmp_path_factory.mktemp("house"), WARM_LIMIT_S=8) as made:
        yield made


@contextmanager
def importing(house):
    """A command that imports another version and gives it all traffic, while the test looks on."""
    results = []
    thread = threading.Thread(
        target=lambda: results.append(house.manage("import_model", "demand", DEMAND, "--live"))
    )
    before = house.one(NEWEST_VERSION)
    thread.start()
    # What is paused from now on loads nothing of it, and falls silent no sooner than it must: checks are to come.
    wait_until(lambda: house.one(NEWEST_VERSION) != before, within_s=30, what="the version is registered")
    yield results
    thread.join(60)


@pytest.mark.long
def test_a_new_version_answers_when_both_web_processes_are_warm(house):
    number = house.newest_split() + 1
    slow = house.engines("web")[1]

    with importing(house) as results:
        with paused(slow, house.data):
            wait_until(lambda: house.split(number) == "waiting", within_s=20, what="the split")
            warm = (
                "SELECT count(*) FROM inference_heldversion"
                f" WHERE state = 'warm' AND version_id = ({NEWEST_VERSION})"
            )
            wait_until(lambda: house.one(warm) == 1, within_s=7, what="one warm engine")
            assert house.split(number) == "waiting"
        wait_until(lambda: house.split(number) == "current", within_s=10, what="the flip")

    assert results[0].returncode == 0, results[0].stderr
    assert "0 of 2 engines are warm" in results[0].stdout
    assert "registered and live" in results[0].stdout


@pytest.mark.long
def test_what_is_not_warm_in_time_is_given_up_and_the_old_one_answers_on(house):
    number, lost_before = house.newest_split() + 1, house.lost()
    slow = house.engines("web")[1]

    with importing(house) as results, paused(slow, house.data):
        wait_until(lambda: house.split(number) is not None, within_s=20, what="the split")
        wait_until(lambda: house.split(number) == "expired", within_s=14, what="its end")

    assert house.split(number - 1) == "current"
    assert results[0].returncode == 1
    assert "was given up" in results[0].stderr
    assert house.lost() == lost_before


@pytest.mark.parametrize("kind", ["worker", "web"])
def test_a_killed_process_is_missed_at_once(house, kind):
    house.wait_for_engines()
    victim = house.engines(kind)[0]
    before = len(house.lost())

    os.kill(victim, signal.SIGKILL)

    wait_until(
        lambda: len(house.lost()) > before, within_s=14, what=f"the event; it said:\n{house.served.output}"
    )
    house.wait_for_engines()
    assert f"process {victim} on" in house.lost()[-1] or f"worker {victim} on" in house.lost()[-1]
    assert victim not in house.engines(kind)
    assert len(house.lost()) == before + 1


@contextmanager
def asked(house, callers=3):
    """Steady calls, and what was not answered as it should be.

    A call whose connection ends before its answer is made once more, as proxies do: what waits to be accepted by a process that
    ends is lost with its socket.
    """
    stop, calls, failures = threading.Event(), itertools.count(), []

    def ask():
        try:
            return house.ask()
        except OSError:
            return house.ask()

    def call():
        while not stop.is_set():
            next(calls)
            try:
                status, body = ask()
                if status != 200:
                    failures.append((status, body))
            except OSError as error:
                failures.append(error)

    threads = [threading.Thread(target=call) for _ in range(callers)]
    for thread in threads:
        thread.start()
    try:
        yield failures
    finally:
        stop.set()
        for thread in threads:
            thread.join(20)
    assert next(calls) > 50


@pytest.mark.long
def test_processes_are_renewed_one_by_one_without_a_failed_call(tmp_path):
    with housed(tmp_path) as house, asked(house) as failures:
        for _ in range(10):
            for kind, old in [
                *(("web", pid) for pid in house.engines("web")),
                ("worker", house.engines("worker")[0]),
            ]:
                os.kill(old, signal.SIGTERM)
                wait_until(
                    lambda kind=kind, old=old: old not in house.engines(kind),
                    within_s=26,
                    what=f"the end of {kind} {old}; it said:\n{house.served.output}",
                )
                house.wait_for_engines()
        assert failures == [], house.served.output
        assert house.lost() == []


@pytest.mark.long
def test_all_leave_in_order(tmp_path):
    with housed(tmp_path) as house:
        took_s = house.served.stop()

        assert house.one("SELECT count(*) FROM inference_enginereport") == 0
        assert house.lost() == []
        assert took_s < 25
