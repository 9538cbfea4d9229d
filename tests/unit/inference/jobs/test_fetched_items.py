"""What URLs of a chunk name, without the network."""

import threading
from contextlib import suppress

import numpy as np
import pytest

from inference.engine.errors import Overloaded
from inference.jobs.kinds import ClaimLost
from inference.jobs.running import fetched_items
from inference.jobs.running.fetched_items import FetchedItems
from inference.pipelines.errors import InvalidItem, ItemNotFetched
from inference.pipelines.image_classification import ImageClassification
from inference.rows import RowBatch, RowError
from registry.record.fetcher import AT_ONCE_PER_HOST

FIRST_BAD = (RowError(1, 1, "no text"),)


def a_batch(urls, bad=()):
    numbers = range(2, 2 + len(urls))
    return RowBatch({"image_url": np.array(urls, object)} if urls else {}, numbers, numbers, {}, bad)


@pytest.fixture
def fetched(monkeypatch):
    """The URLs that were fetched. Each names itself in capitals; one with a number, as many bytes; `no`, nothing."""
    seen = []

    def fetch_item(url, field, most_bytes):
        seen.append(url)
        if url == "no":
            raise ItemNotFetched("It is not there.", field=field)
        return b"x" * int(url) if url.isdigit() else url.upper().encode()

    monkeypatch.setattr(fetched_items, "fetch_item", fetch_item)
    return seen


def at_once(work):
    return work()


def items_of_a_chunk(patiently=at_once, most_item_bytes=2**20):
    pipeline = ImageClassification.__new__(ImageClassification)
    pipeline.most_item_bytes = most_item_bytes
    return FetchedItems(pipeline, patiently)


def parts(urls, most_bytes=100, items=None, bad=()):
    items = items or items_of_a_chunk()
    return list(items.parts(a_batch(urls, bad), most_bytes))


def test_items_stand_in_place_of_their_urls(fetched):
    (part,) = parts(["a", "no", "b", "a"], bad=FIRST_BAD)

    assert part.tensors["image"].tolist() == [b"A", b"B", b"A"]
    assert list(part.rows) == [2, 4, 5]
    assert part.bad == (*FIRST_BAD, RowError(3, 3, "It is not there."))
    assert sorted(fetched) == ["a", "b", "no"]


def test_parts_are_cut_by_what_was_fetched(fetched):
    cut = parts(["40", "41", "42", "200", "1", "no"])

    assert [list(part.rows) for part in cut] == [[2, 3], [4], [5], [6]]
    assert [len(part.bad) for part in cut] == [0, 0, 0, 1]


@pytest.mark.parametrize(("urls", "bad"), [([], FIRST_BAD), (["no", "no"], ())])
def test_without_any_item(fetched, urls, bad):
    (part,) = parts(urls, bad=bad)

    assert list(part.rows) == []
    assert len(part.bad) == len(bad) + len(urls)


def test_each_url_of_a_chunk_is_fetched_once_whatever_became_of_it(fetched):
    items = items_of_a_chunk()

    for urls in (["a", "no"], ["no", "a", "b"]):
        parts(urls, items=items)

    assert sorted(fetched) == ["a", "b", "no"]


def test_a_chunk_that_was_lost_fetches_no_more(monkeypatch):
    started, may_end = [], threading.Event()

    def fetch_item(url, field, most_bytes):
        started.append(url)
        may_end.wait()
        return b""

    def lose(work):
        raise ClaimLost

    monkeypatch.setattr(fetched_items, "fetch_item", fetch_item)

    with pytest.raises(ClaimLost):
        parts([str(number) for number in range(30)], items=items_of_a_chunk(lose))
    may_end.set()
    fetched_items._threads.submit(int).result()  # comes after whatever was begun

    assert len(started) <= AT_ONCE_PER_HOST


def test_what_finds_no_room_is_fetched_again(monkeypatch):
    seen = []

    def fetch_item(url, field, most_bytes):
        seen.append(url)
        if seen.count(url) < 3:
            raise Overloaded
        return url.encode()

    def patiently(work):
        while True:
            with suppress(Overloaded):
                return work()

    monkeypatch.setattr(fetched_items, "fetch_item", fetch_item)

    (part,) = parts(["a", "b"], items=items_of_a_chunk(patiently))

    assert (part.tensors["image"].tolist(), part.bad) == ([b"a", b"b"], ())
    assert sorted(seen) == ["a"] * 3 + ["b"] * 3


@pytest.mark.parametrize(("most_item_bytes", "ahead"), [(2**20, 8), (20 * 2**20, 4), (64 * 2**20, 1)])
def test_few_are_begun_ahead_if_they_may_be_large(fetched, monkeypatch, most_item_bytes, ahead):
    begun = []
    items = items_of_a_chunk(most_item_bytes=most_item_bytes)
    begin = items._begin

    def noted(url):
        begun.append(url)
        return begin(url)

    monkeypatch.setattr(items, "_begin", noted)

    def lose(work):
        raise ClaimLost

    items._patiently = lose
    with pytest.raises(ClaimLost):
        parts([str(number) for number in range(30)], items=items)

    assert len(begun) == ahead


@pytest.mark.parametrize(
    ("field", "place"), [("images[3]", 3), ("image", None), ("", None), ("a[1].b", None)]
)
def test_an_error_says_which_item_it_is_about(field, place):
    assert InvalidItem("It is damaged.", field=field).place == place
