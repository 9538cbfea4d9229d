"""What the home page says about requests: Models that fail more of them than before, and what was turned away."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from math import sqrt
from typing import NamedTuple

from django.db.models import F, Max, Q, QuerySet, Sum
from django.urls import reverse

from inference.measure.counts import NO_VERSION
from inference.measure.models import ArmMinute
from inference.measure.selectors import MINUTE, turned_away_between, written_until
from inference.measure.traffic import HOUR, percent
from registry.access.policies import Right
from registry.catalogue.models import Model, ServingSettings
from registry.kit.actors import Actor
from registry.kit.admin.attention import READ_AT_MOST, AttentionItem, ItemKind, PageLink, Severity
from registry.traffic.models import Hold, Split

_RECENT = 5 * MINUTE
_LEAST_REQUESTS = 3  # one request that failed in a quiet night, or during a restart, is no trouble
_ALARMING, _HIGH, _CRITICAL = 0.01, 0.05, 0.1
_JUMP = 2  # times the rate before
_CAUSE_WITHIN = timedelta(minutes=30)
_MOST_CHANGES = 200
_MODELS = "admin:registry_model_changelist"
_FAILING = ItemKind("Models with many errors", _MODELS)
_TURNED_AWAY = ItemKind("Models that turned requests away", _MODELS)
# Codes of requests that no version was called for. What callers got wrong is on the Model's page.
_CODES = frozenset({
    "stopped", "overloaded", "too_many_requests", "limits_unavailable", "loading", "no_live_version", "version_broken",
    "workers_unreachable", "routes_too_old",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rate:
    """Valid requests, and those of them that failed."""

    requests: int = 0
    errors: int = 0

    @property
    def share(self) -> float:
        return self.errors / self.requests if self.requests else 0.0

    def __add__(self, other: "Rate") -> "Rate":
        return Rate(self.requests + other.requests, self.errors + other.errors)


@dataclass(frozen=True, slots=True)
class Jump:
    """A Model that fails more requests than before: since when, and its rates."""

    began: datetime
    recent: Rate
    before: Rate
    lasts_all_along: bool  # there was no better minute in the hour before


@dataclass(frozen=True, slots=True)
class NoticeableChange:
    """A change of a Model that callers can notice."""

    model_id: int
    at: datetime
    what: str
    by: str
    address: str


def errors_and_turned_away(by: Actor) -> list[AttentionItem]:
    """Two queries if nothing failed in the last hour."""
    end = written_until()
    start = end - HOUR - _RECENT
    newest = ArmMinute.objects.aggregate(newest=Max("pk"))["newest"] or 0
    figures = recent_figures(by.models, end, newest)
    if not figures.rates and not figures.turned_away:
        return []
    models = Model.objects.in_bulk({*figures.rates, *figures.turned_away})
    jumps = {
        model_id: jump
        for model_id, rates in figures.rates.items()
        if model_id in models and (jump := find_jump(rates, start, end)) is not None
    }
    causes = _causes(jumps)
    items = [_jump_item(models[pk], jump, causes.get(pk), by) for pk, jump in jumps.items()]
    items.sort(key=lambda item: item.severity)
    return items + [
        _turned_away_item(models[pk], shown)
        for pk, codes in figures.turned_away.items()
        if pk in models
        and (shown := {code: count for code, count in codes.items() if code in _CODES})
        and sum(shown.values()) >= _LEAST_REQUESTS
    ]


class Figures(NamedTuple):
    """By Model: its requests by minute, and how many got which error code."""

    rates: Mapping[int, Mapping[datetime, Rate]]
    turned_away: Mapping[int, Mapping[str, int]]


@lru_cache(maxsize=64)
def recent_figures(models: frozenset[int] | None, end: datetime, _newest: int) -> Figures:
    """The last hour and the minutes before it, for the Models in scope that turned most requests away.

    Counts change once a minute, and the home page is read all the time. `_newest` is the newest row: late counts show at once.
    """
    start = end - HOUR - _RECENT
    ids = _troubled(models, start, end)
    return (
        Figures(_rates(ids, start, end), turned_away_between(ids, end - HOUR, end))
        if ids
        else Figures({}, {})
    )


def find_jump(rates: Mapping[datetime, Rate], start: datetime, end: datetime) -> Jump | None:
    """Whether the newest minutes fail at least 1 %, and well more than the minutes before it began; or 5 % all along.

    Of few requests, twice as many as before may fail by chance.
    """
    recent = _sum(rate for minute, rate in rates.items() if minute >= end - _RECENT)
    if recent.errors < _LEAST_REQUESTS or recent.share < _ALARMING:
        return None
    began = end
    for minute in sorted(rates, reverse=True):
        if rates[minute].share >= _ALARMING:
            began = minute
        elif began < end or minute < end - _RECENT:
            break
    before = _sum(rate for minute, rate in rates.items() if minute < began)
    if before.share < _HIGH and not _is_beyond_chance(recent, before):
        return None
    lasts_all_along = not before.requests and began <= start + MINUTE
    is_jump = recent.share >= _JUMP * before.share and not lasts_all_along
    return Jump(began, recent, before, lasts_all_along) if is_jump or recent.share >= _HIGH else None


def _is_beyond_chance(recent: Rate, before: Rate) -> bool:
    """Whether the errors exceed those expected at the rate before by three standard deviations."""
    expected = before.share * recent.requests
    return recent.errors >= expected + 3 * sqrt(expected)


def _sum(rates: Iterable[Rate]) -> Rate:
    return sum(rates, Rate())


def _minutes(start: datetime, end: datetime) -> QuerySet[ArmMinute]:
    return ArmMinute.objects.filter(minutes=1, minute__gte=start, minute__lt=end)


def _troubled(models: frozenset[int] | None, start: datetime, end: datetime) -> list[int]:
    """The Models in scope with the most requests that got no answer."""
    rows = _minutes(start, end).filter(Q(errors__gt=0) | Q(refused__gt=0))
    if models is not None:
        rows = rows.filter(model_id__in=models)
    worst = rows.order_by().values_list("model_id").annotate(failed=Sum(F("errors") + F("refused")))
    return [model_id for model_id, _failed in worst.order_by("-failed")[: READ_AT_MOST + 1]]


def _rates(model_ids: Collection[int], start: datetime, end: datetime) -> dict[int, dict[datetime, Rate]]:
    """Requests of versions by Model and minute; those that reached no version are not the versions' errors."""
    rows = _minutes(start, end).filter(model_id__in=model_ids).exclude(version_id=NO_VERSION)
    sums = rows.order_by().values_list("model_id", "minute").annotate(Sum("ok"), Sum("errors"))
    found: dict[int, dict[datetime, Rate]] = {}
    for model_id, minute, ok, errors in sums:
        found.setdefault(model_id, {})[minute] = Rate(ok + errors, errors)
    return found


