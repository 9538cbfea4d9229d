"""Items that a request names by their URL, such as pictures: fetched before the request is read."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

from django.conf import settings

from inference.pipelines.errors import ItemNotFetched
from inference.pipelines.pipeline import ItemPipeline, item_list
from inference.serving.off_loop import fetching_off_loop, on_loop
from registry.errors import FetchFailed, UrlRefused
from registry.record.fetcher import FetchLimits, default_fetcher
from registry.record.fetcher.urls import read_url

MOST_URLS = 16  # of a request
_LIMITS = FetchLimits(total_s=5.0)
_OK = 200
_SETTING = "ROUNDHOUSE_ITEM_HOSTS"

Hold = Callable[
    [int], None
]  # notes that a request holds so many more bytes; raises Overloaded if there is no room


async def with_fetched(pipeline: ItemPipeline[Any], body: Mapping[str, Any], hold: Hold) -> Mapping[str, Any]:
    """The body of a request with its items instead of their URLs. Raises ItemNotFetched."""
    one, several = pipeline.address, f"{pipeline.address}s"
    if not one or (one not in body and several not in body):
        return body
    items = await _fetched(
        item_list(body, one, several, most=MOST_URLS), one if one in body else several, hold
    )
    rest = {name: value for name, value in body.items() if name not in {one, several}}
    given = {pipeline.one, pipeline.several} & rest.keys()
    if given:
        raise ItemNotFetched(f"Send either `{min(given)}` or `{one}`.", field=one)
    return {**rest, **({pipeline.one: items[0]} if one in body else {pipeline.several: items})}


async def _fetched(urls: Sequence[Any], field: str, hold: Hold) -> list[bytes]:
    """The items in order; each URL is fetched once."""
    places = {url: place for place, url in reversed(list(enumerate(urls))) if isinstance(url, str)}
    if not settings.ITEM_HOSTS:
        raise ItemNotFetched(
            f"This server fetches no URLs. Send the item itself, or have an operator set {_SETTING}.",
            field=field,
        )

    async def fetch(url: str) -> bytes:
        where = field if len(urls) == 1 else f"{field}[{places[url]}]"
        content = await fetching_off_loop(partial(fetch_item, url, where))
        hold(len(content))
        return content

    for place, url in enumerate(urls):
        if not isinstance(url, str):
            raise ItemNotFetched("It must be a URL.", field=f"{field}[{place}]" if len(urls) > 1 else field)
    if on_loop():
        contents = await asyncio.gather(*map(fetch, places))
    else:
        contents = [await fetch(url) for url in places]
    by_url = dict(zip(places, contents, strict=True))
    return [by_url[url] for url in urls]


def fetch_item(url: str, field: str) -> bytes:
    """What is at this URL. Raises ItemNotFetched, which reveals no address."""
    try:
        _check_host(read_url(url, settings.FETCH_ALLOWED_HOSTS).host, field)
        answer = default_fetcher().fetch(url, limits=_LIMITS)
    except (UrlRefused, FetchFailed) as error:
        raise ItemNotFetched(f"It was not fetched ({error.code}): {error}", field=field) from None
    if answer.status != _OK:
        raise ItemNotFetched(f"It was not fetched: the host answered {answer.status}.", field=field)
    return answer.body


def _check_host(host: str, field: str) -> None:
    if not any(fnmatchcase(host, pattern) for pattern in settings.ITEM_HOSTS):
        raise ItemNotFetched(
            f"It was not fetched: this server does not fetch from that host. An operator can allow it in {_SETTING}.",
            field=field,
        )
