"""Two web processes and two workers as in production, over a PostgreSQL database and a Redis of their own."""

import json
import os
import signal
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from tests.chaos.inference.jobs.installation import Installation
from tests.chaos.inference.serving.steady import FACTORS
from tests.support.private import PrivateRedis, a_database
from tests.support.processes import post, serving, wait_until
from tests.support.services import DATABASE_URL

UNASKED = Path(__file__).with_name("unasked_child.py")


class Fleet(Installation):
    """`served` runs the web processes and one worker; the other is `worker`. Only version 1 of `double` is live."""

    def prepare(self):
        self.make_database(FACTORS.values())
        self.headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}

    @contextmanager
    def running(self):
        with serving(self.folder, **self.variables) as self.served:
            self.address = self.served.url.removeprefix("http://")
            self.worker = self.start_worker()
            self.served.wait_ready(within_s=120)  # engines are up before the address is
            self.wait_for_engines()
            yield self

    def renew(self, kind, pid):
        """SIGTERM a process, and wait for its successor; the worker beside `serve` has none but ours."""
        os.kill(pid, signal.SIGTERM)
        if pid == self.worker.pid:
            self.worker.wait(60)
            self.replace_worker()
            return
        self._wait_for_the_end_of(kind, pid)
        self.wait_for_engines()

    def replace_worker(self):
        """Start another one for the worker beside `serve`, which has ended."""
        ended, self.worker = self.worker, self.start_worker()
        self._wait_for_the_end_of("worker", ended.pid)
        self.wait_for_engines()

    def _wait_for_the_end_of(self, kind, pid):
        wait_until(
            lambda: pid not in self.engines(kind),
            within_s=60,
            what=f"the end of {kind} {pid}; they said: {self.output()}",
        )

    def logs(self):
        return [*super().logs(), *sorted(self.folder.glob("serve-*.log"))]

    def output(self) -> str:
        return "\n".join(log.read_text(errors="replace")[-3000:] for log in self.logs())

    def engines(self, kind):
        found = "SELECT pid FROM inference_enginereport WHERE kind = '{}' AND state = 'ready' AND lost_at IS NULL ORDER BY pid"
        return [pid for (pid,) in self._query(found.format(kind))]

    def wait_for_engines(self):
        wait_until(
            lambda: (len(self.engines("web")), len(self.engines("worker"))) == (2, 2),
            within_s=120,
            what=f"two web processes and two workers; they said: {self.output()}",
        )

    def post(self, path, body):
        status, answer = post(f"{self.served.url}/api/v1/{path}", body, **self.headers)
        assert status < 300, answer
        return answer

    def set_split_unasked(self, version) -> int:
        """Give a version all traffic, and ask no engine whether it is warm; the split's number."""
        return int(self._said_by(str(UNASKED), str(version)))

    def current_split(self) -> int:
        return self._query(
            "SELECT number FROM registry_split JOIN registry_model ON registry_model.id = model_id "
            "WHERE slug = 'double' AND status = 'current'"
        )[0][0]

    def all_follow(self) -> bool:
        """Whether each of the four has said that it follows the newest routes, and holds what they need."""
        (newest,) = self._query("SELECT route_revision FROM registry_model WHERE slug = 'double'")[0]
        found = self._query("SELECT followed FROM inference_enginereport WHERE lost_at IS NULL")
        return len(found) == 4 and all(followed >= newest for (followed,) in found)

    def flipped_at(self, number) -> float:
        """When a split became current, in seconds since 1970."""
        (at,) = self._query(f"SELECT from_at FROM registry_split WHERE number = {number}")[0]
        return at.timestamp()

    def loads(self) -> list[float]:
        """When a process had loaded a version, in seconds since 1970."""
        lines = [
            line
            for log in self.logs()
            for line in log.read_bytes().splitlines()
            if b'"version loaded"' in line
        ]
        return [datetime.fromisoformat(json.loads(line)["timestamp"]).timestamp() for line in lines]


@contextmanager
def a_fleet(folder):
    redis = PrivateRedis().start()
    try:
        with a_database(DATABASE_URL) as url:
            fleet = Fleet(
                folder, DATABASE_URL=url, REDIS_URL=redis.url, EXECUTOR="workers", WEB_PROCESSES=2, WEB_THREADS=32,
                LOG_LEVEL="info",
            )  # fmt: skip
            fleet.redis = redis
            try:
                fleet.prepare()
                with fleet.running():
                    yield fleet
            finally:
                fleet.end()
    finally:
        redis.stop()
