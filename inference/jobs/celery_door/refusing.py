"""Putting on record what was refused, and telling those whose signature holds."""

import threading
import time
from collections.abc import Mapping
from typing import Any

import structlog
from django.db import transaction

from inference.jobs.celery_door import telling
from inference.jobs.celery_door.models import MAX_SENDER, RefusedOrder
from inference.jobs.errors import BadOrder
from inference.jobs.on_done import check_on_done
from registry.access.keys import Signer
from registry.kit.text import MAX_REASON, storable

log = structlog.get_logger("roundhouse.celery_door")

STRANGER = "nobody known"
ROWS_A_MINUTE = 60


class _Strangers:
    """How many rows those who prove nothing may fill; the rest is only counted and logged."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._minute, self._rows = 0, 0

    def may_fill_a_row(self) -> bool:
        minute = int(time.monotonic() / 60)
        with self._lock:
            if minute != self._minute:
                self._minute, self._rows = minute, 0
            self._rows += 1
            return self._rows <= ROWS_A_MINUTE


_strangers = _Strangers()


def refuse_stranger(*, task_id: str, code: str, why: str) -> None:
    """A message that proves nobody's key: on record, and nobody is called, for it may be anybody's name in there."""
    log.warning("message refused", task_id=task_id, code=code, reason=why)
    if _strangers.may_fill_a_row():
        RefusedOrder.objects.create(
            task_id=task_id, sender=STRANGER, code=code, why=storable(why, MAX_REASON)
        )


def refuse(signer: Signer, *, task_id: str, asked: Mapping[str, Any], code: str, why: str) -> RefusedOrder:
    """An order of a key that is known. Its sender is told, now or by the sweeper."""
    log.info("order refused", task_id=task_id, key=signer.name, code=code, reason=why)
    with transaction.atomic():
        order = RefusedOrder.objects.create(
            task_id=task_id,
            key_id=signer.key_id,
            sender=storable(f"key {signer.name}", MAX_SENDER),
            model_slug=storable(str(asked.get("model") or ""), 64),
            code=code,
            why=storable(why, MAX_REASON),
            on_done=_usable(asked.get("on_done")),
        )
    if order.on_done is not None:
        telling.tell_of_refused([order])
    return order


def _usable(on_done: Any) -> Any:
    try:
        check_on_done(on_done)
    except BadOrder:
        return None
    return on_done
