"""What the registry reports on the home page: holds, broken versions, failed checks, open requests, failing deliveries."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db.models import Exists, F, Max, OuterRef, QuerySet
from django.urls import reverse
from django.utils import timezone

from registry.access.policies import Right
from registry.catalogue.models import Version, VersionCrash
from registry.catalogue.transitions import Status
from registry.console.holds import ENDED_BY
from registry.console.requests import may_decide
from registry.intake.checklist.models import CheckRun
from registry.intake.checklist.transitions import RunState
from registry.kit.actors import Actor, in_scope
from registry.kit.admin.attention import READ_AT_MOST, AttentionItem, ItemKind, PageLink, Severity
from registry.record.models import Delivery
from registry.record.selectors import visible
from registry.traffic.models import Arm, Hold, SplitRequest
from registry.traffic.selectors import describe_shares, requests_for
from registry.traffic.transitions import RequestStatus
from registry.traffic.transitions import Status as SplitStatus

_DAY = timedelta(hours=24)
_FAILED_FROM = timedelta(days=14)
_ATTEMPTS_TO_WORRY = 3  # the third one comes about a minute after the first
_HOLDS = "admin:registry_hold_changelist"
_STOPPED = ItemKind("stopped Models", _HOLDS)
_FROZEN = ItemKind("frozen Models", _HOLDS)
_BROKEN = ItemKind("broken versions", "admin:registry_version_changelist")
_LIVE_FAILED = ItemKind("live versions that failed a check", "admin:registry_version_changelist")
_FAILED = ItemKind(
    "versions that failed their checks", "admin:registry_version_changelist", "?status__exact=failed"
)
_REQUESTS = ItemKind("requests for approval", "admin:registry_splitrequest_changelist", "?status__exact=open")
_REJECTED = ItemKind(
    "rejected requests of yours", "admin:registry_splitrequest_changelist", "?status__exact=rejected"
)
_DELIVERIES = ItemKind(
    "subscriptions that cannot be reached", "admin:registry_delivery_changelist", "?status__exact=failed"
)


def stopped_and_frozen(by: Actor) -> list[AttentionItem]:
    """Models on hold, stopped ones first."""
    holds = in_scope(Hold.objects.filter(to_at=None), by).select_related("model")
    return [_hold(hold, by) for hold in holds.order_by("-kind", "-from_at")[: READ_AT_MOST + 1]]


def _hold(hold: Hold, by: Actor) -> AttentionItem:
    slug = hold.model.slug
    is_stop = hold.kind == Hold.Kind.STOPPED
    verb = ENDED_BY[Hold.Kind(hold.kind)]
    address = reverse(f"admin:registry_model_{verb.name}", args=[hold.model_id])
    may_end = by.may(verb.right, model_id=hold.model_id)
    return AttentionItem(
        kind=_STOPPED if is_stop else _FROZEN,
        severity=Severity.CRITICAL if is_stop else Severity.NOTICE,
        sentence=(
            f"{slug} is stopped by {hold.begun_by}: every request gets 503."
            if is_stop
            else f"{slug} is frozen by {hold.begun_by}: no version can gain live share."
        ),
        notes=[f"Message to callers: “{hold.text}”" if is_stop else f"“{hold.text}”"],
        link=reverse("admin:registry_model_change", args=[hold.model_id]),
        since=hold.from_at,
        name=slug,
        action=PageLink(f"{verb.title} {slug}", address) if may_end else None,
        model_id=hold.model_id,
        badge=hold.kind,
        subject=f"{hold.kind} {hold.model_id}",
    )


def broken_versions(by: Actor) -> list[AttentionItem]:
    """Versions that are refused because they crashed processes; live ones first."""
    crashed = VersionCrash.objects.filter(cleared_at=None).values("version_id")
    broken = Version.objects.filter(pk__in=crashed, broken_at__isnull=False).exclude(status=Status.ARCHIVED)
    rows = in_scope(broken, by).select_related("model").annotate(is_live=_is_live("pk"))
    return [
        AttentionItem(
            kind=_BROKEN,
            severity=Severity.CRITICAL if version.is_live else Severity.WARNING,
            sentence=f"{version} is broken{' and live' if version.is_live else ''}: it crashed processes, and every"
            " request to it is refused.",
            link=_version_page(version, "overview", "rh-crashes"),
            since=version.broken_at,
            name=str(version),
            action=_roll_back(version, by) if version.is_live else None,
            model_id=version.model_id,
            badge="broken" if version.is_live else "",
        )
        for version in rows.order_by(F("is_live").desc(), "-broken_at")[: READ_AT_MOST + 1]
    ]


def _roll_back(version: Version, by: Actor) -> PageLink | None:
    if not by.may(Right.ROLL_BACK, model_id=version.model_id):
        return None
    return PageLink("Roll back", reverse("admin:registry_model_roll_back", args=[version.model_id]))


def failed_checks(by: Actor) -> list[AttentionItem]:
    return [
        AttentionItem(
            kind=_LIVE_FAILED if run.is_live else _FAILED,  # type: ignore[attr-defined]
            severity=Severity.WARNING if run.is_live else Severity.NOTICE,  # type: ignore[attr-defined]
            sentence=f"{run.version} {'is live and failed its newest check' if run.is_live else 'failed its checks'}.",  # type: ignore[attr-defined]
            notes=[run.reason],
            link=_version_page(run.version, "checks", "rh-checks"),
            since=run.ended_at,
            name=str(run.version),
            model_id=run.version.model_id,
            badge="check failed" if run.is_live else "",  # type: ignore[attr-defined]
        )
        for run in failed_runs(by)[: READ_AT_MOST + 1]
    ]


def failed_runs(by: Actor) -> QuerySet[CheckRun]:
    """Versions whose newest check failed in the last two weeks, in the actor's scope; live versions first."""
    newer = CheckRun.objects.filter(version=OuterRef("version"), number__gt=OuterRef("number"))
    runs = CheckRun.objects.filter(
        ~Exists(newer),
        state=RunState.FAILED,
        ended_at__gte=timezone.now() - _FAILED_FROM,
        version__status__in=[Status.FAILED, Status.READY],
    )
    visible_runs = in_scope(runs, by, model="version__model_id").select_related("version__model")
    return visible_runs.annotate(is_live=_is_live("version")).order_by(F("is_live").desc(), "-id")


