"""The route table: which version answers for which Model, as an immutable snapshot in each process.

Reading it again reads only the Models that changed since the snapshot's revision.
"""

import bisect
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import structlog
from django.db import DatabaseError
from django.db.models import Max, OuterRef, Q, Subquery
from django.utils import timezone

from inference.engine.errors import VersionBroken
from inference.errors import UnknownModel
from registry.access.limits import NO_LIMITS, CallerLimits
from registry.catalogue.models import (
    DEFAULT_POOL,
    Alias,
    KeySource,
    Model,
    RouteClock,
    ServingSettings,
    Version,
    VersionCrash,
)
from registry.catalogue.transitions import Status as VersionStatus
from registry.errors import NoLiveVersion, NotFound, Stopped
from registry.traffic.assignment import WHOLE, bucket_of, header_text, key_text, ranges
from registry.traffic.models import Arm, Hold, Split
from registry.traffic.transitions import Status as SplitStatus

log = structlog.get_logger("roundhouse.routes")


class RoutesUnreadable(Exception):
    """Rows that routing depends on are invalid."""


@dataclass(frozen=True, slots=True)
class Target:
    """A version that can answer."""

    version_id: int
    number: int
    sha256: str
    serving: int = 0  # the revision of its serving settings; 0: defaults
    pool: str = DEFAULT_POOL
    # It had a share in a split, or in an approval request that was approved.
    is_approved: bool = False
    has_crashed: bool = False  # it ended a process that ran it, and that crash has not been cleared
    is_broken: bool = False  # it ended more than one

    @property
    def runs_apart(self) -> bool:
        """Whether it runs in its own child process, where a crash affects no other request."""
        return self.has_crashed or not self.is_approved


# A replaced version, and when its bake ends; None: the rollback target.
Kept = tuple[Target, datetime | None]


@dataclass(frozen=True, slots=True)
class Route:
    """Everything that is needed to choose a version of one Model, without any further look-up."""

    slug: str
    model_id: int
    salt: str = ""
    key_source: str = KeySource.RANDOM
    key_field: str = ""
    split: int = 0  # the number of the current split; 0: none
    bounds: tuple[int, ...] = ()  # where each bucket range ends; `owners` has its version
    owners: tuple[Target, ...] = ()
    arms: Mapping[int, str] = field(default_factory=dict)  # version id -> its letter in the current split
    shadows: tuple[tuple[Target, int], ...] = ()
    versions: Mapping[int, Target] = field(default_factory=dict)
    aliases: Mapping[str, int] = field(default_factory=dict)
    limits: CallerLimits = NO_LIMITS
    pool: str = DEFAULT_POOL
    waiting: frozenset[Target] = (
        frozenset()
    )  # versions of the split that waits until they are warm in all engines
    kept: tuple[Kept, ...] = ()
    stopped: str | None = None
    frozen: str | None = None

    @property
    def targets(self) -> frozenset[Target]:
        """The versions of the current split, which must be warm."""
        return frozenset(self.owners) | {target for target, _ in self.shadows}

    def all_targets(self) -> Iterator[Target]:
        """All versions that can be reached, by number or by share."""
        yield from self.versions.values()
        yield from self.targets

    def key_of(
        self, *, header: str | None = None, fields: Mapping[str, Any] | None = None, tenant: str | None = None
    ) -> str | None:
        """The routing key: the X-Routing-Key header, or the value of the Model's key source. None: random."""
        if header:
            return header_text(header)
        if self.key_source == KeySource.FIELD:
            return key_text((fields or {}).get(self.key_field))
        return tenant if self.key_source == KeySource.TENANT else None

    def choose(
        self, key: str | None = None, *, version: int | None = None, alias: str | None = None
    ) -> Target:
        """The requested version, the one an alias names, or the one that owns the routing key's bucket."""
        target = self.fixed_target(version=version, alias=alias)
        return target if target is not None else self.owner_of(self.bucket_for(key))

    def bucket_for(self, key: str | None) -> int:
        """The routing key's bucket, or a random one."""
        return random.randrange(WHOLE) if key is None else bucket_of(self.salt, key)  # noqa: S311 (not a secret)

    def owner_of(self, bucket: int) -> Target:
        """The version that answers a bucket."""
        return _checked(self.owners[bisect.bisect_right(self.bounds, bucket)])

    def fixed_target(self, *, version: int | None = None, alias: str | None = None) -> Target | None:
        """The version that answers, if that does not depend on the routing key; raises if none can."""
        if self.stopped is not None:
            raise Stopped(f"{self.slug} is stopped: {self.stopped}")
        if alias is not None:
            version = self._named(alias)
        if version is not None:
            return _checked(self._numbered(version))
        if not self.owners:
            raise NoLiveVersion(f"{self.slug} has no live version; promote one first.")
        return _checked(self.owners[0]) if len(self.owners) == 1 else None

    def _named(self, alias: str) -> int:
        try:
            return self.aliases[alias]
        except KeyError:
            raise NotFound(f"{self.slug} has no alias {alias!r}.") from None

    def _numbered(self, number: int) -> Target:
        try:
            return self.versions[number]
        except KeyError:
            raise NotFound(f"{self.slug} has no version {number} that is ready to answer.") from None


