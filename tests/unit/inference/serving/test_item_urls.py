"""Items by their URL: nothing inside the network is dialled, whatever a request names."""

import asyncio
import threading
import time
from types import SimpleNamespace

import pytest

from inference.engine.errors import Cancelled, DeadlineExceeded, Overloaded
from inference.engine.loop import complete
from inference.engine.requests import Cancellation
from inference.pipelines.errors import InvalidItem, ItemNotFetched, TooManyItems
from inference.pipelines.image_classification import ImageClassification
from inference.pipelines.text_classification import TextClassification
from inference.serving import item_urls
from inference.serving.item_urls import MOST_URLS, NO_END, RequestEnd, fetch_item, with_fetched
from registry.errors import BadResponse, FetcherBusy, ResponseTooLarge, TooSlow
from registry.record.fetcher import AT_ONCE_PER_HOST, Fetched, Fetcher
from registry.record.fetcher.client import connect_directly
from tests.support.internet import PUBLIC, Internet, noting_connects, redirect
from tests.support.urls_of_strangers import INSIDE, NAMES, REFUSED

MIB = 2**20


@pytest.fixture
def dialled():
    with noting_connects() as addresses:
        yield addresses


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
    monkeypatch.setattr(item_urls, "default_fetcher", lambda: fetcher)


@pytest.mark.parametrize("url", REFUSED)
def test_no_private_address_is_dialled_and_the_refusal_names_none(
    internet, dialled, settings, monkeypatch, url
):
    use(Fetcher(resolve=internet.resolve, connect=connect_directly), settings, monkeypatch)

    with pytest.raises(ItemNotFetched) as refused:
        fetch_item(url, "image_url", MIB)

    assert refused.value.field == "image_url"
    assert REFUSED[url] in str(refused.value)
    assert dialled == []
    text = str(refused.value).replace("ports 80 and 443", "").replace("https://host/path", "")
    assert not any(part in text for part in INSIDE)


def test_a_hop_into_the_network_is_not_followed(internet, settings, monkeypatch):
    use(Fetcher(resolve=internet.resolve, connect=internet.connect), settings, monkeypatch)

    with pytest.raises(ItemNotFetched, match="redirect"):
        fetch_item("http://public.example/hop", "image_url", MIB)

    assert internet.strays == []


def test_without_the_check_of_addresses_the_network_is_dialled(internet, settings, monkeypatch):
    """The control."""
    use(Fetcher(resolve=internet.resolve, connect=internet.connect), settings, monkeypatch)
    monkeypatch.setattr("registry.record.fetcher.client.is_public", lambda address: True)

    with pytest.raises(ItemNotFetched):
        fetch_item("http://internal.example/a", "image_url", MIB)

    assert internet.strays


HOOKS = "http://hooks.corp.example:8080/a"


@pytest.mark.parametrize("hosts", [["*"], ["*.corp.example"], ["*", "*.corp.example", "corp.example"]])
def test_no_pattern_opens_a_host_that_is_fetched_only_because_it_is_trusted(
    internet, settings, monkeypatch, hosts
):
    trust_hooks(internet, settings, monkeypatch)
    settings.ITEM_HOSTS = hosts

    with pytest.raises(ItemNotFetched, match="does not fetch from that host"):
        fetch_item(HOOKS, "image_url", MIB)

    assert internet.dialled == []


def test_a_trusted_host_that_is_named_in_full_is_fetched(internet, settings, monkeypatch):
    trust_hooks(internet, settings, monkeypatch)
    settings.ITEM_HOSTS = ["*", "hooks.corp.example"]

    assert fetch_item(HOOKS, "image_url", MIB) == b"first"


def trust_hooks(internet, settings, monkeypatch):
    internet.names["hooks.corp.example"] = [PUBLIC]
    settings.FETCH_ALLOWED_HOSTS = frozenset({("hooks.corp.example", 8080)})
    fetcher = Fetcher(
        allowed_hosts=settings.FETCH_ALLOWED_HOSTS, resolve=internet.resolve, connect=internet.connect
    )
    use(fetcher, settings, monkeypatch)


