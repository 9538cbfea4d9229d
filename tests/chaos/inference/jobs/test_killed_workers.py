"""Real workers that are killed or stopped, and what a client was promised: the ledger checker compares the two."""

import os
import random
import signal
import time

import pytest

from tests.chaos.inference.jobs.installation import DEATH, LEASE_S, Killer, installed
from tests.support.private import PrivateRedis, a_database
from tests.support.processes import wait_until
from tests.support.services import DATABASE_URL


@pytest.fixture(params=["embedded", pytest.param("production", marks=pytest.mark.service)])
def house(request, tmp_path):
    """SQLite with the file broker, or PostgreSQL with a Redis of its own."""
    if request.param == "embedded":
        with installed(tmp_path) as made:
            yield made
        return
    redis = PrivateRedis().start()
    try:
        with (
            a_database(DATABASE_URL) as url,
            installed(tmp_path, DATABASE_URL=url, REDIS_URL=redis.url, EXECUTOR="workers") as made,
        ):
            yield made
    finally:
        redis.stop()


@pytest.fixture
def small_house(tmp_path):
    with installed(tmp_path) as made:
        yield made


@pytest.fixture
def seed():
    """Another one each time; pytest shows it where a test fails."""
    return random.SystemRandom().randrange(10_000)


@pytest.mark.long
def test_a_thousand_jobs_survive_three_kills(house, seed):
    house.wait_for_worker(house.start_worker())
    killer = Killer(house, kills=3, after_chunks=(20, 200), seed=seed)
    client = house.start_client(1_000)

    house.wait_for_client(client, within_s=120, tend=killer.tend)
    house.wait_until_over(1_000, within_s=180, tend=killer.tend)

    assert killer.is_done
    assert house.said("lease lost")
    assert house.problems() == []
    assert len(house.sent()) == 1_000


def lose_a_worker(house, *changes, **jobs):
    """Have a worker take a chunk, whose run takes a while, and kill it in the middle; another does the rest."""
    worker = house.wait_for_worker(house.start_worker("slow", *changes))
    client = house.start_client(10, **jobs)
    wait_until(lambda: house.said("chunk answered"), within_s=60, what="a chunk with a worker")
    worker.kill()
    house.wait_for_client(client, within_s=30)
    house.start_worker(*changes)


def test_chunk_of_a_killed_worker_is_done_by_another(small_house):
    lose_a_worker(small_house)

    small_house.wait_until_over(10, within_s=60)

    assert small_house.problems() == []
    assert small_house.said("lease lost")


def test_chunk_of_a_job_without_a_model_is_done_by_another(small_house):
    lose_a_worker(small_house, "lengths", rows=3, kind="lengths")

    small_house.wait_until_over(10, within_s=60)

    assert small_house.problems() == []
    assert small_house.said("lease lost")


@pytest.mark.long
def test_checker_finds_what_is_lost_without_the_sweeper(small_house):
    """The control: nobody frees what the killed worker held, so some job never ends, and the checker says so."""
    lose_a_worker(small_house, "without-sweeper")
    wait_until(lambda: small_house.counts().get("done", 0) >= 8, within_s=60, what="the other jobs")

    with pytest.raises(AssertionError, match="the end of 10 jobs"):
        small_house.wait_until_over(10, within_s=2 * LEASE_S)

    assert any("is running, not done" in problem for problem in small_house.problems())


def stop_a_worker_past_its_lease(house, *changes, at_least_s=0):
    """SIGSTOP a worker in the middle of a chunk; another does it; then let the first one go on."""
    zombie = house.wait_for_worker(house.start_worker("slow", *changes))
    client = house.start_client(1)
    wait_until(lambda: house.said("chunk answered"), within_s=60, what="a chunk with a worker")
    os.kill(zombie.pid, signal.SIGSTOP)
    goes_on_at = time.monotonic() + at_least_s
    house.wait_for_client(client, within_s=30)
    house.start_worker(*changes)
    house.wait_until_over(1, within_s=60)
    time.sleep(max(0, goes_on_at - time.monotonic()))  # the length of the stop is what is tested
    os.kill(zombie.pid, signal.SIGCONT)


@pytest.mark.long
def test_late_write_of_a_stopped_worker_is_refused_and_logged(small_house):
    stop_a_worker_past_its_lease(small_house, at_least_s=120)

    wait_until(lambda: small_house.said("late write refused"), within_s=30, what="the zombie's refusal")
    assert small_house.problems() == []


@pytest.mark.long
def test_late_write_without_fencing_is_only_stopped_by_the_tables_own_rules(small_house):
    """The control: a worker that writes whatever its attempt would count a row twice."""
    stop_a_worker_past_its_lease(small_house, "without-fencing")

    wait_until(
        lambda: "job_counts_no_row_twice" in small_house.output_of(small_house.workers[0]),
        within_s=30, what="the second write",
    )  # fmt: skip
    assert not small_house.said("late write refused")


@pytest.mark.long
def test_jobs_that_kill_every_worker_are_buried_and_drag_nobody_down(tmp_path):
    jobs, killers = 5_000, 5
    with installed(tmp_path, JOB_LEASE_S=1) as house:
        house.start_worker("deadly")
        client = house.start_client(jobs, deaths=killers)
        deaths = 0

        def tend():
            nonlocal deaths
            deaths += house.revive("deadly")

        house.wait_for_client(client, within_s=1_500, tend=tend)
        house.wait_until_over(jobs, within_s=600, tend=tend)

        deadly = {job for job, sent in house.sent().items() if sent.value == DEATH}
        assert house.problems(dead_jobs=deadly) == []
        assert house.counts() == {"done": jobs - killers, "failed": killers}
        assert deaths <= 3 * killers
