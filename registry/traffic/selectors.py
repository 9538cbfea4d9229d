"""Read-only queries about traffic."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise

from django.conf import settings
from django.db.models import Count, Max, Min, Prefetch, Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from registry.catalogue.models import AliasMove, Model, Version
from registry.errors import Invalid
from registry.kit.actors import Actor, in_scope
from registry.traffic.assignment import ranges
from registry.traffic.models import Arm, Hold, Split, SplitRequest
from registry.traffic.readiness import ReadinessState, readiness_of
from registry.traffic.transitions import RequestStatus, Status


@dataclass(frozen=True, slots=True)
class ArmShare:
    """A version's share of the traffic, and its bucket ranges."""

    version: int
    share: int
    buckets: list[tuple[int, int]]

    @property
    def percent(self) -> float:
        return self.share / 100


@dataclass(frozen=True, slots=True)
class LiveAt:
    """What was live at a given time."""

    at: datetime
    split: Split | None
    stopped: str | None = None
    frozen: str | None = None
    aliases: dict[str, int] = field(default_factory=dict)

    @property
    def arms(self) -> list[ArmShare]:
        return arms_of(self.split) if self.split is not None else []


def with_arms(splits: QuerySet[Split]) -> QuerySet[Split]:
    return splits.prefetch_related(Prefetch("arms", Arm.objects.select_related("version").order_by("id")))


def arms_of(split: Split) -> list[ArmShare]:
    """The arms that answer, in order; the split should come from `with_arms`."""
    numbers = {arm.letter: arm.version.number for arm in split.arms.all() if arm.letter}
    buckets: dict[str, list[tuple[int, int]]] = {letter: [] for letter in numbers}
    for letter, first, end in ranges(split.buckets):
        buckets[letter].append((first, end))
    return [
        ArmShare(numbers[letter], sum(end - first for first, end in spans), spans)
        for letter, spans in buckets.items()
    ]


def shadows_of(split: Split) -> dict[int, int]:
    """Mirrored basis points by version number."""
    return {arm.version.number: arm.mirrored for arm in split.arms.all() if arm.mirrored is not None}


def with_live_arms(models: QuerySet[Model]) -> QuerySet[Model]:
    """Prefetch what `live_arms` and `open_holds` need, in four queries, however many Models there are."""
    current = with_arms(Split.objects.filter(status=Status.CURRENT))
    holds = Hold.objects.filter(to_at=None)
    return models.prefetch_related(
        Prefetch("splits", current, to_attr="current_splits"),
        Prefetch("holds", holds, to_attr="open_holds"),
    )


def has_been_split(model: Model) -> bool:
    """Whether the Model has a current, past or waiting split."""
    return model.splits.exclude(status=Status.EXPIRED).exists()


def current_split(model: Model) -> Split | None:
    """The Model's current split, prefetched or queried."""
    prefetched: list[Split] | None = getattr(model, "current_splits", None)
    if prefetched is None:
        return with_arms(model.splits.filter(status=Status.CURRENT)).first()
    return prefetched[0] if prefetched else None


def live_arms(model: Model) -> list[ArmShare]:
    """The arms of the Model's current split."""
    split = current_split(model)
    return arms_of(split) if split is not None else []


def open_holds(model: Model) -> dict[str, str]:
    """The texts of the Model's open holds by kind."""
    prefetched: list[Hold] | None = getattr(model, "open_holds", None)
    rows = model.holds.filter(to_at=None) if prefetched is None else prefetched
    return {hold.kind: hold.text for hold in rows}


def open_hold(model: Model, kind: Hold.Kind) -> Hold | None:
    return model.holds.filter(kind=kind, to_at=None).first()


def live_at(model: Model, at: datetime) -> LiveAt:
    """What was live at a past time. Intervals include their start, not their end."""
    if at > timezone.now():
        raise Invalid("That time is in the future; use a time in the past.")
    then = Q(from_at__lte=at) & (Q(to_at=None) | Q(to_at__gt=at))
    split = with_arms(model.splits.filter(then)).select_related("model").first()
    holds = {hold.kind: hold.text for hold in model.holds.filter(then)}
    moves = AliasMove.objects.filter(then, alias__model=model).select_related("alias", "version")
    return LiveAt(
        at=at,
        split=split,
        stopped=holds.get(Hold.Kind.STOPPED),
        frozen=holds.get(Hold.Kind.FROZEN),
        aliases={move.alias.name: move.version.number for move in moves.order_by("alias__name")},
    )


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a split waits for, and when it expires."""

    split: Split
    sentence: str
    gives_up_at: datetime
    gives_up_in_s: int

    @property
    def countdown(self) -> str:
        return f"{self.gives_up_in_s // 60}:{self.gives_up_in_s % 60:02}"

    @property
    def summary(self) -> str:
        return f"waiting: {self.sentence}, gives up in {self.countdown}"


def waiting_for(split: Split) -> Waiting | None:
    """What the split waits for; None if it is not waiting."""
    if split.status != Status.WAITING:
        return None
    readiness = readiness_of(split)
    sentence = readiness.sentence or "ready, about to become current"
    freeze = open_hold(split.model, Hold.Kind.FROZEN)
    if freeze is not None and not split.goes_back and readiness.state is ReadinessState.READY:
        sentence = f"the Model is frozen ({freeze.text})"
    at = split.created_at + timedelta(seconds=settings.WARM_LIMIT_S)
    left_s = int((at - timezone.now()).total_seconds())
    return Waiting(split, sentence, at, max(0, left_s))


def waiting_split(model: Model) -> Waiting | None:
    """The Model's waiting split."""
    split = with_arms(model.splits.filter(status=Status.WAITING)).select_related("model").first()
    return waiting_for(split) if split is not None else None