def fetched(body, hold=lambda nbytes: None, kind=ImageClassification, end=NO_END):
    return complete(with_fetched(kind.__new__(kind), body, hold, end))


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


class SlowHosts:
    """Stands for the fetcher. `bad` fails once `full` fetches have begun; the others last until `may_end` is set."""

    def __init__(self):
        self.full, self.may_end, self.bad_has_failed = 8, threading.Event(), threading.Event()
        self.begun, self.ended, self.limits, self._change = [], [], [], threading.Condition()

    def fetch(self, url, *, limits):
        with self._change:
            self.begun.append(url)
            self.limits.append(limits)
            self._change.notify_all()
        try:
            return self._answer(url)
        finally:
            self.ended.append(url)

    def _answer(self, url):
        if url.endswith("/bad"):
            self.wait_until_begun(self.full)
            self.bad_has_failed.set()
            raise BadResponse
        if "//slow" in url:
            assert self.may_end.wait(20)
        return Fetched(url, 200, {}, b"content")

    def wait_until_begun(self, count):
        with self._change:
            assert self._change.wait_for(lambda: len(self.begun) >= count, 20)


@pytest.fixture
def hosts(settings, monkeypatch):
    hosts = SlowHosts()
    use(hosts, settings, monkeypatch)
    yield hosts
    hosts.may_end.set()


SLOW = [f"http://slow{number % 3}.example/{number}" for number in range(12)]


def on_loop(urls, end=NO_END):
    pipeline = ImageClassification.__new__(ImageClassification)
    body = {"image_urls": urls}
    return asyncio.ensure_future(with_fetched(pipeline, body, lambda nbytes: None, end))


async def turns():
    for _ in range(200):
        await asyncio.sleep(0)


class TestNoneOutlivesItsRequest:
    """Eight fetches have begun, one in each thread, when it ends. The others are waiting for a thread."""

    def end(self, hosts, how, end=NO_END, urls=SLOW):
        """The request's error. It must not come before all that had begun is over, and nothing may begin after it."""

        async def ask():
            asked = on_loop(urls, end)
            await asyncio.to_thread(hosts.wait_until_begun, hosts.full)
            await how(asked)
            await turns()
            came_early = asked.done()
            hosts.may_end.set()
            error = (await asyncio.gather(asked, return_exceptions=True))[0]
            await turns()
            return error, came_early, list(hosts.begun), list(hosts.ended)

        error, came_early, begun, ended = asyncio.run(ask())
        assert not came_early
        assert len(begun) == hosts.full
        assert sorted(begun) == sorted(ended)
        return error

    def test_after_a_bad_url(self, hosts):
        async def wait_for_failure(asked):
            await asyncio.to_thread(hosts.bad_has_failed.wait, 20)

        error = self.end(hosts, wait_for_failure, urls=["http://other.example/bad", *SLOW[:7]])

        assert isinstance(error, ItemNotFetched)
        assert error.field == "image_urls[0]"

    def test_when_the_caller_hangs_up(self, hosts):
        cancellation = Cancellation()

        async def hang_up(asked):
            await asyncio.to_thread(cancellation.cancel)

        error = self.end(hosts, hang_up, RequestEnd(cancellation=cancellation))

        assert isinstance(error, Cancelled)

    def test_when_the_task_is_cancelled(self, hosts):
        async def cancel(asked):
            asked.cancel()

        assert isinstance(self.end(hosts, cancel), asyncio.CancelledError)


def test_a_caller_who_has_hung_up_fetches_nothing(hosts):
    cancellation = Cancellation()
    cancellation.cancel()

    with pytest.raises(Cancelled):
        fetched({"image_url": SLOW[0]}, end=RequestEnd(cancellation=cancellation))

    assert hosts.begun == []


def test_a_bad_url_is_found_before_any_is_fetched(hosts):
    with pytest.raises(ItemNotFetched):
        fetched({"image_urls": ["http://quick.example/a", "ftp://quick.example/b"]})

    assert hosts.begun == []