def _causes(jumps: Mapping[int, Jump]) -> dict[int, NoticeableChange]:
    """The newest change of each Model in the half hour before its jump."""
    began = {pk: jump.began for pk, jump in jumps.items() if not jump.lasts_all_along}
    if not began:
        return {}
    window = (min(began.values()) - _CAUSE_WITHIN, max(began.values()) + MINUTE)
    causes: dict[int, NoticeableChange] = {}
    for change in sorted(_changes(list(began), *window), key=lambda change: change.at):
        start = began[change.model_id]
        if start - _CAUSE_WITHIN <= change.at < start + MINUTE:
            causes[change.model_id] = change
    return causes


def _changes(model_ids: Collection[int], start: datetime, end: datetime) -> list[NoticeableChange]:
    splits = Split.objects.filter(model__in=model_ids, from_at__gte=start, from_at__lt=end)
    starts = Hold.objects.filter(model__in=model_ids, kind=Hold.Kind.STOPPED, to_at__gte=start, to_at__lt=end)
    settings = ServingSettings.objects.filter(
        version__model__in=model_ids, created_at__gte=start, created_at__lt=end, revision__gt=1
    ).select_related("version__model")
    return [
        *(
            NoticeableChange(
                split.model_id,
                split.from_at,  # type: ignore[arg-type]  # filtered by it
                f"split {split.number}",
                split.made_by,
                reverse("admin:registry_split_change", args=[split.pk]),
            )
            for split in splits.defer("buckets").order_by("-from_at")[:_MOST_CHANGES]
        ),
        *(
            NoticeableChange(
                hold.model_id,
                hold.to_at,  # type: ignore[arg-type]  # filtered by it
                "start",
                hold.ended_by,
                reverse("admin:registry_hold_change", args=[hold.pk]),
            )
            for hold in starts.order_by("-to_at")[:_MOST_CHANGES]
        ),
        *(
            NoticeableChange(
                row.version.model_id,
                row.created_at,
                f"new serving settings of version {row.version.number}",
                row.made_by,
                reverse("admin:registry_servingsettings_change", args=[row.pk]),
            )
            for row in settings.order_by("-created_at")[:_MOST_CHANGES]
        ),
    ]


def _jump_item(model: Model, jump: Jump, cause: NoticeableChange | None, by: Actor) -> AttentionItem:
    recent = jump.recent
    if jump.lasts_all_along:
        before = ", as in the hour before"
    else:
        before = f", {percent(jump.before.share)} before" if jump.before.requests else ""
    may_roll_back = by.may(Right.ROLL_BACK, model_id=model.pk)
    return AttentionItem(
        kind=_FAILING,
        severity=Severity.CRITICAL if recent.share >= _CRITICAL else Severity.WARNING,
        sentence=f"{model.slug} fails {percent(recent.share)} of its requests: {recent.errors:,} of {recent.requests:,}"
        f" in the last 5 minutes{before}.",
        link=reverse("admin:registry_model_change", args=[model.pk]) + "#rh-measured",
        since=jump.began,
        name=model.slug,
        cause=PageLink(f"{cause.what} by {cause.by} {_before(cause.at, jump.began)}", cause.address)
        if cause is not None
        else None,
        action=PageLink("Roll back", reverse("admin:registry_model_roll_back", args=[model.pk]))
        if may_roll_back
        else None,
        model_id=model.pk,
        badge="errors",
    )


def _before(at: datetime, began: datetime) -> str:
    minutes = (began - at) // MINUTE
    if minutes < 1:
        return "in the same minute" if at >= began else "less than a minute before"
    return "1 minute before" if minutes == 1 else f"{minutes} minutes before"


def _turned_away_item(model: Model, codes: Mapping[str, int]) -> AttentionItem:
    ordered = sorted(codes.items(), key=lambda entry: -entry[1])
    total = sum(codes.values())
    by_code = (
        ordered[0][0] if len(ordered) == 1 else ", ".join(f"{count:,} {code}" for code, count in ordered)
    )
    requests = "1 request" if total == 1 else f"{total:,} requests"
    return AttentionItem(
        kind=_TURNED_AWAY,
        severity=Severity.NOTICE if set(codes) <= {"stopped", "too_many_requests"} else Severity.WARNING,
        sentence=f"{model.slug} turned away {requests} in the last hour: {by_code}.",
        link=reverse("admin:registry_model_change", args=[model.pk]) + "#rh-measured",
        name=model.slug,
        model_id=model.pk,
        subject=f"stopped {model.pk}" if "stopped" in codes else "",
    )
