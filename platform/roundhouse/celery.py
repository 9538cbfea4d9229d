"""The Celery app, and its file broker. Messages are hints: rows in the database say what has to be done."""

import os
import uuid
import warnings
from pathlib import Path
from time import monotonic
from typing import Any

from celery import Celery
from celery.platforms import SecurityWarning
from celery.signals import (
    setup_logging,
    worker_init,
    worker_ready,
    worker_shutdown,
    worker_shutting_down,
)
from kombu.exceptions import ChannelError
from kombu.transport import TRANSPORT_ALIASES, filesystem
from kombu.utils.encoding import str_to_bytes
from kombu.utils.json import dumps

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "roundhouse.settings")

from django.conf import settings

# Celery warns root about messages that run code when they are unpickled; we accept JSON only.
warnings.filterwarnings(
    "ignore", category=SecurityWarning, message="You're running the worker with superuser"
)
app = Celery("roundhouse")

# Longer than any task. Otherwise, Redis would hand a running task to a second worker.
_VISIBILITY_TIMEOUT_S = 6 * 3600
CHORES = "chores"
PULSE_S = 10


class FileChannel(filesystem.Channel):  # type: ignore[misc]  # kombu has no type hints
    """Writes each message under another name, then renames it.

    Kombu's own channel opens a message under its final name and writes it afterwards. A worker that looks in between reads an
    empty file, fails to parse it as JSON, and ends.
    """

    def _put(self, queue: str, payload: Any, **_: Any) -> None:
        name = f"{round(monotonic() * 1000)}_{uuid.uuid4()}.{queue}.msg"
        scratch = os.path.join(self.data_folder_out, f".{name}.part")  # readers ignore such names
        try:
            with open(scratch, "wb") as file:
                file.write(str_to_bytes(dumps(payload)))
            os.replace(scratch, os.path.join(self.data_folder_out, name))
        except OSError as error:
            raise ChannelError(f"Cannot add a message to {self.data_folder_out}: {error}") from error


class FileTransport(filesystem.Transport):  # type: ignore[misc]
    Channel = FileChannel


def install_file_transport() -> None:
    """Use FileTransport for `filesystem://` in this process."""
    TRANSPORT_ALIASES["filesystem"] = f"{__name__}:FileTransport"


def _file_broker(folder: Path) -> dict[str, Any]:
    install_file_transport()
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
    """A chore that expires when its next run is due: a late worker runs it once, not many times."""
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
    worker_consumer="roundhouse.worker:WatchedConsumer",
    worker_hijack_root_logger=False,
    worker_redirect_stdouts=False,
    worker_soft_shutdown_timeout=15,
    worker_enable_remote_control=False,  # the file broker cannot do it, and pickled remote control is a risk on Redis
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
        "decide-held": _every(10, "moderation.decide_held"),
        "withdraw-superseded": _every(60, "moderation.withdraw_superseded"),
        "sweep-comparisons": _every(60, "moderation.sweep_comparisons"),
        "expire-decisions": _every(3600, "moderation.expire_decisions"),
        "erase": _every(60, "moderation.erase"),
        "pulse": _every(PULSE_S, "inference.record_pulse"),
    },
)
app.autodiscover_tasks(["registry", "inference", "moderation"])


@worker_init.connect
def start_worker(**_: object) -> None:
    # Imported here, because beat and processes that only send tasks must not load an engine.
    from roundhouse import worker

    worker.start()


@worker_shutting_down.connect
def begin_stop_of_worker(**_: object) -> None:
    from roundhouse import worker

    worker.begin_stop()


@worker_shutdown.connect
def stop_worker(**_: object) -> None:
    from roundhouse import worker

    worker.stop()


@worker_ready.connect
def send_first_pulse(**_: object) -> None:
    """Show that messages reach this worker now, without waiting for beat."""
    app.send_task("inference.record_pulse", expires=PULSE_S)


@worker_ready.connect
def sweep_after_a_crash(**_: object) -> None:
    app.send_task("registry.sweep_uploads", expires=300)


@worker_ready.connect
def recheck_after_an_upgrade(**_: object) -> None:
    """A worker that has just started may be the first one with another version of the runtime."""
    app.send_task("inference.recheck_runtime", expires=3600)


@setup_logging.connect
def keep_our_logging(**_: object) -> None:
    """A receiver for this signal keeps Celery from replacing the log handlers that the settings installed."""
