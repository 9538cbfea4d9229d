"""A fleet under a steady rate of requests: its splits change, its processes are renewed and killed, its Redis hangs up."""

import time
from contextlib import contextmanager
from typing import NamedTuple

import pytest
import redis as redis_client
from celery import Celery

from tests.chaos.inference.serving.fleet import a_fleet
from tests.chaos.inference.serving.steady import SteadyRate, p99_s
from tests.support.processes import paused, wait_until

pytestmark = [pytest.mark.service]
FOLLOW_WITHIN_S, NORMAL_WITHIN_S, CONSUMING_WITHIN_S = 2.0, 5.0, 15
MEASURED = 100  # changes; only the long runs, on a machine of their own, look at times
LOOK_S = 3.0  # so long a look at what is normal lasts
SENT_AGAIN_S = 0.5  # whoever has to wait until a lost batch is sent again waits for longer than this
SHARES = [{1: 50, 2: 50}, {2: 100}, {3: 100}, {1: 20, 2: 30, 3: 50}]


@pytest.fixture(scope="module")
def same_fleet(tmp_path_factory):
    with a_fleet(tmp_path_factory.mktemp("fleet")) as made:
        yield made


@pytest.fixture
def fleet(same_fleet):
    """All there, and version 1 answers."""
    same_fleet.wait_for_engines()
    Changing(same_fleet).set_split({1: 100})
    return same_fleet


def normally(load) -> float:
    """The 99th percentile of the next seconds."""
    begin = time.monotonic()
    load.wait_until(begin + LOOK_S)
    return p99_s(load.between(begin, begin + LOOK_S))


class Flip(NamedTuple):
    split: int
    versions: set
    at: float  # on the monotonic clock
    followed_s: float
    loaded_after: int


class Changing:
    """Changes the split of a fleet, and looks how it follows."""

    def __init__(self, fleet):
        self._fleet, self.flips = fleet, []

    def set_split(self, shares):
        arms = [{"version": version, "share": share * 100} for version, share in shares.items()]
        split = self._fleet.post("models/double/splits", {"arms": arms, "reason": "a test"})
        self.note(split["number"], set(shares))

    def roll_back(self):
        """It loads nothing, neither before nor after it takes effect."""
        before = len(self._fleet.loads())
        split = self._fleet.post("models/double/roll-back", {"reason": "a test"})
        self.note(split["number"], {arm["version"] for arm in split["arms"]})
        assert len(self._fleet.loads()) == before

    def note(self, number, versions):
        wait_until(lambda: self._fleet.current_split() == number, within_s=60, what="the split is current")
        at = self._fleet.flipped_at(number)
        wait_until(self._fleet.all_follow, within_s=60, what="all follow")
        followed_s = time.time() - at
        late = [loaded for loaded in self._fleet.loads() if loaded > at]
        self.flips.append(Flip(number, versions, time.monotonic() - followed_s, followed_s, len(late)))


