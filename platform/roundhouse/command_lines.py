"""What each process runs: the module and its arguments, from the settings."""

import os
import sys

from django.conf import settings

from inference.serving.queues import queues_of_worker


def web() -> list[str]:
    return [
        "roundhouse.granian_server", "--interface", "rsgi", "--loop", "uvloop", "--task-impl", "asyncio",
        "--host", settings.BIND, "--port", str(settings.PORT), "--workers", str(settings.WEB_PROCESSES),
        # Backpressure counts connections, not requests. A connection above the limit would hang instead of being refused.
        "--backpressure", "16384", "--backlog", "4096",
        # Without respawn, kill -9 of one web process ends the whole server.
        "--respawn-failed-workers", "--respawn-interval", "0.2", "--workers-kill-timeout", "15",
        "--no-ws", "--http", "1", "--log-level", "error",
        "roundhouse.web:application",
    ]  # fmt: skip


def worker_queues() -> list[str]:
    """The queues of a worker's Celery threads. Batches have their own threads."""
    return [name for name in queues_of_worker(settings.POOL) if not name.startswith("pool.")]


def worker() -> list[str]:
    return [
        "celery", "--app", "roundhouse", "--quiet", "worker", "--pool", "threads",
        "--concurrency", str(settings.WORKER_THREADS), "--queues", ",".join(worker_queues()),
        "--without-gossip", "--without-mingle", "--without-heartbeat",
    ]  # fmt: skip


def beat() -> list[str]:
    return [
        "celery", "--app", "roundhouse", "--quiet", "beat", "--scheduler", "roundhouse.beat:LeasedScheduler", "--pidfile", "",
    ]  # fmt: skip


SERVICES = {"web": web, "worker": worker, "beat": beat}


def supervised(name: str) -> list[str]:
    """The command line of a service that ends with this process. Django is loaded only after the exec."""
    return [sys.executable, "-m", "roundhouse.process", str(os.getpid()), *SERVICES[name]()]


def set_temporary_folder() -> None:
    """Put temporary files on the data folder's disk: the file broker moves messages through them, and only a move
    within one disk is atomic."""
    scratch = settings.DATA_DIR / "tmp"
    scratch.mkdir(parents=True, exist_ok=True)
    os.environ["TMPDIR"] = str(scratch)
