"""The team page: queues, throughput, and everybody's day; and the form of a reviewer's budgets."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone

from moderation.cases.models import Case
from moderation.cases.queues import count_by_queue, count_waiting
from moderation.cases.selectors import sees_restricted, visible_cases, waiting_cases
from moderation.console.review_forms import ReviewerForm
from moderation.console.review_settings import SetUpByLeads, queue_in_words
from moderation.review.models import Reviewer
from moderation.review.reviewers import set_reviewer
from moderation.review.team import HOURS, HourOfWork, handling_times, hours_of_work, people_at_work
from moderation.rights import ModerationRight
from registry.kit.actors import Actor
from registry.kit.admin.theme import ModelAdmin, actor


@admin.register(Reviewer)
class ReviewerPage(SetUpByLeads, ModelAdmin[Reviewer]):
    """Its list is the team page."""

    right = ModerationRight.LEAD
    form = ReviewerForm
    fields = ("user", "minutes_a_day", "severe_a_day", "languages")

    def get_readonly_fields(self, request: HttpRequest, obj: Reviewer | None = None) -> list[str]:
        return ["user"] if obj else []

    def save_model(self, request: HttpRequest, obj: Reviewer, form: Any, change: bool) -> None:
        obj.pk = set_reviewer(user_id=obj.user_id, **form.values, by=actor(request)).pk

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": "Team",
            **team_context(actor(request), timezone.now()),
        }
        return TemplateResponse(request, "admin/moderation/team.html", context)


_WIDTH, _HEIGHT = 20, 100  # of an hour's bars


@dataclass(frozen=True, slots=True)
class HourBars:
    """Two bars beside each other: cases opened and cases decided."""

    hour: HourOfWork
    x: int
    opened: int  # their heights
    decided: int

    @property
    def opened_y(self) -> int:
        return _HEIGHT - self.opened

    @property
    def decided_y(self) -> int:
        return _HEIGHT - self.decided

    @property
    def decided_x(self) -> int:
        return self.x + 9

    @property
    def is_named(self) -> bool:
        return self.x % (3 * _WIDTH) == 0


def _bars(hours: Sequence[HourOfWork]) -> list[HourBars]:
    most = max([1, *(hour.opened for hour in hours), *(hour.decided for hour in hours)])
    return [
        HourBars(
            hour,
            place * _WIDTH,
            math.ceil(_HEIGHT * hour.opened / most),
            math.ceil(_HEIGHT * hour.decided / most),
        )
        for place, hour in enumerate(hours)
    ]


def team_context(by: Actor, now: datetime) -> dict[str, Any]:
    hours = hours_of_work(now)
    waiting, may_see_all = waiting_cases(), sees_restricted(by)
    return {
        "queues": [
            (queue, queue_in_words(queue), count)
            for queue, count in count_by_queue(visible_cases(waiting, by), now)
        ],
        "all_waiting": count_waiting(visible_cases(waiting, by), now),
        "restricted": None if may_see_all else _restricted(waiting, now),
        "bars": _bars(hours),
        "opened": sum(hour.opened for hour in hours),
        "decided": sum(hour.decided for hour in hours),
        "hour_count": HOURS,
        "people": people_at_work(now),
        "times": handling_times(now, sees_restricted=may_see_all),
    }


def _restricted(waiting: QuerySet[Case], now: datetime) -> Any:
    """How many cases wait that this lead does not see: somebody has to know of them."""
    count = count_waiting(waiting.filter(is_restricted=True), now)
    return count if count.waiting else None
