"""Items that rows name by their URLs: fetched a few at a time, each one once."""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any

import numpy as np

from inference.pipelines.errors import ItemNotFetched
from inference.pipelines.pipeline import ItemPipeline
from inference.rows import RowBatch
from inference.serving.item_urls import fetch_item
from registry.record.fetcher import AT_ONCE_PER_HOST

_KEPT_BYTES = 32 * 2**20  # of what was fetched for a chunk, with the URLs
_AHEAD, _AHEAD_BYTES = 8, 80 * 2**20  # at most so many are begun while the first is waited for or answered

# Of all jobs of this process: as many as the fetcher allows for one host, so that none waits for another in vain.
_threads = ThreadPoolExecutor(AT_ONCE_PER_HOST, thread_name_prefix="job-fetching")

Content = bytes | ItemNotFetched
Patiently = Callable[[Callable[[], Content]], Content]  # calls again what found no room


class FetchedItems:
    """What the URLs of one chunk name. What was fetched last is kept, so that a URL in several rows is fetched once.

    A chunk has many URLs and no deadline, and goes on without those that give nothing. A request does not, so its fetches
    (`serving.item_urls`) are of another form.
    """

    def __init__(self, pipeline: ItemPipeline[Any], patiently: Patiently) -> None:
        self._address, self._item = pipeline.address, pipeline.one
        self._most_item_bytes = pipeline.most_item_bytes
        self._patiently = patiently
        self._coming: dict[str, Future[bytes]] = {}
        self._kept: OrderedDict[str, Content] = OrderedDict()
        self._kept_bytes = 0

    def parts(self, batch: RowBatch, most_bytes: int) -> Iterator[RowBatch]:
        """The batch with items in place of URLs, in parts of about so many bytes. Rows whose URL gives nothing are bad."""
        if not len(batch.rows):
            yield batch
            return
        held, contents = 0, list[Content]()
        for content in self._contents(batch.tensors[self._address].tolist()):
            held += _size(content)
            if contents and held > most_bytes:
                part, batch = batch.split_at(len(contents))
                yield self._filled(part, contents)
                held, contents = _size(content), []
            contents.append(content)
        yield self._filled(batch, contents)

    def _filled(self, batch: RowBatch, contents: Sequence[Content]) -> RowBatch:
        items = np.empty(len(contents), object)
        items[:] = contents
        reasons = {
            place: str(content)
            for place, content in enumerate(contents)
            if isinstance(content, ItemNotFetched)
        }
        return replace(batch, tensors={self._item: items}).without(reasons)

    def _contents(self, urls: Sequence[str]) -> Iterator[Content]:
        coming = map(self._begin, urls)
        ahead = deque(islice(coming, max(1, min(_AHEAD, _AHEAD_BYTES // self._most_item_bytes))))
        try:
            while ahead:
                yield self._content(ahead.popleft())
                ahead.extend(islice(coming, 1))
        finally:
            for future in self._coming.values():
                future.cancel()

    def _begin(self, url: str) -> str:
        if url not in self._kept and url not in self._coming:
            self._coming[url] = _threads.submit(fetch_item, url, self._address, self._most_item_bytes)
        return url

    def _content(self, url: str) -> Content:
        if url not in self._kept:
            self._keep(url, self._patiently(partial(self._fetch, url)))
        self._kept.move_to_end(url)
        return self._kept[url]

    def _fetch(self, url: str) -> Content:
        self._begin(url)
        try:
            return self._coming.pop(url).result()
        except ItemNotFetched as error:
            return error

    def _keep(self, url: str, content: Content) -> None:
        self._kept[url] = content
        self._kept_bytes += len(url) + _size(content)
        while self._kept_bytes > _KEPT_BYTES and len(self._kept) > 1:
            oldest, content = self._kept.popitem(last=False)
            self._kept_bytes -= len(oldest) + _size(content)


def _size(content: Content) -> int:
    return len(content) if isinstance(content, bytes) else 0
