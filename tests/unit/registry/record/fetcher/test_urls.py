"""The refusals that need no answer: forms of addresses, syntax, schemes. None of them may dial anything."""

from contextlib import suppress

import pytest

from registry.errors import BadUrl, FetchFailed, UrlRefused
from registry.record.fetcher import Fetcher, client, urls
from registry.record.fetcher.client import connect_directly
from registry.record.fetcher.urls import is_public, read_url
from tests.support.internet import PUBLIC, PUBLIC_V6, noting_connects
from tests.support.tables import cases
from tests.support.urls_of_strangers import ADDRESS, ADDRESS_FORMS, INSIDE, NAMES, REFUSED

PASSING = {
    "http://public.example/": "/",
    "http://public.example": "/",
    "http://PUBLIC.example/": "/",
    "http://public.example./": "/",
    "http://public.example:80/a?b=c#d": "/a?b=c",
    "http://public.example:443/": "/",
    "http://other.example/%C3%A9/é": "/%C3%A9/%C3%A9",
    "http://bücher.example/": "/",
    f"http://{PUBLIC}/": "/",
    f"http://[{PUBLIC_V6}]/": "/",
}


@pytest.fixture
def names(internet):
    internet.names |= NAMES | {"xn--bcher-kva.example": [PUBLIC]}
    return internet


@pytest.fixture
def connects():
    with noting_connects() as addresses:
        yield addresses


@pytest.mark.parametrize("url", REFUSED)
def test_refused_before_anything_is_dialled_and_without_a_word_of_where(names, connects, url):
    fetcher = Fetcher(resolve=names.resolve, connect=connect_directly)

    with pytest.raises(UrlRefused) as refusal:
        fetcher.fetch(url)

    assert refusal.value.code == REFUSED[url]
    assert connects == []
    text = str(refusal.value).replace("ports 80 and 443", "").replace("https://host/path", "")
    assert not any(part in text for part in INSIDE)


def test_what_is_dialled_is_noted(connects, internet):
    """The control."""
    connect_directly("127.0.0.1", internet.port, 10).close()

    assert connects == [("127.0.0.1", internet.port)]


@pytest.mark.parametrize("url", PASSING)
def test_ordinary_addresses_pass(names, fetcher, url):
    assert fetcher.fetch(url).body == b"ok"

    assert names.strays == []
    assert names.requests[0].split(b" ")[1].decode() == PASSING[url]


def test_without_the_address_check_internal_hosts_are_dialled(names, fetcher, monkeypatch):
    for module in (client, urls):
        monkeypatch.setattr(module, "is_public", lambda _address: True)

    for url in (url for url, code in ADDRESS_FORMS.items() if code == ADDRESS):
        with suppress(FetchFailed, UrlRefused):
            fetcher.fetch(url)

    assert "169.254.169.254" in names.strays
    assert len(names.strays) > 15


@cases(
    "url, host, port",
    default_port=("http://hooks.internal/", "hooks.internal", 80),
    tls_port=("https://hooks.internal/", "hooks.internal", 443),
    named_port=("http://hooks.internal:9000/", "hooks.internal", 9000),
    address=("http://10.0.0.7:8443/", "10.0.0.7", 8443),
)
def test_an_allowed_host_is_trusted(url, host, port):
    target = read_url(url, {("hooks.internal", None), ("hooks.internal", 9000), ("10.0.0.7", 8443)})

    assert (target.host, target.port, target.is_trusted) == (host, port, True)


@pytest.mark.parametrize(
    "url",
    ["http://hooks.internal:9001/", "http://x.hooks.internal/", "http://10.0.0.8:8443/"],
    ids=["other-port", "below-it", "other-address"],
)
def test_what_stands_beside_an_allowed_host_is_not(url):
    with pytest.raises(UrlRefused):
        read_url(url, {("hooks.internal", None), ("10.0.0.7", 8443)})


def test_the_host_header_names_a_port_only_where_it_is_not_the_usual():
    allowed = {("hooks.internal", 9000)}
    assert read_url("http://hooks.internal:9000/", allowed).authority == "hooks.internal:9000"
    assert read_url("https://public.example:443/").authority == "public.example"
    assert read_url("https://public.example:80/").authority == "public.example:80"
    assert read_url(f"http://[{PUBLIC_V6}]/").authority == f"[{PUBLIC_V6}]"


def test_half_a_surrogate_pair_is_refused():
    with pytest.raises(BadUrl):
        read_url("http://public.example/\ud800")


PUBLIC_ADDRESSES = [
    "1.1.1.1", "8.8.8.8", "93.184.216.34", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0",
    "126.255.255.255", "128.0.0.0", "169.253.255.255", "172.15.255.255", "172.32.0.0", "192.167.255.255",
    "192.169.0.0", "198.17.255.255", "198.20.0.0", "223.255.255.255", "2606:4700:4700::1111",
    "2001:4860:4860::8888", "2a00:1450:4001:830::200e",
]  # fmt: skip
NOT_PUBLIC = [
    "0.0.0.0", "0.255.255.255", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.255", "127.0.0.1",
    "127.255.255.254", "169.254.0.1", "169.254.169.254", "169.254.170.2", "172.16.0.1", "172.31.255.255",
    "192.0.0.1", "192.0.0.170", "192.0.2.1", "192.88.99.1", "192.168.0.1", "198.18.0.1", "198.19.255.255",
    "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::ffff:0:10.0.0.1", "64:ff9b::7f00:1",
    "64:ff9b::808:808", "64:ff9b:1::1", "100::1", "2001::1", "2001:0:4136:e378::1", "2001:db8::1",
    "2002:7f00:1::1", "2002:808:808::1", "3fff::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1",
    "fec0::1", "ff02::1", "ff0e::1",
]  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC_ADDRESSES)
def test_public_addresses(address):
    assert is_public(address)


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_other_addresses(address):
    assert not is_public(address)


@pytest.mark.parametrize("text", ["", "host", "1.1.1", "1.1.1.1 ", "fe80::1%eth0", "0x7f.1", "1.1.1.1/32"])
def test_what_is_no_address_is_not_public(text):
    assert not is_public(text)


def test_is_global_alone_lets_some_of_them_through(monkeypatch):
    monkeypatch.setattr(urls, "_NEVER_PUBLIC", ())

    assert [text for text in NOT_PUBLIC if is_public(text)]