def has_waiting_split(model: Model) -> bool:
    return model.splits.filter(status=Status.WAITING).exists()


def overdue_splits() -> QuerySet[Split]:
    """Splits that have waited too long, by the database's clock."""
    limit = timedelta(seconds=settings.WARM_LIMIT_S)
    return Split.objects.filter(status=Status.WAITING, created_at__lt=Now() - limit)


def split_use(version: Version) -> str | None:
    """A sentence that names the current or waiting split the version is in; None if there is none."""
    in_use = version.arms.filter(split__status__in=[Status.CURRENT, Status.WAITING]).select_related("split")
    arm = in_use.first()
    return f"{version} is in {arm.split.status} split {arm.split.number}." if arm is not None else None


def requested_shares(request: SplitRequest) -> tuple[dict[Version, int], dict[Version, int]]:
    """The requested shares of arms and of shadows, by version."""
    versions = {str(version.number): version for version in request.model.versions.select_related("model")}
    arms = {versions[number]: share for number, share in request.arms.items()}
    return arms, {versions[number]: share for number, share in request.shadows.items()}


def describe_shares(request: SplitRequest) -> str:
    """The requested shares in words: version 3 90 %, version 4 10 %."""
    return ", ".join(f"version {arm.version} {arm.percent:g} %" for arm in requested_arms(request))


def requested_arms(request: SplitRequest) -> list[ArmShare]:

    return [ArmShare(number, share, []) for number, share in by_number(request.arms)]


def by_number(shares: Mapping[str, int]) -> list[tuple[int, int]]:
    """A request's stored shares, sorted by version number."""
    return sorted((int(number), share) for number, share in shares.items())


def requests_for(by: Actor) -> QuerySet[SplitRequest]:
    """The requests the actor may see, newest first."""
    return in_scope(SplitRequest.objects.select_related("model", "split"), by)


def previous_split(model: Model) -> Split | None:
    """The split to which a rollback returns by default: the newest one that differs from what is live now.

    What was left by a rollback was wrong, so it is skipped: rolling back twice must not bring a fault back.
    """
    current, earlier = current_split(model), earlier_splits(model)
    left = splits_left_by_rollback(model)
    unwanted = [split.shares() for split in earlier if split.pk in left]
    if current is not None:
        unwanted.append(current.shares())
    return next((split for split in earlier if split.shares() not in unwanted), None)


def earlier_splits(model: Model, most: int = 20) -> list[Split]:
    """The splits that were live before, most recent first."""
    return list(with_arms(model.splits.filter(status=Status.PAST)).order_by("-from_at", "-number")[:most])


def splits_left_by_rollback(model: Model, most: int = 20) -> dict[int, Split]:
    """The newest splits that a rollback ended, by id, with the split of that rollback."""
    lived = model.splits.filter(status__in=[Status.CURRENT, Status.PAST]).order_by("-from_at", "-number")
    return {ended.pk: later for later, ended in pairwise(lived[: most + 1]) if later.goes_back}


@dataclass(frozen=True, slots=True)
class LiveHistory:
    """A version that has been live: in how many splits, from when, and until when (None if it is live now)."""

    version: Version
    splits: int
    from_at: datetime
    to_at: datetime | None


def versions_ever_live(model: Model) -> list[LiveHistory]:
    """All versions that have ever been live, most recent first."""
    versions = model.versions.filter(arms__letter__gt="", arms__split__from_at__isnull=False).annotate(
        split_count=Count("arms"),
        live_from=Min("arms__split__from_at"),
        live_to=Max("arms__split__to_at"),
        answers_now=Count("arms", filter=Q(arms__split__status=Status.CURRENT)),
    )
    rows = [
        LiveHistory(
            version, version.split_count, version.live_from, None if version.answers_now else version.live_to
        )
        for version in versions.select_related("model", "artifact")
    ]
    return sorted(
        rows, key=lambda row: (row.to_at is None, row.to_at or row.from_at, row.version.number), reverse=True
    )


def open_requests(model: Model) -> QuerySet[SplitRequest]:
    """The Model's undecided requests, oldest first."""
    return model.split_requests.filter(status=RequestStatus.OPEN).order_by("pk")


def request_url(request: SplitRequest) -> str:
    """The page where people decide on the request."""
    return f"{settings.PUBLIC_URL}/admin/registry/splitrequest/{request.pk}/change/"
