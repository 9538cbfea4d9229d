"""Requests and errors of each Model by the hour, for the bars on the home page.

Reading a day of minutes takes a tenth of a second for fifty busy Models, and the page is opened all the time. So hours
that are over are read once and kept in memory; only the newest are read again.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from django.db.models import DateTimeField, F, Func, Q, QuerySet, Sum

from inference.measure.compaction import start_of_hour
from inference.measure.models import ArmMinute

_HOUR = timedelta(hours=1)
_SHOWN = 24
_MOST_MODELS = 2_000
# By then even a process that could not reach the database for a while has written its counts.
_SETTLED_AFTER = timedelta(minutes=15)


class HourRate(NamedTuple):
    """Per second, over the part of the hour that has passed."""

    requests: float
    errors: float


class HourTotal(NamedTuple):
    requests: int
    errors: int


@dataclass(slots=True)
class _Known:
    """The finished hours of one Model, without gaps from `start` to `until`; an hour without requests is left out."""

    start: datetime
    until: datetime
    totals: dict[datetime, HourTotal] = field(default_factory=dict)


class HourOf(Func):
    """The hour of UTC that a moment lies in; SQLite's own function, because Django's is called once per row."""

    function = "date_trunc"
    template = "date_trunc('hour', %(expressions)s)"
    output_field = DateTimeField()

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        template = "substr(%(expressions)s, 1, 13) || ':00:00'"
        return self.as_sql(compiler, connection, template=template, **context)


class Hours:
    """The last 24 hours of each Model. Threads share one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[int, _Known] = OrderedDict()

    def clear(self) -> None:
        with self._lock:
            self._known.clear()

    def rates(self, model_ids: Sequence[int], end: datetime) -> dict[int, list[HourRate]]:
        """Each Model's rates in the 24 hours up to `end`, oldest first; one query for all Models."""
        last = start_of_hour(end.astimezone(UTC) - timedelta(minutes=1))
        hours = [last - number * _HOUR for number in reversed(range(_SHOWN))]
        totals = self._totals(model_ids, hours[0], end)
        return {pk: [_rate(totals[pk].get(hour), hour, end) for hour in hours] for pk in model_ids}

    def _totals(
        self, model_ids: Sequence[int], start: datetime, end: datetime
    ) -> dict[int, dict[datetime, HourTotal]]:
        known = self._finished(model_ids, start)
        found: dict[int, dict[datetime, HourTotal]] = {pk: dict(known[pk].totals) for pk in model_ids}
        for model_id, hour, total in _read({pk: entry.until for pk, entry in known.items()}, end):
            found[model_id][hour] = total
        self._keep(found, start, until=start_of_hour(end - _SETTLED_AFTER))
        return found

    def _finished(self, model_ids: Sequence[int], start: datetime) -> dict[int, _Known]:
        with self._lock:
            return {
                pk: entry
                if (entry := self._known.get(pk)) and entry.start <= start < entry.until
                else _Known(start, start)
                for pk in model_ids
            }

    def _keep(
        self, found: Mapping[int, Mapping[datetime, HourTotal]], start: datetime, until: datetime
    ) -> None:
        with self._lock:
            for pk, totals in found.items():
                finished = {hour: total for hour, total in totals.items() if start <= hour < until}
                self._known[pk] = _Known(start, max(start, until), finished)
                self._known.move_to_end(pk)
            while len(self._known) > _MOST_MODELS:
                self._known.popitem(last=False)


HOURS = Hours()


def _read(since: Mapping[int, datetime], end: datetime) -> Iterable[tuple[int, datetime, HourTotal]]:
    """The totals of each Model from its own moment on."""
    models_from: dict[datetime, list[int]] = {}
    for pk, moment in since.items():
        models_from.setdefault(moment, []).append(pk)
    wanted = Q(pk__in=[])
    for moment, pks in models_from.items():
        wanted |= Q(model_id__in=pks, minute__gte=moment, minute__lt=end)
    rows: QuerySet[ArmMinute, Any] = (
        ArmMinute.objects.filter(wanted)
        .order_by()
        .values("model_id", hour=HourOf("minute"))
        .annotate(requests=Sum(F("ok") + F("errors") + F("refused")), failed=Sum("errors"))
        .values_list("model_id", "hour", "requests", "failed")
    )
    for model_id, hour, requests, failed in rows:
        yield model_id, hour, HourTotal(requests, failed)


def _rate(total: HourTotal | None, hour: datetime, end: datetime) -> HourRate:
    if total is None:
        return HourRate(0.0, 0.0)
    seconds = (min(hour + _HOUR, end) - hour).total_seconds()
    return HourRate(total.requests / seconds, total.errors / seconds)
