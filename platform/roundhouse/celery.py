"""The Celery app. Messages are hints: rows in the database say what is to be done."""

import os
from pathlib import Path
from typing import Any

from celery import Celery
from celery.signals import (
    setup_logging,
    worker_init,
    worker_ready,
    worker_shutdown,
    worker_shutting_down,
)

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "roundhouse.settings")

from django.conf import settings

from roundhouse import file_broker

app = Celery("roundhouse")

# Longer than any task, or Redis hands a running task to a second worker.
_VISIBILITY_TIMEOUT_S = 6 * 3600
CHORES = "chores"
PULSE_S = 10


def _file_broker(folder: Path) -> dict[str, Any]:
    file_broker.install()
    for name in ("messages", "control"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    return {
        "broker_url": "filesystem://localhost/",
        "broker_transport_options": {
            "data_folder_in": str(folder / "messages"),
            "data_folder_out": str(folder / "messages"),
            "control_folder": str(folder / "control"),
            "polling_interval": 0.1,
        },
    }


def _redis_broker(url: str) -> dict[str, Any]:
    return {
        "broker_url": url,
        "broker_transport_options": {
            "visibility_timeout": _VISIBILITY_TIMEOUT_S,
            "global_keyprefix": settings.REDIS_KEY_PREFIX,
        },
        "visibility_timeout": _VISIBILITY_TIMEOUT_S,
    }


def _every(seconds: int, task: str) -> dict[str, Any]:
    """A chore that nobody misses when its next turn has come before a worker took it."""
    return {"task": task, "schedule": seconds, "options": {"expires": seconds}}


app.conf.update(
    **(
        _redis_broker(settings.REDIS_URL)
        if settings.REDIS_URL
        else _file_broker(settings.DATA_DIR / "broker")
    ),
    broker_connection_retry_on_startup=True,
    task_default_queue=CHORES,
    task_serializer="json",
    accept_content=["json"],
    task_ignore_result=True,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    worker_consumer="roundhouse.consumer:WatchedConsumer",
    worker_hijack_root_logger=False,
    worker_redirect_stdouts=False,
    worker_soft_shutdown_timeout=15,
    worker_enable_remote_control=False,  # files cannot carry it, and pickled remote control is a risk on Redis
    worker_send_task_events=False,
    timezone="UTC",
    beat_schedule={
        "sweep-deliveries": _every(15, "registry.sweep_deliveries"),
        "write-checkpoint": _every(300, "registry.write_checkpoint"),
        "sweep-idempotency": _every(3600, "registry.sweep_idempotency"),
        "sweep-checks": _every(60, "registry.sweep_checks"),
        "sweep-uploads": _every(300, "registry.sweep_uploads"),
        "recheck-runtime": _every(3600, "inference.recheck_runtime"),
        "sweep-engines": _every(10, "inference.sweep_engines"),
        "sweep-waiting-splits": _every(10, "inference.settle_splits"),
        "sweep-jobs": _every(10, "inference.sweep_jobs"),
        "sweep-senders": _every(15, "inference.sweep_senders"),
        "sweep-results": _every(60, "inference.sweep_results"),
        "expire-jobs": _every(3600, "inference.expire_jobs"),
        "merge-measurements": _every(60, "inference.merge_measurements"),
        "pulse": _every(PULSE_S, "inference.record_pulse"),
    },
)
app.autodiscover_tasks(["registry", "inference"])


@worker_init.connect
def start_worker(**_: object) -> None:
    """Imported here: beat and those who only send load no engine."""
    from roundhouse import worker

    worker.start()


@worker_shutting_down.connect
def begin_end_of_worker(**_: object) -> None:
    from roundhouse import worker

    worker.begin_end()


@worker_shutdown.connect
def end_worker(**_: object) -> None:
    from roundhouse import worker

    worker.end()


@worker_ready.connect
def send_first_pulse(**_: object) -> None:
    """Show at once, not at beat's next turn, that the broker's messages reach this worker."""
    app.send_task("inference.record_pulse", expires=PULSE_S)


@worker_ready.connect
def sweep_what_a_crash_left(**_: object) -> None:
    app.send_task("registry.sweep_uploads", expires=300)


@worker_ready.connect
def recheck_after_an_upgrade(**_: object) -> None:
    """A worker that starts may be the first of another runtime."""
    app.send_task("inference.recheck_runtime", expires=3600)


@setup_logging.connect
def keep_our_logging(**_: object) -> None:
    """A receiver here keeps Celery from replacing the handlers that settings installed."""
