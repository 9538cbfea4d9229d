import socket
import ssl
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle

import pytest

from registry.errors import (
    AddressNotAllowed,
    ConnectFailed,
    DnsFailed,
    FetcherBusy,
    FetchFailed,
    RedirectNotAllowed,
    TlsFailed,
    TooSlow,
    UrlRefused,
)
from registry.record.fetcher import Fetcher, FetchLimits
from registry.record.fetcher.client import AT_ONCE_PER_HOST, resolve_by_system
from tests.support.internet import INTERNAL, OK, OTHER_PUBLIC, PUBLIC, read_request, redirect

FOLLOW = FetchLimits(max_redirects=3)


def test_the_request_names_the_host_and_asks_for_plain_bytes(internet, fetcher):
    answer = fetcher.fetch("http://public.example/a?b", headers={"X-Mine": "1"})

    head = internet.requests[0].decode().split("\r\n")
    assert head[0] == "GET /a?b HTTP/1.1"
    ours = {"Host: public.example", "Accept-Encoding: identity", "Connection: close", "X-Mine: 1"}
    assert ours <= set(head)
    assert (answer.status, answer.body, answer.url) == (200, b"ok", "http://public.example/a?b")


def test_a_body_is_posted_with_its_length(internet, fetcher):
    fetcher.fetch("http://public.example/", method="POST", body=b"hello")

    head, _, body = internet.requests[0].partition(b"\r\n\r\n")
    assert b"Content-Length: 5" in head
    assert body == b"hello"


def test_a_caller_cannot_replace_the_host(internet, fetcher):
    fetcher.fetch("http://public.example/", headers={"Host": "other.example"})

    assert internet.requests[0].count(b"Host: ") == 1
    assert b"Host: public.example" in internet.requests[0]


@pytest.mark.parametrize(
    "headers", [{"X": "a\r\nHost: b"}, {"X\r\n": "a"}, {"X": "a\0"}], ids=["value", "name", "nul"]
)
def test_a_header_cannot_break_out(fetcher, headers):
    with pytest.raises(ValueError, match="invalid name or value"):
        fetcher.fetch("http://public.example/", headers=headers)


def test_any_status_is_an_answer(answers, fetcher):
    answers["/"] = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"

    assert fetcher.fetch("http://public.example/").status == 404


def test_proxies_of_the_environment_are_not_asked(internet, fetcher, monkeypatch):
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{internet.port}")

    fetcher.fetch("http://public.example/")

    assert internet.requests[0].startswith(b"GET / HTTP")
    assert internet.dialled == [PUBLIC]


def test_an_allowed_host_may_be_private(internet):
    allowed = {("hooks.internal", internet.port)}
    fetcher = Fetcher(allowed_hosts=allowed, resolve=lambda _host, _port: ["127.0.0.1"])

    assert fetcher.fetch(f"http://hooks.internal:{internet.port}/").body == b"ok"


# Names


def test_a_name_without_addresses_is_a_dns_failure(internet, fetcher):
    internet.names["none.example"] = []

    for host in ("none.example", "unknown.example"):
        with pytest.raises(DnsFailed):
            fetcher.fetch(f"http://{host}/")


def test_a_resolver_that_hangs_is_left_behind(internet):
    let_go = threading.Event()
    fetcher = Fetcher(resolve=lambda _host, _port: let_go.wait(30) and [], connect=internet.connect)

    with pytest.raises(TooSlow):
        fetcher.fetch("http://public.example/", limits=FetchLimits(total_s=0.2))
    let_go.set()


def test_the_system_reads_an_address_as_itself():
    assert resolve_by_system("127.0.0.1", 80) == ["127.0.0.1"]


def test_the_next_address_is_tried(internet, fetcher):
    internet.names["public.example"] = [OTHER_PUBLIC, PUBLIC]
    dial = internet.connect

    def connect(address, port, timeout_s):
        if address == OTHER_PUBLIC:
            internet.dialled.append(address)
            raise ConnectionRefusedError
        return dial(address, port, timeout_s)

    assert Fetcher(resolve=internet.resolve, connect=connect).fetch("http://public.example/").body == b"ok"
    assert internet.dialled == [OTHER_PUBLIC, PUBLIC]


