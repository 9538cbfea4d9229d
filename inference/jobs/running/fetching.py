"""Items that rows name by their URLs: fetched a few at a time, each one once."""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import islice

import numpy as np

from inference.pipelines.errors import ItemNotFetched
from inference.rows import RowBatch
from inference.serving.fetching import fetch_item

_KEPT_BYTES = 32 * 2**20  # of what was fetched for a chunk, with the URLs
_AHEAD = 8  # more are begun while these are waited for or answered

# Of all jobs of this process: as many as the fetcher allows for one host, so that none waits for another in vain.
_threads = ThreadPoolExecutor(4, thread_name_prefix="job-fetching")

Content = bytes | ItemNotFetched


class FetchedItems:
    """What the URLs of one chunk name. What was fetched last is kept, so that a URL in several rows is fetched once."""

    def __init__(self, address: str, item: str, note_progress: Callable[[], None]) -> None:
        """`address`: the tensor with URLs; `item`: the one that takes what they name."""
        self._address, self._item = address, item
        self._note_progress = note_progress
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
        ahead = deque(islice(coming, _AHEAD))
        try:
            while ahead:
                yield self._content(ahead.popleft())
                ahead.extend(islice(coming, 1))
        finally:
            for future in self._coming.values():
                future.cancel()

    def _begin(self, url: str) -> str:
        if url not in self._kept and url not in self._coming:
            self._coming[url] = _threads.submit(fetch_item, url, self._address)
        return url

    def _content(self, url: str) -> Content:
        if url not in self._kept:
            self._begin(url)
            self._keep(url, _result(self._coming.pop(url)))
            self._note_progress()
        self._kept.move_to_end(url)
        return self._kept[url]

    def _keep(self, url: str, content: Content) -> None:
        self._kept[url] = content
        self._kept_bytes += len(url) + _size(content)
        while self._kept_bytes > _KEPT_BYTES and len(self._kept) > 1:
            oldest, content = self._kept.popitem(last=False)
            self._kept_bytes -= len(oldest) + _size(content)


def _result(future: Future[bytes]) -> Content:
    try:
        return future.result()
    except ItemNotFetched as error:
        return error


def _size(content: Content) -> int:
    return len(content) if isinstance(content, bytes) else 0
