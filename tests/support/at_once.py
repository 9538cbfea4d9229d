"""Several callers in the same moment."""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.db import connections


def at_once(calls: Iterable[Callable[[], Any]]) -> list[Any]:
    """Call them all from as many threads; return what they gave, in their order, or raise what one raised."""
    calls = list(calls)
    together = threading.Barrier(len(calls))

    def run(call: Callable[[], Any]) -> Any:
        try:
            together.wait(60)
            return call()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(calls)) as pool:
        return [outcome.result() for outcome in [pool.submit(run, call) for call in calls]]