def test_a_host_that_refuses_is_a_connect_failure(internet):
    def connect(*_):
        raise ConnectionRefusedError("10.0.0.5 refuses")

    with pytest.raises(ConnectFailed) as failure:
        Fetcher(resolve=internet.resolve, connect=connect).fetch("http://public.example/")
    assert "10." not in str(failure.value)


class Rebinding:
    """Names a public address and an internal one in turn."""

    def __init__(self) -> None:
        self._turns = cycle([[PUBLIC], [INTERNAL]])

    def __call__(self, _host: str, _port: int) -> list[str]:
        return next(self._turns)


def test_rebinding_reaches_nothing_internal(internet):
    fetcher = Fetcher(resolve=Rebinding(), connect=internet.connect)
    outcomes = []

    for _ in range(100):
        try:
            outcomes.append(fetcher.fetch("http://public.example/").body)
        except AddressNotAllowed:
            outcomes.append("refused")

    assert internet.strays == []
    assert outcomes == [b"ok", "refused"] * 50


def test_a_client_that_resolves_twice_is_caught_by_the_same_check(internet):
    resolve = Rebinding()

    def connect_by_name(_address, port, timeout_s):
        return internet.connect(resolve("public.example", port)[0], port, timeout_s)

    with pytest.raises(FetchFailed):
        Fetcher(resolve=resolve, connect=connect_by_name).fetch("http://public.example/")

    assert internet.strays == [INTERNAL]


# Redirects

REDIRECTS = {
    "loopback": ("http://127.0.0.1/", "address_not_allowed"),
    "metadata": ("http://169.254.169.254/latest/", "address_not_allowed"),
    "internal name": ("http://internal.example/", "address_not_allowed"),
    "address of version 6": ("//[::1]/", "address_not_allowed"),
    "file": ("file:///etc/passwd", "scheme_not_allowed"),
    "gopher": ("gopher://public.example/", "scheme_not_allowed"),
    "port": ("http://public.example:22/", "port_not_allowed"),
    "user": ("http://user@public.example/", "bad_url"),
    "endless": ("/start", "redirect_not_allowed"),
    "eleven hops": ("/hop/10", "redirect_not_allowed"),
    "two clean hops": ("/hop/1", None),
    "one clean hop": ("http://other.example/end", None),
}


@pytest.fixture
def redirects(internet, answers):
    internet.names["internal.example"] = [INTERNAL]
    answers |= {f"/hop/{left}": redirect(f"/hop/{left - 1}") for left in range(1, 11)}

    def lead_to(location: str) -> None:
        answers["/start"] = redirect(location)

    return lead_to


def test_no_redirect_is_followed_unasked(redirects, internet, fetcher):
    redirects("http://other.example/end")

    with pytest.raises(RedirectNotAllowed, match="redirect"):
        fetcher.fetch("http://public.example/start")

    assert len(internet.requests) == 1


@pytest.mark.parametrize("kind", REDIRECTS)
def test_where_asked_only_clean_ones_are(redirects, internet, fetcher, kind):
    location, code = REDIRECTS[kind]
    redirects(location)

    try:
        outcome = fetcher.fetch("http://public.example/start", limits=FOLLOW).body
    except UrlRefused as refusal:
        outcome = refusal.code

    assert outcome == (code or b"ok")
    assert internet.strays == []
    assert len(internet.requests) <= 4


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_post_is_never_led_elsewhere(answers, internet, fetcher, status):
    answers["/"] = redirect("/other", status)

    with pytest.raises(RedirectNotAllowed):
        fetcher.fetch("http://public.example/", method="POST", body=b"x", limits=FOLLOW)

    assert len(internet.requests) == 1


def test_a_name_is_checked_again_at_each_hop(redirects, internet):
    redirects("http://public.example/end")
    fetcher = Fetcher(resolve=Rebinding(), connect=internet.connect)

    with pytest.raises(AddressNotAllowed):
        fetcher.fetch("http://public.example/start", limits=FOLLOW)
    assert internet.strays == []


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=public.example",
         "-addext", "subjectAltName=DNS:public.example", "-keyout", folder / "key", "-out", folder / "cert"],
        check=True, capture_output=True,
    )  # fmt: skip
    return folder


