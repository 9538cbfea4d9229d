"""Servers that misbehave: each is left within the limits, with a coded error."""

import gzip
import itertools
import threading
import time

import pytest

from registry.errors import FetchFailed
from registry.record.fetcher import Fetcher, FetchLimits
from tests.support.internet import read_request

LIMITS = FetchLimits(
    total_s=0.6, max_bytes=100_000, max_header_bytes=8_000, min_bytes_per_s=1_000, slow_start_s=0.1
)
PATIENT = FetchLimits(total_s=30.0, max_bytes=100_000, max_header_bytes=8_000)
HELD_S = 5  # how long a silent server would hold a fetch without limits
HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
BOMB = gzip.compress(bytes(50_000_000))


def answer(content):
    def behave(connection, server):
        read_request(connection)
        connection.sendall(content)

    return behave


def keep_silent(connection, server):
    server.done.wait(HELD_S)


def drip(start, piece, pause_s=0.02):
    def behave(connection, server):
        answer(start)(connection, server)
        while not server.done.wait(pause_s):
            connection.sendall(piece)

    return behave


def pour(start, piece):
    return drip(start, piece, pause_s=0)


def gzipped(content):
    return HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(content) + content


HOSTILE = {
    "silence": (keep_silent, "too_slow"),
    "dripping status": (drip(b"H", b"T"), "too_slow"),
    "dripping headers": (drip(HEAD, b"a: b\r\n"), "too_slow"),
    "dripping body": (drip(HEAD + b"\r\n", b"x"), "too_slow"),
    "endless headers": (pour(HEAD, b"a: b\r\n" * 9), "too_large"),
    "endless header": (pour(HEAD + b"a: ", b"x" * 999), "too_large"),
    "endless interim answers": (pour(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), "too_large"),
    "endless body": (pour(HEAD + b"\r\n", b"x" * 9_999), "too_large"),
    "endless chunks": (pour(CHUNKED, b"3e8\r\n" + b"x" * 1000 + b"\r\n"), "too_large"),
    "tiny chunks": (pour(CHUNKED, b"1;" + b"e" * 500 + b"\r\nx\r\n"), "too_large"),
    "endless trailers": (pour(CHUNKED + b"0\r\n", b"a: b\r\n" * 9), "too_large"),
    "promised size": (answer(HEAD + b"Content-Length: 10737418240\r\n\r\n"), "too_large"),
    "gzip bomb": (answer(gzipped(BOMB)), "too_large"),
    "cut gzip": (answer(gzipped(gzip.compress(b"x" * 99)[:-9])), "bad_response"),
    "false gzip": (answer(gzipped(b"not packed")), "bad_response"),
    "unknown encoding": (answer(HEAD + b"Content-Encoding: br\r\n\r\nx"), "bad_response"),
    "cut body": (answer(HEAD + b"Content-Length: 9\r\n\r\nx"), "bad_response"),
    "no answer": (answer(b""), "bad_response"),
    "no HTTP": (answer(b"SSH-2.0-OpenSSH\r\n"), "bad_response"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_servers_are_left_in_time(serve, internet, fetcher, kind):
    behave, code = HOSTILE[kind]
    serve(behave)

    with pytest.raises(FetchFailed) as failure:
        fetcher.fetch("http://public.example/", limits=LIMITS if code == "too_slow" else PATIENT)

    assert failure.value.code == code


def test_a_stalled_handshake_ends_with_the_deadline(serve, internet, fetcher):
    serve(keep_silent)

    with pytest.raises(FetchFailed) as failure:
        fetcher.fetch("https://public.example/", limits=LIMITS)

    assert failure.value.code == "too_slow"


GOOD = {
    "with a length": HEAD + b"Content-Length: 5\r\n\r\nhello",
    "until the end": HEAD + b"\r\nhello",
    "in chunks": CHUNKED + b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
    "packed": gzipped(gzip.compress(b"hello")),
    "after an interim answer": b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD + b"Content-Length: 5\r\n\r\nhello",
}


@pytest.mark.parametrize("kind", GOOD)
def test_proper_answers_are_read(serve, internet, fetcher, kind):
    serve(answer(GOOD[kind]))

    assert fetcher.fetch("http://public.example/", limits=PATIENT).body == b"hello"


def test_a_body_of_just_the_limit_passes_and_one_byte_more_does_not(serve, internet, fetcher):
    sizes = iter([PATIENT.max_bytes, PATIENT.max_bytes + 1])
    serve(lambda *told: answer(HEAD + b"\r\n" + b"x" * next(sizes))(*told))

    assert len(fetcher.fetch("http://public.example/", limits=PATIENT).body) == PATIENT.max_bytes
    with pytest.raises(FetchFailed) as failure:
        fetcher.fetch("http://public.example/", limits=PATIENT)
    assert failure.value.code == "too_large"


def test_a_body_may_be_written_in_pieces_and_is_as_limited_as_one_in_memory(serve, internet, fetcher):
    sizes = iter([PATIENT.max_bytes, PATIENT.max_bytes + 1])
    serve(lambda *told: answer(HEAD + b"\r\n" + b"x" * next(sizes))(*told))
    pieces = []

    done = fetcher.fetch("http://public.example/", limits=PATIENT, write=pieces.append)

    assert (done.body, b"".join(pieces)) == (b"", b"x" * PATIENT.max_bytes)
    assert len(pieces) > 1
    with pytest.raises(FetchFailed) as failure:
        fetcher.fetch("http://public.example/", limits=PATIENT, write=pieces.append)
    assert failure.value.code == "too_large"


def test_only_the_body_of_a_200_is_written(serve, internet, fetcher):
    serve(answer(b"HTTP/1.1 404 No\r\nContent-Length: 4\r\n\r\nnone"))
    pieces = []

    done = fetcher.fetch("http://public.example/", limits=PATIENT, write=pieces.append)

    assert (done.status, done.body, pieces) == (404, b"none", [])


@pytest.mark.parametrize("kind", ["dripping body", "dripping headers"])
def test_without_the_rate_check_a_drip_lasts_as_long_as_the_fetch_may(serve, internet, fetcher, kind):
    serve(HOSTILE[kind][0])
    unhurried = FetchLimits(total_s=0.6, slow_start_s=60)

    began = time.monotonic()
    with pytest.raises(FetchFailed):
        fetcher.fetch("http://public.example/", limits=unhurried)
    assert time.monotonic() - began >= 0.6


@pytest.mark.long
def test_three_hundred_hostile_fetches_end_in_eleven_seconds_without_much_memory(serve, internet):
    """Six kinds of hostile server, fifty fetches each at once, with the limits of the product."""
    kinds = ["silence", "dripping headers", "dripping body", "endless headers", "endless body", "gzip bomb"]
    turn = itertools.count()
    serve(lambda connection, server: HOSTILE[kinds[next(turn) % 6]][0](connection, server))
    fetcher = Fetcher(resolve=internet.resolve, connect=internet.connect)
    for host in range(75):
        internet.names[f"host{host}.example"] = internet.names["public.example"]
    took: list[float] = []

    def fetch(number: int) -> None:
        began = time.monotonic()
        with pytest.raises(FetchFailed):
            fetcher.fetch(f"http://host{number % 75}.example/")
        took.append(time.monotonic() - began)

    before = _resident_mb()
    threads = [threading.Thread(target=fetch, args=[number]) for number in range(300)]
    for thread in threads:
        thread.start()
    peak = before
    while any(thread.is_alive() for thread in threads):
        threads[0].join(0.1)
        threads = [thread for thread in threads if thread.is_alive()]
        peak = max(peak, _resident_mb())

    assert len(took) == 300
    assert max(took) <= 11
    assert peak - before <= 100


def _resident_mb() -> float:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / 2**20
