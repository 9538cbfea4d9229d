"""Whom a job calls when it has ended: a task of the sender's own Celery, never one of ours."""

import re
from collections.abc import Mapping
from typing import Any

from inference.jobs.errors import BadOrder

MAX_TASK, MAX_QUEUE = 200, 128
_TASK = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*", re.ASCII)
# No colon, no slash: a queue's name is a key in Redis, and a part of a file's name.
_QUEUE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", re.ASCII)
_OURS = re.compile(r"(roundhouse|chores$|pool\.|jobs\.|celery-|_kombu|unacked)", re.IGNORECASE)
_NOT_THEIRS = re.compile(r"(celery|roundhouse|registry|inference|moderation)\.", re.IGNORECASE)


def check_on_done(given: Mapping[str, Any] | None) -> None:
    """Raise BadOrder for names that are not a task's and a queue's, or are ours."""
    if given is None:
        return
    if not isinstance(given, Mapping) or set(given) != {"task", "queue"}:
        raise BadOrder("`on_done` has a `task` and a `queue`.")
    task, queue = given["task"], given["queue"]
    if not isinstance(task, str) or len(task) > MAX_TASK or not _TASK.fullmatch(task):
        raise BadOrder(f"The task in `on_done` is a dotted name of at most {MAX_TASK} characters.")
    if not isinstance(queue, str) or len(queue) > MAX_QUEUE or not _QUEUE.fullmatch(queue):
        raise BadOrder(
            f"The queue in `on_done` has at most {MAX_QUEUE} ASCII letters, digits, dots, hyphens and underscores."
        )
    if _NOT_THEIRS.match(task) or _OURS.match(queue):
        raise BadOrder(
            f"{task!r} in the queue {queue!r} is not a task of your own; `on_done` calls only those."
        )