def _is_live(version: str) -> Exists:
    arms = Arm.objects.filter(version=OuterRef(version), split__status=SplitStatus.CURRENT)
    return Exists(arms.exclude(letter=""))


def _version_page(version: Version, tab: str, anchor: str) -> str:
    return reverse("admin:registry_version_change", args=[version.pk]) + f"?tab={tab}#{anchor}"


def requests_to_decide(by: Actor) -> list[AttentionItem]:
    """Open approval requests, oldest first."""
    rows = requests_for(by).filter(status=RequestStatus.OPEN).order_by("pk")
    return [_request(row, by) for row in rows[: READ_AT_MOST + 1]]


def _request(row: SplitRequest, by: Actor) -> AttentionItem:
    address = reverse("admin:registry_splitrequest_change", args=[row.pk])
    can_decide = may_decide(row, by)
    return AttentionItem(
        kind=_REQUESTS,
        severity=Severity.NOTICE,
        sentence=f"{row.asked_by} asks for approval of {row.model.slug}: {describe_shares(row)}.",
        notes=[f"“{row.comment}”", *(["You can decide."] if can_decide else [])],
        link=address,
        since=row.asked_at,
        name=row.model.slug,
        action=PageLink("Decide", address) if can_decide else None,
        model_id=row.model_id,
    )


def own_requests_rejected(by: Actor) -> list[AttentionItem]:
    """For the person who asked: requests that others rejected in the last 24 hours."""
    if by.user_id is None:
        return []
    rows = requests_for(by).filter(
        status=RequestStatus.REJECTED, asker_id=by.user_id, decided_at__gte=timezone.now() - _DAY
    )
    return [
        AttentionItem(
            kind=_REJECTED,
            severity=Severity.NOTICE,
            sentence=f"{row.decided_by} rejected your request for {row.model.slug}: {describe_shares(row)}.",
            notes=[f"“{row.decision}”"],
            link=reverse("admin:registry_splitrequest_change", args=[row.pk]),
            since=row.decided_at,
            name=row.model.slug,
            model_id=row.model_id,
        )
        for row in rows.order_by("-decided_at")[: READ_AT_MOST + 1]
    ]


def failing_deliveries(by: Actor) -> list[AttentionItem]:
    """Subscriptions whose newest deliveries failed, or are being retried again and again."""
    recent = timezone.now() - _DAY
    rows = visible(Delivery.objects.filter(subscription__enabled=True), by, model_slug="event__model_slug")
    rows = rows.select_related("subscription").order_by("-id")
    newest_failed = rows.filter(status=Delivery.Status.FAILED)[:READ_AT_MOST]
    failed = [row for row in newest_failed if row.ended_at is not None and row.ended_at >= recent]
    retried = rows.filter(
        status__in=[Delivery.Status.WAITING, Delivery.Status.SENDING], attempts__gte=_ATTEMPTS_TO_WORRY
    )[:READ_AT_MOST]
    troubled: dict[int, list[Delivery]] = {}
    for delivery in (*retried, *failed):
        troubled.setdefault(delivery.subscription_id, []).append(delivery)
    if not troubled:
        return []
    delivered = _last_delivered(troubled, recent)
    is_cut = len(newest_failed) >= READ_AT_MOST
    return [
        _failing(deliveries, "at least " if is_cut else "")
        for subscription_id, deliveries in troubled.items()
        if subscription_id not in delivered
        or max(delivery.created_at for delivery in deliveries) > delivered[subscription_id]
    ]


def _last_delivered(subscription_ids: Iterable[int], recent: datetime) -> dict[int, datetime]:
    """When the newest message that arrived was created, by subscription."""
    arrived = Delivery.objects.filter(
        subscription__in=subscription_ids, status=Delivery.Status.DELIVERED, created_at__gte=recent
    )
    newest = arrived.order_by().values_list("subscription_id").annotate(newest=Max("created_at"))
    return dict(newest)


def _failing(deliveries: list[Delivery], at_least: str) -> AttentionItem:
    newest = max(deliveries, key=lambda delivery: delivery.pk)
    failed = sum(delivery.status == Delivery.Status.FAILED for delivery in deliveries)
    retried = len(deliveries) - failed
    counts = [
        text
        for count, text in (
            (failed, f"{at_least}{failed} failed in the last 24 hours"),
            (retried, f"{retried} {'is' if retried == 1 else 'are'} being retried"),
        )
        if count
    ]
    return AttentionItem(
        kind=_DELIVERIES,
        severity=Severity.WARNING,
        sentence=f"Messages to {newest.subscription.name} do not arrive: {' and '.join(counts)}.",
        notes=[newest.last_error] if newest.last_error else [],
        link=reverse("admin:registry_delivery_change", args=[newest.pk]),
        since=min(delivery.created_at for delivery in deliveries),
        name=newest.subscription.name,
    )
