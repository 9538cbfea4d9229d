"""Threads that begin together."""

import threading
from collections.abc import Callable, Iterable
from typing import Any

from django.db import connections


def in_threads(count: int, work: Callable[[int], object], *, within_s: float = 60.0) -> list[Exception]:
    """Run `work(number)` in threads that start together; give what they raised."""
    errors: list[Exception] = []
    gate = threading.Barrier(count)

    def run(number: int) -> None:
        try:
            gate.wait(within_s)
            work(number)
        except Exception as error:  # noqa: BLE001  given back to the test
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(within_s)
        assert not thread.is_alive(), f"a thread is still at work after {within_s} s; others raised {errors}"
    return errors


def at_once(calls: Iterable[Callable[[], Any]], *, within_s: float = 300.0) -> list[Any]:
    """Call them all in the same moment; return what they gave, in their order, or raise what one raised."""
    calls = list(calls)
    given: list[Any] = [None] * len(calls)

    def work(number: int) -> None:
        try:
            given[number] = calls[number]()
        finally:
            connections.close_all()

    for error in in_threads(len(calls), work, within_s=within_s):
        raise error
    return given
