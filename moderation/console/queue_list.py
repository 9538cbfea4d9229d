"""The queues as reviewers see them: how much waits in each, and for how long."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Min, Q
from django.http import HttpRequest
from django.utils import timezone

from moderation.cases.models import ReviewQueue
from moderation.cases.selectors import cases_of, cases_without_queue, visible_cases, waiting_cases
from moderation.rights import ModerationRight
from registry.kit.actors import Actor
from registry.kit.admin.navigation import COUNTED_AT_MOST, Badge
from registry.kit.admin.theme import actor

_ALL = ""  # the name of what is not one queue, but whatever is most urgent


@dataclass(frozen=True, slots=True)
class QueueLine:
    """One queue. `oldest`: when the case that has waited longest was opened. `key`: the digit that starts it."""

    name: str
    title: str
    waiting: int
    overdue: int
    oldest: datetime | None
    key: str


@dataclass(frozen=True, slots=True)
class OwnCases:
    """Cases that are one person's: handed over to them, or set aside until later."""

    assigned: int
    on_hold: int


def queue_lines(by: Actor) -> tuple[list[QueueLine], OwnCases]:
    """All queues that the person may take cases from, and what is theirs alone, with one query over the waiting cases."""
    queues = [
        queue
        for queue in ReviewQueue.objects.prefetch_related("tenants")
        if not queue.takes_escalated or ModerationRight.LEAD in by.rights
    ]
    now = timezone.now()
    on_hold = Q(on_hold_until__gt=now)
    shared = Q(assigned_to=None)
    without_queue = cases_without_queue(is_lead=ModerationRight.LEAD in by.rights)
    wanted = {_ALL: without_queue & shared} | {queue.name: cases_of(queue) & shared for queue in queues}
    counts: dict[str, Any] = {
        "assigned": Count("pk", filter=Q(assigned_to=by.user_id) & ~on_hold),
        "on_hold": Count("pk", filter=Q(assigned_to=by.user_id) & on_hold),
    }
    for place, condition in enumerate(wanted.values()):
        counts[f"waiting_{place}"] = Count("pk", filter=condition)
        counts[f"overdue_{place}"] = Count("pk", filter=condition & Q(due_at__lte=now))
        counts[f"oldest_{place}"] = Min("opened_at", filter=condition)
    found = visible_cases(waiting_cases(), by).order_by().aggregate(**counts)
    titles = {_ALL: "All cases"} | {queue.name: queue.title for queue in queues}
    lines = [
        QueueLine(
            name,
            titles[name],
            found[f"waiting_{place}"],
            found[f"overdue_{place}"],
            found[f"oldest_{place}"],
            str(place) if 0 < place <= 9 else "",
        )
        for place, name in enumerate(wanted)
    ]
    return lines, OwnCases(found["assigned"], found["on_hold"])


def waiting_badge(request: HttpRequest) -> Badge | None:
    """How many cases wait for anybody, beside the link in the sidebar."""
    by = actor(request)
    wanted = cases_without_queue(is_lead=ModerationRight.LEAD in by.rights)
    cases = visible_cases(waiting_cases().filter(wanted), by)
    count = cases.order_by().values("pk")[: COUNTED_AT_MOST + 1].count()
    return Badge(count, "1 case waits" if count == 1 else f"{count} cases wait")
