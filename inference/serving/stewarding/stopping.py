"""What a worker finishes before it ends: others register it, the process calls it once, at SIGTERM."""

import threading
import time
from collections.abc import Callable

import structlog

log = structlog.get_logger("roundhouse.worker")

# Below the supervisor's own patience, which ends with SIGKILL.
FINISH_WITHIN_S = 20.0

# Gets the seconds that are left. It takes no new work, finishes or hands back what it holds, and returns.
StopHook = Callable[[float], None]

_hooks: dict[str, StopHook] = {}


def register_stop(name: str, hook: StopHook) -> None:
    """Call this when the worker is told to end; registering a name again replaces the hook."""
    _hooks[name] = hook


class Farewell:
    """Calls every hook at once, each in a thread of its own: none may use up the time of the others."""

    def __init__(self, within_s: float = FINISH_WITHIN_S) -> None:
        self._ends_at = time.monotonic() + within_s
        self._threads = {
            name: threading.Thread(target=self._call, args=(name, hook), name=f"stop-{name}", daemon=True)
            for name, hook in _hooks.items()
        }
        for thread in self._threads.values():
            thread.start()

    @property
    def left_s(self) -> float:
        return max(0.0, self._ends_at - time.monotonic())

    def wait(self) -> bool:
        """Whether all have finished in time."""
        for thread in self._threads.values():
            thread.join(self.left_s)
        late = [name for name, thread in self._threads.items() if thread.is_alive()]
        if late:
            log.warning("the worker ends although something has not finished", unfinished=late)
        return not late

    def _call(self, name: str, hook: StopHook) -> None:
        try:
            hook(self.left_s)
        except Exception as error:
            log.error("a stop hook failed", hook=name, exc_info=error)
