"""Event loops for tests."""

import asyncio
import selectors


class _Hurried(selectors.DefaultSelector):
    """Never waits: what it would have waited for is told to its owner."""

    waited_s = 0.0

    def select(self, timeout=None):
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "nothing will ever happen"
            self.waited_s += max(0.0, timeout)
            assert self.waited_s < 3_600, "it waits for what does not happen"
        return ready


class HurriedLoop(asyncio.SelectorEventLoop):
    """Its clock jumps to the next timer when there is nothing to do: minutes pass in no time. For loops without threads."""

    def __init__(self):
        self._hurried = _Hurried()
        super().__init__(self._hurried)

    def time(self):
        return self._hurried.waited_s


def run_hurried(coroutine):
    with asyncio.Runner(loop_factory=HurriedLoop) as runner:
        return runner.run(coroutine)