@pytest.mark.parametrize("changes", [12, pytest.param(MEASURED, marks=pytest.mark.long)])
def test_changes_and_rollbacks_fail_nobody_and_load_nothing(fleet, changes):
    changing = Changing(fleet)
    with SteadyRate(fleet) as load:
        load.wait_until(time.monotonic() + 1.0)
        for turn in range(changes // 2):
            for change in (lambda turn=turn: changing.set_split(SHARES[turn % 4]), changing.roll_back):
                change()
                load.wait_until(changing.flips[-1].at + 2.0)
    flips = changing.flips

    assert load.failed() == []
    assert [flip for flip in flips if flip.loaded_after] == []
    assert from_elsewhere(load, flips) == []
    if changes < MEASURED:
        return
    assert [flip for flip in flips if flip.followed_s > FOLLOW_WITHIN_S] == []
    flipping = p99_s([one for flip in flips for one in load.between(flip.at, flip.at + 1.0)])
    normal = p99_s([one for flip in flips for one in load.between(flip.at + 1.0, flip.at + 2.0)])
    assert flipping <= 2 * normal


def from_elsewhere(load, flips):
    """Answers by a version that is not on the split they name, and those by an old split when all must have followed."""
    found = []
    for flip, following in zip(flips, [*flips[1:], None], strict=True):
        end = following.at if following else float("inf")
        late = load.between(flip.at + max(FOLLOW_WITHIN_S, flip.followed_s), end)
        found += [one for one in late if one.split < flip.split]
        found += [one for one in load.asked if one.split == flip.split and one.version not in flip.versions]
    return found


@pytest.mark.long
def test_without_the_check_of_readiness_a_version_is_loaded_after_the_flip(fleet):
    """The control: a change that asks no engine whether it is warm."""
    changing = Changing(fleet)

    changing.note(fleet.set_split_unasked(version=4), {4})

    assert changing.flips[0].loaded_after > 0


@pytest.mark.long
def test_all_processes_are_renewed_and_no_request_fails_and_no_job_is_lost(fleet):
    jobs = 0
    with SteadyRate(fleet, again=True) as load:
        for _ in range(10):
            for kind in ("web", "worker"):
                for pid in fleet.engines(kind):
                    client = fleet.start_client(50)
                    jobs += 50
                    fleet.renew(kind, pid)
                    fleet.wait_for_client(client, within_s=120)
    fleet.wait_until_over(jobs, within_s=120)

    assert load.failed() == []
    assert fleet.problems() == []


@pytest.mark.long
def test_all_is_normal_soon_after_one_of_two_workers_is_killed(fleet):
    with SteadyRate(fleet) as load:
        load.wait_until(time.monotonic() + 1.0)
        normal_s = normally(load)

        fleet.worker.kill()

        load.wait_until(time.monotonic() + NORMAL_WITHIN_S)
        after_s = normally(load)
    fleet.worker.wait()
    fleet.replace_worker()

    assert load.failed() == []
    assert after_s <= max(2 * normal_s, SENT_AGAIN_S), f"normal: {normal_s}"


@contextmanager
def chores(fleet):
    """Sends chores to whoever takes them."""
    options = {"global_keyprefix": "roundhouse:"}
    with Celery(broker=fleet.redis.url, broker_transport_options=options, set_as_current=False) as app:
        yield lambda: app.send_task("inference.record_pulse", queue="chores", expires=60)


def all_consume(fleet, send, within_s):
    """Whether both workers take chores, and requests are answered again."""
    logs = [fleet.log_of(fleet.worker), *fleet.folder.glob("serve-*.log")]
    sizes = [log.stat().st_size for log in logs]

    def has_taken(log, size):
        with log.open("rb") as file:
            file.seek(size)
            return b"Task inference.record_pulse" in file.read()

    def look():
        send()
        return all(map(has_taken, logs, sizes))

    wait_until(look, within_s=within_s, what="both workers take chores")
    with SteadyRate(fleet, per_s=50) as load:
        load.wait_until(time.monotonic() + 0.2)
    return load.failed() == []


def hang_up(redis):
    """Every connection is reset, whoever listens or waits."""
    with redis_client.Redis.from_url(redis.url) as client:
        for kind in ("normal", "pubsub"):
            client.client_kill_filter(_type=kind, skipme=True)


def restart(redis):
    redis.kill()
    redis.start()


@pytest.mark.long
def test_workers_consume_again_whenever_redis_hangs_up(fleet):
    workers = fleet.engines("worker")
    with chores(fleet) as send:
        assert all_consume(fleet, send, within_s=60)
        for turn in range(50):
            (hang_up, restart)[turn % 2](fleet.redis)

            began = time.monotonic()
            wait_until(
                lambda: all_consume(fleet, send, CONSUMING_WITHIN_S),
                within_s=CONSUMING_WITHIN_S,
                what=f"requests are answered after {turn + 1} times",
            )
            assert time.monotonic() - began <= CONSUMING_WITHIN_S

    assert fleet.engines("worker") == workers  # nobody was replaced for it


@pytest.mark.long
def test_a_worker_that_does_not_take_anything_is_seen(fleet):
    """The control of the test above."""
    with chores(fleet) as send, paused(fleet.worker.pid), pytest.raises(AssertionError, match="both workers"):
        all_consume(fleet, send, within_s=2)
