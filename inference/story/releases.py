"""The chapters about how the version came to answer: the split, and who approved it."""

from datetime import datetime

from django.urls import reverse

from inference.story.chapters import AnsweredRequest, Chapter, ChapterLink
from registry.kit.actors import Actor
from registry.traffic.gates import GateOutcome
from registry.traffic.models import Split, SplitRequest
from registry.traffic.selectors import arms_of, describe_shares
from registry.traffic.transitions import RequestStatus

_GATES_SHOWN = 30


def tell_split(request: AnsweredRequest, _by: Actor) -> Chapter:
    """The split that the process used: it is in the id, so this is certain."""
    split, number = request.split, request.fields.split
    if split is None:
        gone = f"Split {number} no longer exists: the database was restored to an earlier state."
        none = f"{request.model} had no current split."
        return Chapter("Split", [gone if number else none])
    shares = ", ".join(f"version {arm.version} {arm.percent:g} %" for arm in arms_of(split))
    decided = "decided" if request.fields.arm else "was in use, but did not decide"
    kind = " It was a rollback." if split.goes_back else ""
    facts: dict[str, str | int | datetime] = {}
    if split.from_at is not None:
        facts["current from"] = split.from_at
    facts["until"] = split.to_at if split.to_at is not None else "now"
    return Chapter(
        "Split",
        [f"Split {number} {decided}: {shares}.{kind}", f"{split.made_by} set it: {split.reason}"],
        facts,
        links=[_split_link(split)],
    )


def tell_approval(request: AnsweredRequest, _by: Actor) -> Chapter | None:
    """Who asked for the split, who approved it, and what the gates said."""
    split = request.split
    own = SplitRequest.objects.filter(split=split).first() if split is not None else None
    if own is not None:
        return _approved(own, [])
    earlier = _last_approved(request)
    reasons = [_why_without_approval(split)] if split is not None else []
    if earlier is None:
        return Chapter("Approval", reasons or ["Nobody had approved a split with this version."])
    told = f"Version {request.version.number} was last approved for split {earlier.split.number}:"  # type: ignore[union-attr]
    return _approved(earlier, [*reasons, told])


def _why_without_approval(split: Split) -> str:
    if split.goes_back:
        return f"Split {split.number} was a rollback, which needs no approval."
    return f"{split.made_by} set split {split.number} without an approval request."


def _last_approved(request: AnsweredRequest) -> SplitRequest | None:
    """The newest approved request before the answer that gave the version a share."""
    approved = SplitRequest.objects.filter(
        model=request.model,
        status=RequestStatus.APPROVED,
        decided_at__lte=request.at,
        split__arms__version=request.version,
        split__arms__letter__gt="",
    )
    return approved.select_related("split", "model").order_by("-decided_at").first()


def _approved(row: SplitRequest, before: list[str]) -> Chapter:
    gates = [
        f"Gate “{gate['name']}” ({GateOutcome(gate['outcome']).in_words}): {gate['sentence']}"
        for gate in row.gates[:_GATES_SHOWN]
    ]
    facts: dict[str, str | int | datetime] = {"asked": row.asked_at}
    if row.decided_at is not None:
        facts["approved"] = row.decided_at
    return Chapter(
        "Approval",
        [
            *before,
            f"{row.asked_by} asked for {describe_shares(row)}: {row.comment}",
            f"{row.decided_by} approved: {row.decision}",
            *gates,
        ],
        facts,
        links=[
            ChapterLink(
                f"Approval request {row.pk}", reverse("admin:registry_splitrequest_change", args=[row.pk])
            )
        ],
    )


def _split_link(split: Split) -> ChapterLink:
    return ChapterLink(f"Split {split.number}", reverse("admin:registry_split_change", args=[split.pk]))