def test_a_slow_host_leaves_threads_to_the_others(hosts):
    one_host = [f"http://slow.example/{number}" for number in range(MOST_URLS)]

    async def ask():
        asked = on_loop(one_host)
        await asyncio.to_thread(hosts.wait_until_begun, AT_ONCE_PER_HOST)
        quick = await on_loop(["http://quick.example/a"])
        begun = len(hosts.begun)
        hosts.may_end.set()
        return quick, begun, await asked

    quick, begun, slow = asyncio.run(ask())

    assert quick == {"images": [b"content"]}
    assert begun == AT_ONCE_PER_HOST + 1
    assert len(slow["images"]) == MOST_URLS


def test_a_request_waits_for_its_turn_until_its_deadline(hosts):
    async def ask():
        others = on_loop([f"http://slow.example/{number}" for number in range(AT_ONCE_PER_HOST)])
        await asyncio.to_thread(hosts.wait_until_begun, AT_ONCE_PER_HOST)
        with pytest.raises(DeadlineExceeded):
            await on_loop(["http://slow.example/last"], RequestEnd(time.monotonic() + 0.05))
        hosts.may_end.set()
        await others

    asyncio.run(ask())

    assert "http://slow.example/last" not in hosts.begun


class TestDeadline:
    @pytest.fixture
    def clock(self, hosts, monkeypatch):
        """Each fetch takes as long as it may, at most five seconds."""
        clock = SimpleNamespace(now=100.0, error=None)
        monkeypatch.setattr(item_urls, "time", SimpleNamespace(monotonic=lambda: clock.now))

        def answer(url):
            clock.now += min(5.0, hosts.limits[-1].total_s)
            if clock.error:
                raise clock.error
            return Fetched(url, 200, {}, b"content")

        monkeypatch.setattr(hosts, "_answer", answer)
        return clock

    def test_in_a_thread_the_fetches_together_end_with_the_request(self, clock, hosts):
        urls = [f"http://quick.example/{number}" for number in range(MOST_URLS)]

        with pytest.raises(DeadlineExceeded):
            fetched({"image_urls": urls}, end=RequestEnd(clock.now + 12))

        assert [limits.total_s for limits in hosts.limits] == [5.0, 5.0, 2.0]

    def test_a_host_that_is_too_slow_for_the_deadline_is_not_the_urls_fault(self, clock):
        clock.error = TooSlow

        with pytest.raises(DeadlineExceeded):
            fetched({"image_url": SLOW[0]}, end=RequestEnd(clock.now + 3))
        with pytest.raises(ItemNotFetched):
            fetched({"image_url": SLOW[0]}, end=RequestEnd(clock.now + 30))


def test_a_busy_fetcher_is_not_the_urls_fault(hosts, monkeypatch):
    def fetch(url, *, limits):
        raise FetcherBusy

    monkeypatch.setattr(hosts, "fetch", fetch)

    with pytest.raises(Overloaded) as refused:
        fetched({"image_url": SLOW[0]})

    assert refused.value.retryable


class TestLimitsOfAVersion:
    @pytest.fixture
    def version(self):
        version = ImageClassification.__new__(ImageClassification)
        version.most_items, version.most_item_bytes = 2, 64 * MIB
        return version

    def test_as_many_bytes_are_fetched_as_it_accepts(self, hosts, version):
        url = "http://quick.example/a"

        complete(with_fetched(version, {"image_url": url}, lambda nbytes: None, NO_END))

        assert hosts.limits[0].max_bytes == 64 * MIB

    def test_what_has_more_is_named_with_the_limit(self, hosts, monkeypatch):
        def fetch(url, *, limits):
            raise ResponseTooLarge

        monkeypatch.setattr(hosts, "fetch", fetch)

        with pytest.raises(ItemNotFetched, match=r"\(too_large\): at most 2,097,152 bytes"):
            fetch_item("http://quick.example/a", "image_url", 2 * MIB)

    def test_too_many_items_are_refused_before_any_is_fetched(self, hosts, version):
        urls = [f"http://quick.example/{number}" for number in range(3)]

        with pytest.raises(TooManyItems):
            complete(with_fetched(version, {"image_urls": urls}, lambda nbytes: None, NO_END))

        assert hosts.begun == []
