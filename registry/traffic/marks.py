"""What changed a Model's traffic, as marks in its charts: splits, stops and freezes."""

from collections.abc import Iterator
from datetime import datetime

from django.db.models import Q
from django.urls import reverse

from registry.catalogue.models import Model
from registry.kit.admin.plots import Mark, MarkKind
from registry.traffic.models import Hold, Split
from registry.traffic.selectors import with_arms

_MOST = 40
_ARMS_NAMED = 4
_BEGAN = {
    Hold.Kind.STOPPED: (MarkKind.STOP, "stopped"),
    Hold.Kind.FROZEN: (MarkKind.CHANGE, "frozen"),
}
_ENDED = {
    Hold.Kind.STOPPED: (MarkKind.START, "started"),
    Hold.Kind.FROZEN: (MarkKind.CHANGE, "unfrozen"),
}


def split_marks(model: Model, start: datetime, end: datetime) -> Iterator[Mark]:
    """Splits that became current; a deploy if they gave share to a version that had none."""
    # The split that was current at the start is read too, to compare the first change with it.
    within = Q(from_at__lt=end) & (Q(to_at=None) | Q(to_at__gte=start))
    splits = with_arms(model.splits.filter(within)).select_related("request")
    newest = list(splits.order_by("-from_at", "-number")[: _MOST + 1])
    earlier: list[Split | None] = [*newest[1:], None]
    for split, before in zip(newest[:_MOST], earlier, strict=False):
        if split.from_at is not None and split.from_at >= start:
            yield _split_mark(split, split.from_at, before)


def hold_marks(model: Model, start: datetime, end: datetime) -> Iterator[Mark]:
    """Stops, freezes, and when they ended. A hold whose text was replaced did not end."""
    holds = list(model.holds.filter(Q(to_at=None) | Q(to_at__gte=start), from_at__lt=end)[:_MOST])
    begun = {(hold.kind, hold.from_at) for hold in holds}
    for hold in holds:
        url = reverse("admin:registry_hold_change", args=[hold.pk])
        kind, verb = _BEGAN[Hold.Kind(hold.kind)]
        yield Mark(hold.from_at, kind, f"{verb} by {hold.begun_by}: {hold.text}", url)
        if hold.to_at is not None and (hold.kind, hold.to_at) not in begun:
            kind, verb = _ENDED[Hold.Kind(hold.kind)]
            yield Mark(hold.to_at, kind, f"{verb} by {hold.ended_by}", url)


def _split_mark(split: Split, at: datetime, before: Split | None) -> Mark:
    versions, old = split.shares(), before.shares() if before is not None else {}
    kind = MarkKind.DEPLOY if versions.keys() - old.keys() else MarkKind.CHANGE
    request = getattr(split, "request", None)
    asked = f", requested by {request.asked_by}" if request is not None else ""
    verb = "rolled back with split" if split.goes_back else "split"
    sentence = f"{verb} {split.number} by {split.made_by}{asked}: {_shares_text(split)}"
    return Mark(at, kind, sentence, reverse("admin:registry_split_change", args=[split.pk]))


def _shares_text(split: Split) -> str:
    numbers = {arm.version_id: arm.version.number for arm in split.arms.all()}
    shares = sorted((numbers[pk], share) for pk, share in split.shares().items())
    texts = [f"v{number} {share / 100:g} %" for number, share in shares]
    more = len(texts) - _ARMS_NAMED
    return ", ".join(texts[:_ARMS_NAMED]) + (f" and {more} more" if more > 0 else "")