def _checked(target: Target) -> Target:
    check_not_broken(target)
    return target


def check_not_broken(target: Target) -> None:
    if target.is_broken:
        raise VersionBroken(
            f"Version {target.number} is broken: it crashed processes that ran it. Clear its crashes to use it again."
        )


@dataclass(frozen=True, slots=True)
class RouteTable:
    """Every Model's route, as it was at one revision."""

    revision: int
    routes: Mapping[str, Route]
    targets_by_id: Mapping[int, Target] = field(default_factory=dict)
    unreadable: frozenset[int] = frozenset()  # ids of Models with invalid rows, which keep their old routes

    def check_readable(self) -> None:
        if self.unreadable:
            ids = ", ".join(map(str, sorted(self.unreadable)))
            raise RoutesUnreadable(f"The rows of the Models with these ids are invalid: {ids}.")

    def find(self, slug: str, within: frozenset[int] | None = None) -> Route:
        """The route of a Model. One outside the caller's reach (`within`, ids) is reported as unknown."""
        route = self.routes.get(slug)
        if route is None or (within is not None and route.model_id not in within):
            raise UnknownModel(f"There is no Model named {slug!r}.")
        return route

    def targets(self) -> set[Target]:
        return {target for route in self.routes.values() for target in route.targets}

    def broken(self) -> list[Target]:
        """Versions of current splits that are refused because they ended processes."""
        broken = (target for target in self.targets() if target.is_broken)
        return sorted(broken, key=lambda target: target.version_id)


EMPTY = RouteTable(revision=-1, routes={})


def _rollback_id() -> Subquery:
    """The split that `roll_back` would restore."""
    past = Split.objects.filter(model=OuterRef("pk"), status=SplitStatus.PAST)
    return Subquery(past.order_by("-from_at", "-number").values("pk")[:1])


def read_revision() -> int:
    """A number that grows with every change that affects routing."""
    return RouteClock.objects.filter(pk=1).values_list("revision", flat=True).first() or 0


def read_table(known: RouteTable = EMPTY) -> RouteTable:
    """Bring a table up to date, reading only what has changed.

    The revision is read first. A Model that changes while its rows are read keeps its old route: its own revision is
    then above the table's, so the next read picks it up. No route ever mixes two states.

    A Model with invalid rows keeps its old route, if it had one, and does not keep other Models from being read. It is
    read again each time; meanwhile only stops and freezes are applied to it.
    """
    revision = read_revision()
    if revision < known.revision:  # the database was restored to an earlier state
        known = EMPTY
    has_changed = Q(route_revision__gt=known.revision) | Q(pk__in=known.unreadable)
    changed = Model.objects.filter(has_changed, route_revision__lte=revision)
    stamps = dict(changed.values_list("pk", "route_revision"))
    fresh = _read_readable(list(stamps)) if stamps else []
    unreadable: frozenset[int] = frozenset()
    if stamps:
        after = dict(Model.objects.filter(pk__in=stamps).values_list("pk", "route_revision"))
        unchanged = {pk for pk, stamp in stamps.items() if after.get(pk) == stamp}
        fresh = [route for route in fresh if route.model_id in unchanged]
        unreadable = frozenset(unchanged - {route.model_id for route in fresh})
    routes = {**known.routes, **{route.slug: route for route in fresh}}
    if unreadable:
        routes |= _with_holds([route for route in routes.values() if route.model_id in unreadable])
    by_id = {target.version_id: target for route in routes.values() for target in route.all_targets()}
    return RouteTable(revision, routes, by_id, unreadable)


