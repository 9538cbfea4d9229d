"""The web server's own process: granian, in which a web process that dies soon after its start ends no other.

granian takes a second death within 5.5 s of a start for a loop that will not end, and ends all its processes. Here
somebody's request may be the cause, and the others can answer: the one that died is started again after a pause that grows.
"""

import time
from typing import Any

from granian import cli
from granian.server.mp import MPServer

_SOON_S = 5.5
_PAUSES_S = (0.0, 0.25, 0.5, 1.0, 2.0, 3.0)


class WebServer(MPServer):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._started: dict[int, tuple[float, int]] = {}  # when, and how often in a row it died soon

    def _respawn_workers(self, workers: list[int], *args: Any, **options: Any) -> None:
        time.sleep(max(map(self._pause_s, workers)))
        super()._respawn_workers(workers, *args, **options)
        self.respawned_wrks.clear()  # what granian looks at before it ends them all

    def _pause_s(self, worker: int) -> float:
        now = time.monotonic()
        started_at, deaths = self._started.get(worker, (-_SOON_S, 0))
        deaths = deaths + 1 if now - started_at < _SOON_S else 0
        self._started[worker] = now, deaths
        return _PAUSES_S[min(deaths, len(_PAUSES_S) - 1)]


if __name__ == "__main__":
    cli.Server = WebServer  # type: ignore[attr-defined]
    cli.entrypoint()  # type: ignore[no-untyped-call]
