"""Items by their URL: nothing inside the network is dialled, whatever a request names."""

import sys

import pytest

from inference.engine.loop import complete
from inference.pipelines.errors import InvalidItem, ItemNotFetched
from inference.pipelines.image_classification import ImageClassification
from inference.pipelines.text_classification import TextClassification
from inference.serving import fetching
from inference.serving.fetching import fetch_item, with_fetched
from registry.record.fetcher import Fetcher
from registry.record.fetcher.client import connect_directly
from tests.support.internet import Internet, redirect
from tests.support.urls_of_strangers import INSIDE, NAMES, REFUSED

_dialled: list[object] = []
_counting = False


def _count_connects(event, arguments):
    if _counting and event == "socket.connect":
        _dialled.append(arguments[1])


@pytest.fixture(scope="module")
def audit_hook():
    sys.addaudithook(_count_connects)  # stays until the process ends; it only counts while asked to


@pytest.fixture
def dialled(audit_hook):
    """What this process really dials, as the interpreter sees it."""
    global _counting
    _dialled.clear()
    _counting = True
    yield _dialled
    _counting = False


@pytest.fixture
def internet():
    internet = Internet(lambda request: ANSWERS[request.split(b" ")[1].decode()])
    internet.names |= NAMES
    yield internet
    internet.close()


def _ok(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


ANSWERS = {"/a": _ok(b"first"), "/b": _ok(b"second"), "/hop": redirect("http://internal.example/a")}


def use(fetcher, settings, monkeypatch):
    settings.ITEM_HOSTS = ["*"]
    monkeypatch.setattr(fetching, "default_fetcher", lambda: fetcher)


@pytest.mark.parametrize("url", REFUSED)
def test_no_private_address_is_dialled_and_the_refusal_names_none(
    internet, dialled, settings, monkeypatch, url
):
    use(Fetcher(resolve=internet.resolve, connect=connect_directly), settings, monkeypatch)

    with pytest.raises(ItemNotFetched) as refused:
        fetch_item(url, "image_url")

    assert refused.value.field == "image_url"
    assert REFUSED[url] in str(refused.value)
    assert dialled == []
    text = str(refused.value).replace("ports 80 and 443", "").replace("https://host/path", "")
    assert not any(part in text for part in INSIDE)


def test_a_hop_into_the_network_is_not_followed(internet, settings, monkeypatch):
    use(Fetcher(resolve=internet.resolve, connect=internet.connect), settings, monkeypatch)

    with pytest.raises(ItemNotFetched, match="redirect"):
        fetch_item("http://public.example/hop", "image_url")

    assert internet.strays == []


def test_without_the_check_of_addresses_the_network_is_dialled(internet, settings, monkeypatch):
    """The control."""
    use(Fetcher(resolve=internet.resolve, connect=internet.connect), settings, monkeypatch)
    monkeypatch.setattr("registry.record.fetcher.client.is_public", lambda address: True)

    with pytest.raises(ItemNotFetched):
        fetch_item("http://internal.example/a", "image_url")

    assert internet.strays


def fetched(body, hold=lambda nbytes: None, kind=ImageClassification):
    return complete(with_fetched(kind.__new__(kind), body, hold))


@pytest.fixture
def fetches(internet, settings, monkeypatch):
    use(Fetcher(resolve=internet.resolve, connect=internet.connect), settings, monkeypatch)
    return internet


def test_urls_become_items_in_their_order_each_fetched_once(fetches):
    held = []
    urls = [f"http://public.example/{name}" for name in "abab"]

    body = fetched({"image_urls": urls, "top_k": 2}, held.append)

    assert body == {"images": [b"first", b"second", b"first", b"second"], "top_k": 2}
    assert len(fetches.requests) == 2
    assert sorted(held) == [5, 6]


def test_one_url_is_one_item(fetches):
    assert fetched({"image_url": "http://public.example/a"}) == {"image": b"first"}


def test_a_task_without_addresses_is_left_alone(fetches):
    body = {"image_url": "http://public.example/a"}

    assert fetched(body, kind=TextClassification) is body
    assert fetches.requests == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"image_url": 5}, "image_url"),
        ({"image_urls": ["http://public.example/a", None]}, "image_urls[1]"),
        ({"image_urls": ["http://public.example/a", "ftp://public.example/a"]}, "image_urls[1]"),
        ({"image_urls": []}, "image_urls"),
        ({"image_urls": "http://public.example/a"}, "image_urls"),
        ({"image_url": "http://public.example/a", "image_urls": []}, "image_url"),
        ({"image_url": "http://public.example/a", "image": "x"}, "image_url"),
    ],
)
def test_what_is_wrong_is_named_by_its_field(fetches, body, field):
    with pytest.raises(InvalidItem) as refused:
        fetched(body)

    assert refused.value.field == field
