"""Threads that begin together."""

import threading
from collections.abc import Callable


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
        assert not thread.is_alive(), f"a thread is still at work after {within_s} s"
    return errors
