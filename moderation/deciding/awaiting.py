"""Works off decisions that await something, the oldest first."""

from collections.abc import Callable, Sequence
from uuid import UUID

import structlog

from moderation.deciding.models import Awaits, Decision
from registry.kit.loops import DATABASE_AWAY

log = structlog.get_logger("roundhouse.moderation")

_AT_ONCE = 500


def work_off(awaits: Awaits, work: Callable[[Sequence[UUID]], int], *, failure: str) -> int:
    """Do the work for the oldest decisions that await it, in one transaction of its own; return for how many it was done.

    If that fails, it is done one by one, so that one that cannot be worked off holds up no other; the next round tries it
    again. `failure`: what the log says of it.
    """
    awaiting = Decision.objects.filter(awaits=awaits).order_by("pk")
    ids = list(awaiting.values_list("pk", flat=True)[:_AT_ONCE])
    if not ids:
        return 0
    try:
        return work(ids)
    except DATABASE_AWAY:
        raise
    except Exception as error:  # noqa: BLE001  whatever it is, it is about one of them
        if len(ids) > 1:
            log.warning("decisions are worked off one by one", awaits=awaits.value, reason=str(error))
    return sum(_work_alone(work, one, failure) for one in ids)


def _work_alone(work: Callable[[Sequence[UUID]], int], decision_id: UUID, failure: str) -> int:
    try:
        return work([decision_id])
    except DATABASE_AWAY:
        raise
    except Exception as error:
        log.error(failure, decision=decision_id.hex, exc_info=error)
        return 0