def read_route(slug: str, *, within: frozenset[int] | None = None) -> Route:
    """One Model's route as the database has it now, for callers that write to the database anyway."""
    route: Route | None = None
    stamp: tuple[int, int] | None = None
    while True:
        before, stamp = stamp, Model.objects.filter(slug=slug).values_list("pk", "route_revision").first()
        if stamp is None or (within is not None and stamp[0] not in within):
            raise UnknownModel(f"There is no Model named {slug!r}.")
        if stamp == before:
            if route is None:
                raise RoutesUnreadable(f"The rows of {slug} are invalid.")
            return route
        route = next(iter(_read_routes([stamp[0]])), None)


def _read_readable(ids: list[int]) -> list[Route]:
    """The routes of the Models with valid rows; invalid ones are found by halving the list."""
    try:
        return _read_routes(ids)
    except DatabaseError:
        raise
    except Exception as error:
        if len(ids) > 1:
            middle = len(ids) // 2
            return _read_readable(ids[:middle]) + _read_readable(ids[middle:])
        log.error("a Model's routes cannot be read", model_id=ids[0], exc_info=error)
        return []


def _with_holds(routes: Iterable[Route]) -> dict[str, Route]:
    """Old routes with the current stops and freezes, by slug."""
    routes = list(routes)
    holds = _read_holds([route.model_id for route in routes])
    return {
        route.slug: replace(
            route,
            stopped=holds.get((route.model_id, Hold.Kind.STOPPED)),
            frozen=holds.get((route.model_id, Hold.Kind.FROZEN)),
        )
        for route in routes
    }


def _read_routes(model_ids: Iterable[int]) -> list[Route]:
    """A route for each Model, except where a letter of the current split has no arm."""
    ids = list(model_ids)
    versions: dict[int, dict[int, Target]] = defaultdict(dict)
    serving = dict(
        ServingSettings.objects.filter(version__model__in=ids, is_current=True).values_list(
            "version", "revision"
        )
    )
    ready = Version.objects.filter(model__in=ids, status=VersionStatus.READY)
    make_target = partial(_target, serving=serving, approved=_read_approved(ids), crashed=_read_crashed(ids))
    for model_id, pool, pk, number, sha256, broken_at in ready.values_list(
        "model_id", "model__pool", "pk", "number", "artifact__sha256", "broken_at"
    ):
        versions[model_id][number] = make_target(pk, number, sha256, pool, broken_at)
    aliases: dict[int, dict[str, int]] = defaultdict(dict)
    pointing = Alias.objects.filter(model__in=ids, version__isnull=False)
    for model_id, name, number in pointing.values_list("model_id", "name", "version__number"):
        aliases[model_id][name] = number
    holds = _read_holds(ids)
    models = list(Model.objects.filter(pk__in=ids).defer("notes").annotate(rollback_id=_rollback_id()))
    targets = {target.version_id: target for by_number in versions.values() for target in by_number.values()}
    splits = _read_splits(ids, make_target)
    waiting = _read_waiting(ids, targets)
    kept = _read_kept(models, targets)
    return [
        Route(
            slug=model.slug,
            model_id=model.pk,
            salt=model.salt,
            key_source=model.key_source,
            key_field=model.key_field,
            **split,
            versions=versions[model.pk],
            aliases=aliases[model.pk],
            limits=model.limits,
            pool=model.pool,
            waiting=waiting[model.pk],
            kept=kept[model.pk],
            stopped=holds.get((model.pk, Hold.Kind.STOPPED)),
            frozen=holds.get((model.pk, Hold.Kind.FROZEN)),
        )
        for model in models
        if (split := splits.get(model.pk, {})) is not None
    ]


def _read_holds(ids: list[int]) -> dict[tuple[int, str], str]:
    holds = Hold.objects.filter(model__in=ids, to_at=None)
    return {(pk, kind): text for pk, kind, text in holds.values_list("model_id", "kind", "text")}


def _read_waiting(ids: list[int], targets: Mapping[int, Target]) -> dict[int, frozenset[Target]]:
    """The versions of each Model's split that is waiting to become current."""
    arms = Arm.objects.filter(split__model__in=ids, split__status=SplitStatus.WAITING)
    waiting: dict[int, frozenset[Target]] = defaultdict(frozenset)
    for model_id, version_id in arms.values_list("split__model_id", "version_id"):
        if version_id in targets:
            waiting[model_id] |= {targets[version_id]}
    return waiting