@pytest.fixture
def secure_internet(internet, serve, certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert", certificate / "key")
    names = []
    context.sni_callback = lambda _socket, name, _context: names.append(name)

    def answer(connection, _server):
        with context.wrap_socket(connection, server_side=True) as channel:
            request = read_request(channel)
            channel.sendall(redirect("http://public.example/") if b"GET /down" in request else OK)

    serve(answer)
    internet.server_names = names
    return internet


def _trusting(internet, certificate):
    tls = ssl.create_default_context(cafile=str(certificate / "cert"))
    return Fetcher(resolve=internet.resolve, connect=internet.connect, tls=tls)


def test_tls_names_the_host_and_verifies_it(secure_internet, certificate):
    fetcher = _trusting(secure_internet, certificate)

    assert fetcher.fetch("https://public.example/").body == b"ok"
    assert secure_internet.server_names == ["public.example"]


@pytest.mark.parametrize("host", ["other.example", PUBLIC], ids=["other-name", "address"])
def test_a_certificate_for_another_name_is_refused(secure_internet, certificate, host):
    with pytest.raises(TlsFailed):
        _trusting(secure_internet, certificate).fetch(f"https://{host}/")


def test_an_unknown_certificate_is_refused(secure_internet, fetcher):
    with pytest.raises(TlsFailed):
        fetcher.fetch("https://public.example/")


def test_a_redirect_from_tls_to_none_is_refused(secure_internet, certificate):
    with pytest.raises(RedirectNotAllowed):
        _trusting(secure_internet, certificate).fetch("https://public.example/down", limits=FOLLOW)


def test_plain_http_where_tls_is_expected_fails(serve, fetcher):
    serve(lambda connection, _server: connection.sendall(OK))

    with pytest.raises(TlsFailed):
        fetcher.fetch("https://public.example/")


# Concurrency


@pytest.fixture
def gate(serve):
    """A server that counts who is inside and answers when told to."""
    inside, most, change, open_ = [0], [0], threading.Condition(), threading.Event()

    def answer(connection, _server):
        read_request(connection)
        with change:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            change.notify_all()
        open_.wait(10)
        with change:
            inside[0] -= 1
        connection.sendall(OK)

    serve(answer)

    class Gate:
        def wait_for(self, count: int) -> bool:
            with change:
                return change.wait_for(lambda: inside[0] >= count, 10)

        def open(self) -> int:
            open_.set()
            return most[0]

    yield Gate()
    open_.set()


@pytest.fixture
def pool():
    with ThreadPoolExecutor(12) as pool:
        yield pool


def test_at_most_four_fetches_reach_one_host(pool, gate, fetcher):
    answers = [pool.submit(fetcher.fetch, "http://public.example/") for _ in range(12)]
    assert gate.wait_for(AT_ONCE_PER_HOST)

    with pytest.raises(FetcherBusy):
        fetcher.fetch("http://public.example/", limits=FetchLimits(total_s=0.3))
    most = gate.open()

    assert [answer.result(10).body for answer in answers] == [b"ok"] * 12
    assert most == AT_ONCE_PER_HOST


def test_another_host_does_not_wait_for_a_busy_one(pool, gate, fetcher):
    answers = [pool.submit(fetcher.fetch, "http://public.example/") for _ in range(AT_ONCE_PER_HOST)]
    assert gate.wait_for(AT_ONCE_PER_HOST)

    answers.append(pool.submit(fetcher.fetch, "http://other.example/"))

    assert gate.wait_for(AT_ONCE_PER_HOST + 1)
    gate.open()
    assert {answer.result(10).body for answer in answers} == {b"ok"}


def test_a_failed_fetch_gives_its_place_back(internet, fetcher):
    for _ in range(AT_ONCE_PER_HOST + 1):
        with pytest.raises(DnsFailed):
            fetcher.fetch("http://unknown.example/", limits=FetchLimits(total_s=1))


def test_a_connection_that_never_comes_ends_with_the_deadline(internet):
    def connect(_address, _port, timeout_s):
        silent, other_end = socket.socketpair()
        with silent, other_end:
            silent.settimeout(timeout_s)
            silent.recv(1)
        raise AssertionError

    fetcher = Fetcher(resolve=internet.resolve, connect=connect)
    with pytest.raises((TooSlow, ConnectFailed)):
        fetcher.fetch("http://public.example/", limits=FetchLimits(total_s=0.2))
