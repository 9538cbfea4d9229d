"""Five hundred slow senders, five hundred readers that never read, five thousand that ask nothing: the large ones of
tests/served/roundhouse/test_slow_strangers.py.
"""

import resource
import socket
from contextlib import ExitStack

import pytest

from tests.support.processes import growing_at_most, serving, threads_of, wait_until
from tests.support.strangers import (
    Addresses,
    DeafReaders,
    SlowSenders,
    answers_to_others,
    with_short_deadlines,
    without_deadlines,
)

pytestmark = pytest.mark.long
THREADS, STRANGERS, IDLE = 16, 500, 5_000
KINDS = {"senders": (SlowSenders, Addresses.sending), "readers": (DeafReaders, Addresses.reading)}


@pytest.fixture(autouse=True, scope="module")
def many_open_files():
    """As the product does for itself."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("served"), "--demo", WEB_PROCESSES=1, WEB_THREADS=THREADS) as served:
        served.wait_ready()
        yield served


@pytest.mark.parametrize(("strangers", "beginnings"), KINDS.values(), ids=KINDS.keys())
def test_others_are_answered_and_each_stranger_is_disconnected(served, tmp_path, strangers, beginnings):
    asked = beginnings(Addresses(served), STRANGERS)
    with with_short_deadlines(served, tmp_path, THREADS) as port, strangers(port, asked) as ended:
        loop_answers = answered_until_pages_are(port, served.authorization)
        wait_until(lambda: not ended.here, within_s=120, what="the end of all of them")

    assert loop_answers == {(200, 200)}


@pytest.mark.parametrize(("strangers", "beginnings"), KINDS.values(), ids=KINDS.keys())
def test_without_deadlines_they_stay_and_others_are_still_answered(served, tmp_path, strangers, beginnings):
    asked = beginnings(Addresses(served), STRANGERS)
    with without_deadlines(served, tmp_path, THREADS) as port, strangers(port, asked) as staying:
        loop_answers = answered_until_pages_are(port, served.authorization)
        answers = [answers_to_others(port, served.authorization) for _ in range(20)]

        assert staying.here == STRANGERS
    assert loop_answers == {(200, 200)}
    assert answers == [[200, 200, 200]] * 20


def test_five_thousand_idle_connections_add_no_thread(served):
    pids = served.find("granian")
    assert answers_to_others(served.port, served.authorization) == [200, 200, 200]
    before = threads_of(pids)
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > IDLE + 100, "too few open files are allowed here"
    with growing_at_most(pids, 256), ExitStack() as opened:
        for _ in range(IDLE):
            opened.enter_context(socket.create_connection(("127.0.0.1", served.port), timeout=20))

        assert answers_to_others(served.port, served.authorization) == [200, 200, 200]
        assert threads_of(pids) <= before


def answered_until_pages_are(port, authorization) -> set[tuple[int, int]]:
    """Ask until a page of Django is shown, which hundreds of requests at once may delay; how the others were answered."""
    answers = []

    def is_shown() -> bool:
        answers.append(answers_to_others(port, authorization))
        return answers[-1][2] == 200

    wait_until(is_shown, within_s=60, what="a page")
    return {(probe, prediction) for probe, prediction, _ in answers}