def _read_kept(models: Iterable[Any], targets: Mapping[int, Target]) -> dict[int, tuple[Kept, ...]]:
    """The versions that a rollback would restore, and those that answered within the Model's bake."""
    keep_until: dict[int, dict[int, datetime | None]] = defaultdict(dict)
    by_id = {model.pk: model for model in models}
    longest = timedelta(minutes=max((model.bake_minutes for model in by_id.values()), default=0))
    past = Arm.objects.filter(
        split__model__in=by_id, split__status=SplitStatus.PAST, split__to_at__gt=timezone.now() - longest
    ).exclude(letter="").order_by()  # fmt: skip
    replaced = past.values_list("split__model_id", "version_id").annotate(Max("split__to_at"))
    for model_id, version_id, at in replaced:
        keep_until[model_id][version_id] = at + timedelta(minutes=by_id[model_id].bake_minutes)
    rollbacks = Arm.objects.filter(split__in=[model.rollback_id for model in by_id.values()]).exclude(
        letter=""
    )
    for model_id, version_id in rollbacks.values_list("split__model_id", "version_id"):
        keep_until[model_id][version_id] = None
    kept: dict[int, tuple[Kept, ...]] = defaultdict(tuple)
    for model_id, until in keep_until.items():
        known = sorted(until.keys() & targets.keys())
        kept[model_id] = tuple((targets[version_id], until[version_id]) for version_id in known)
    return kept


def _read_approved(ids: list[int]) -> frozenset[int]:
    """The approved versions. Shadows do not answer callers, so they need no approval."""
    answering = Arm.objects.filter(split__model__in=ids).exclude(letter="")
    decided = ~Q(split__status=SplitStatus.EXPIRED) | Q(split__request__isnull=False)
    return frozenset(answering.filter(decided).order_by().values_list("version_id", flat=True).distinct())


def _read_crashed(ids: list[int]) -> frozenset[int]:
    """The versions that ended a process and have not been cleared."""
    crashes = VersionCrash.objects.filter(version__model__in=ids, cleared_at=None)
    return frozenset(crashes.order_by().values_list("version_id", flat=True).distinct())


def _target(
    pk: int,
    number: int,
    sha256: str,
    pool: str,
    broken_at: datetime | None,
    *,
    serving: Mapping[int, int],
    approved: frozenset[int],
    crashed: frozenset[int],
) -> Target:
    is_broken = broken_at is not None
    return Target(pk, number, sha256, serving.get(pk, 0), pool, pk in approved, pk in crashed, is_broken)


def _read_splits(
    ids: list[int], make_target: Callable[[int, int, str, str, datetime | None], Target]
) -> dict[int, dict[str, Any] | None]:
    """The part of each route that comes from the current split, by Model; None where a letter has no arm."""
    lines: dict[int, list[tuple[str, int | None, Target]]] = defaultdict(list)
    arms = Arm.objects.filter(split__model__in=ids, split__status=SplitStatus.CURRENT)
    for split_id, pool, letter, mirrored, pk, number, sha256, broken_at in arms.values_list(
        "split_id", "split__model__pool", "letter", "mirrored", "version_id", "version__number",
        "version__artifact__sha256", "version__broken_at",
    ):  # fmt: skip
        target = make_target(pk, number, sha256, pool, broken_at)
        lines[split_id].append((letter, mirrored, target))
    splits: dict[int, dict[str, Any] | None] = {}
    current = Split.objects.filter(model__in=ids, status=SplitStatus.CURRENT)
    for split_id, model_id, number, buckets in current.values_list("pk", "model_id", "number", "buckets"):
        by_letter = {letter: target for letter, _, target in lines[split_id] if letter}
        owned = ranges(buckets)
        if any(letter not in by_letter for letter, _, _ in owned):
            # Invalid, or set after the arms were read: in that case its Model has a newer revision.
            splits[model_id] = None
            continue
        splits[model_id] = {
            "split": number,
            "bounds": tuple(end for _, _, end in owned),
            "owners": tuple(by_letter[letter] for letter, _, _ in owned),
            "arms": {target.version_id: letter for letter, target in by_letter.items()},
            "shadows": tuple((target, mirrored) for _, mirrored, target in lines[split_id] if mirrored),
        }
    return splits
