"""Slow strangers: senders of a byte now and then, and readers that never read, with short deadlines and with none."""

import resource
import socket
from contextlib import ExitStack

import pytest

from tests.support.processes import changed_web_process, threads_of, wait_until
from tests.support.strangers import (
    A_THREAD_EACH,
    Addresses,
    DeafReaders,
    SlowSenders,
    answers_to_others,
    with_short_deadlines,
    without_deadlines,
)

THREADS, STRANGERS, FORMS = 16, 60, 130


@pytest.fixture(scope="module")
def addresses(embedded):
    return Addresses(embedded)


@pytest.fixture(scope="module")
def shortened(embedded, tmp_path_factory):
    with with_short_deadlines(embedded, tmp_path_factory.mktemp("shortened"), THREADS) as port:
        yield port


@pytest.fixture(scope="module")
def patient(embedded, tmp_path_factory):
    with without_deadlines(embedded, tmp_path_factory.mktemp("patient"), THREADS) as port:
        yield port


KINDS = {"senders": (SlowSenders, Addresses.sending), "readers": (DeafReaders, Addresses.reading)}


@pytest.mark.parametrize(("strangers", "beginnings"), KINDS.values(), ids=KINDS.keys())
def test_each_is_ended_by_a_deadline(shortened, patient, addresses, strangers, beginnings):
    """The control has no deadlines: there they stay."""
    asked = beginnings(addresses, STRANGERS)
    with strangers(shortened, asked) as ended, strangers(patient, asked) as staying:
        wait_until(lambda: not ended.here, within_s=40, what="the end of all of them")

        assert staying.here == STRANGERS
    if strangers is SlowSenders:
        assert set(ended.answers) <= {0, 401, 408}
        assert ended.answers[408] >= STRANGERS // 3


@pytest.mark.parametrize(("strangers", "beginnings"), KINDS.values(), ids=KINDS.keys())
def test_others_are_answered_meanwhile(embedded, patient, addresses, strangers, beginnings):
    with strangers(patient, beginnings(addresses, STRANGERS)) as staying:
        wait_until(lambda: staying.here == STRANGERS, within_s=30, what="all of them at once")

        answers = [answers_to_others(patient, embedded.authorization) for _ in range(10)]

        assert staying.here == STRANGERS
    assert answers == [[200, 200, 200]] * 10


def test_pages_open_beside_login_forms_sent_byte_by_byte(embedded, patient, addresses):
    with SlowSenders(patient, [addresses.login] * FORMS) as forms:
        answers = [answers_to_others(patient, embedded.authorization) for _ in range(10)]

        assert forms.here == FORMS
    assert answers == [[200, 200, 200]] * 10


def test_with_a_thread_per_form_no_page_opens(embedded, addresses, tmp_path):
    """Negative control of both tests above."""
    with changed_web_process(tmp_path, embedded.data, A_THREAD_EACH, threads=THREADS) as port:
        wait_until(
            lambda: answers_to_others(port, embedded.authorization) == [200] * 3,
            within_s=60,
            what="the control",
        )

        with SlowSenders(port, [addresses.login] * FORMS):
            wait_until(
                lambda: answers_to_others(port, embedded.authorization, within_s=1.0) == [0] * 3,
                within_s=20,
                what="somebody who is not answered",
            )


def test_idle_connections_add_no_thread(embedded):
    pids = embedded.find("granian")
    before = threads_of(pids)
    many = min(5000, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)
    with ExitStack() as opened:
        for _ in range(many):
            connection = opened.enter_context(
                socket.create_connection(("127.0.0.1", embedded.port), timeout=20)
            )
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = connection.recv(15)

        assert answer == b"HTTP/1.1 200 OK"
        assert threads_of(pids) <= before
