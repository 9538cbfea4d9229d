"""Ten thousand jobs while workers, Redis and PostgreSQL are killed, by a seed that pytest shows."""

import random
import time

import pytest
import redis as redis_client

from tests.chaos.inference.jobs.installation import LEASE_S, Killer, installed
from tests.support.private import PrivatePostgres, PrivateRedis
from tests.support.processes import wait_until

pytestmark = [pytest.mark.long, pytest.mark.service]
JOBS, KILLS = 10_000, 20
FEW_JOBS, FEW_KILLS = 1_000, 5
THREADS = 2  # of each worker, for jobs


@pytest.fixture
def redis():
    server = PrivateRedis().start()
    yield server
    server.stop()


@pytest.fixture
def postgres():
    server = PrivatePostgres().start()
    yield server
    server.stop()


class Misfortunes:
    """What happens to the services, each after a while, one after the other."""

    def __init__(self, redis, postgres, dice):
        self._redis, self._postgres, self._dice = redis, postgres, dice
        self._waiting = [self.restart_redis, self.empty_redis, self.restart_postgres] * 2
        dice.shuffle(self._waiting)
        self._due_at = time.monotonic() + 5

    def tend(self):
        if self._waiting and time.monotonic() > self._due_at:
            self._waiting.pop()()
            self._due_at = time.monotonic() + self._dice.uniform(5, 12)

    def restart_redis(self):
        """It keeps nothing: what was in it is gone."""
        self._redis.kill()
        self._redis.start()

    def empty_redis(self):
        with redis_client.Redis.from_url(self._redis.url) as client:
            client.flushall()

    def restart_postgres(self):
        self._postgres.kill()
        self._postgres.start()

    @property
    def are_over(self):
        return not self._waiting


def test_nothing_accepted_is_lost_and_nothing_is_answered_twice(tmp_path, redis, postgres):
    seed = random.SystemRandom().randrange(10_000)
    with installed(tmp_path, DATABASE_URL=postgres.url, REDIS_URL=redis.url, EXECUTOR="workers") as house:
        for _ in range(2):
            house.start_worker()
        killer = Killer(house, kills=KILLS, after_chunks=(50, 400), seed=seed)
        misfortunes = Misfortunes(redis, postgres, random.Random(seed))

        def tend():
            killer.tend()
            misfortunes.tend()

        client = house.start_client(JOBS)
        house.wait_for_client(client, within_s=1_800, tend=tend)
        house.wait_until_over(JOBS, within_s=1_800, tend=tend)

        assert killer.is_done
        assert misfortunes.are_over
        assert house.said("lease lost")
        assert house.problems() == [], f"seed {seed}"
        assert len(house.sent()) == JOBS


def test_without_the_sweeper_what_killed_workers_held_is_lost(tmp_path, redis, postgres):
    """The control: the same kills, and nobody frees what a killed worker held."""
    seed, changes = random.SystemRandom().randrange(10_000), ["without-sweeper"]
    variables = {"DATABASE_URL": postgres.url, "REDIS_URL": redis.url, "EXECUTOR": "workers"}
    with installed(tmp_path, JOB_THREADS=THREADS, **variables) as house:
        for _ in range(2):
            house.start_worker(*changes)
        killer = Killer(house, kills=FEW_KILLS, after_chunks=(50, 150), seed=seed, changes=changes)

        def all_but_few_are_done():
            killer.tend()
            return house.counts().get("done", 0) >= FEW_JOBS - FEW_KILLS * THREADS

        house.wait_for_client(house.start_client(FEW_JOBS), within_s=300, tend=killer.tend)
        wait_until(all_but_few_are_done, within_s=300, what="the other jobs")
        assert killer.is_done
        with pytest.raises(AssertionError, match=f"the end of {FEW_JOBS} jobs"):
            house.wait_until_over(FEW_JOBS, within_s=3 * LEASE_S)

        assert any("is running, not done" in problem for problem in house.problems()), f"seed {seed}"
