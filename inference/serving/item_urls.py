"""Items that a request names by their URL, such as pictures: fetched before the request is read."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from django.conf import settings

from inference.engine.errors import Cancelled, DeadlineExceeded, Overloaded
from inference.engine.requests import Cancellation
from inference.pipelines.errors import ItemNotFetched
from inference.pipelines.pipeline import ItemPipeline, item_list
from inference.serving.off_loop import fetching_off_loop, on_loop
from registry.errors import FetcherBusy, FetchFailed, ResponseTooLarge, UrlRefused
from registry.record.fetcher import AT_ONCE_PER_HOST, FetchLimits, FetchTarget, default_fetcher, read_url

T = TypeVar("T")

MOST_URLS = 16  # of a request
_FETCH_S = 5.0
_OK = 200
_SETTING = "ROUNDHOUSE_ITEM_HOSTS"

Hold = Callable[
    [int], None
]  # notes that a request holds so many more bytes; raises Overloaded if there is no room


@dataclass(frozen=True, slots=True)
class RequestEnd:
    """When a request ends, whether it was answered or not: at its deadline, or when its caller hangs up."""

    at: float = math.inf  # on the monotonic clock
    cancellation: Cancellation | None = None

    def left_s(self) -> float:
        """The seconds that are left. Raises Cancelled or DeadlineExceeded if the request has ended."""
        self.check_caller()
        left = self.at - time.monotonic()
        if left <= 0:
            raise DeadlineExceeded
        return left

    def check_caller(self) -> None:
        if self.cancellation is not None and self.cancellation.is_cancelled:
            raise Cancelled

    def when_cancelled(self, withdraw: Callable[[], object]) -> None:
        """Have this called, from any thread, if the caller hangs up before the model is asked."""
        if self.cancellation is not None:
            self.cancellation.bind(withdraw)


NO_END = RequestEnd()


async def with_fetched(
    pipeline: ItemPipeline[Any], body: Mapping[str, Any], hold: Hold, end: RequestEnd
) -> Mapping[str, Any]:
    """The body of a request with its items instead of their URLs.

    Raises ItemNotFetched; Overloaded, if too many are fetched already; Cancelled or DeadlineExceeded, if the request ends.
    """
    one, several = pipeline.address, f"{pipeline.address}s"
    if not one or (one not in body and several not in body):
        return body
    rest = {name: value for name, value in body.items() if name not in {one, several}}
    given = {pipeline.one, pipeline.several} & rest.keys()
    if given:
        raise ItemNotFetched(f"Send either `{min(given)}` or `{one}`.", field=one)
    urls = item_list(body, one, several, most=min(MOST_URLS, pipeline.most_items))
    fields = _checked_fields(urls, one if one in body else several)
    hosts = {url: read_item_url(url, field).host for url, field in fields.items()}

    async def fetch(url: str) -> bytes:
        work = partial(fetch_item, url, fields[url], pipeline.most_item_bytes, end)
        content = await fetching_off_loop(work)
        hold(len(content))
        return content

    if on_loop():
        contents = await fetch_together(fetch, hosts, end)
    else:
        contents = [await fetch(url) for url in hosts]
    by_url = dict(zip(hosts, contents, strict=True))
    items = [by_url[url] for url in urls]
    return {**rest, **({pipeline.one: items[0]} if one in body else {pipeline.several: items})}


def _checked_fields(urls: Sequence[Any], field: str) -> dict[str, str]:
    """Each URL once, with the field that names it first."""
    if not settings.ITEM_HOSTS:
        raise ItemNotFetched(
            f"This server fetches no URLs. Send the item itself, or have an operator set {_SETTING}.",
            field=field,
        )
    fields: dict[str, str] = {}
    for place, url in enumerate(urls):
        where = f"{field}[{place}]" if len(urls) > 1 else field
        if not isinstance(url, str):
            raise ItemNotFetched("It must be a URL.", field=where)
        fields.setdefault(url, where)
    return fields


# Of each loop and host. Those who wait for their turn use no thread, so a slow host leaves threads to the others.
_turns: WeakValueDictionary[tuple[asyncio.AbstractEventLoop, str], asyncio.Semaphore] = WeakValueDictionary()


async def fetch_together(
    fetch: Callable[[str], Awaitable[T]], hosts: Mapping[str, str], end: RequestEnd
) -> list[T]:
    """Fetch all URLs, a few of each host at a time. Once this ends, none is left running.

    A request is bounded by its deadline and waits for all its items. A chunk of a job is not and takes them one by one,
    so its fetches (`jobs.running.fetched_items`) are of another form.
    """
    left_s, loop = end.left_s(), asyncio.get_running_loop()

    async def fetch_in_turn(url: str, host: str) -> T:
        async with _turns.setdefault((loop, host), asyncio.Semaphore(AT_ONCE_PER_HOST)):
            return await fetch(url)

    tasks = [asyncio.ensure_future(fetch_in_turn(url, host)) for url, host in hosts.items()]
    together = asyncio.gather(*tasks)
    end.when_cancelled(partial(loop.call_soon_threadsafe, together.cancel))
    try:
        async with asyncio.timeout(left_s):
            return await together
    except TimeoutError:
        raise DeadlineExceeded from None
    except asyncio.CancelledError:
        end.check_caller()
        raise
    finally:
        for task in tasks:
            if not task.cancelling():  # a second time would end its wait for a thread
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def fetch_item(url: str, field: str, most_bytes: int, end: RequestEnd = NO_END) -> bytes:
    """What is at this URL. Raises ItemNotFetched, which reveals no address, or an error that `with_fetched` names."""
    read_item_url(url, field)
    limits = FetchLimits(total_s=min(_FETCH_S, end.left_s()), max_bytes=most_bytes)
    try:
        answer = default_fetcher().fetch(url, limits=limits)
    except FetcherBusy as error:
        raise Overloaded(f"{error} Try again in a second.") from None
    except ResponseTooLarge as error:
        raise ItemNotFetched(
            f"It was not fetched ({error.code}): at most {most_bytes:,} bytes are accepted.", field=field
        ) from None
    except (UrlRefused, FetchFailed) as error:
        end.left_s()
        raise _not_fetched(error, field) from None
    if answer.status != _OK:
        raise ItemNotFetched(f"It was not fetched: the host answered {answer.status}.", field=field)
    return answer.body


def read_item_url(url: str, field: str) -> FetchTarget:
    """The URL's parts. Raises ItemNotFetched if nothing is fetched from there."""
    try:
        target = read_url(url, settings.FETCH_ALLOWED_HOSTS)
    except UrlRefused as error:
        raise _not_fetched(error, field) from None
    if not _is_allowed(target):
        raise ItemNotFetched(
            f"It was not fetched: this server does not fetch from that host. An operator can allow it in {_SETTING}.",
            field=field,
        )
    return target


def _is_allowed(target: FetchTarget) -> bool:
    """A trusted host may be a private one, whose answers are not for everyone: no pattern matches it."""
    if target.is_trusted:
        return target.host in settings.ITEM_HOSTS
    return any(fnmatchcase(target.host, pattern) for pattern in settings.ITEM_HOSTS)


def _not_fetched(error: UrlRefused | FetchFailed, field: str) -> ItemNotFetched:
    return ItemNotFetched(f"It was not fetched ({error.code}): {error}", field=field)
