"""The chapters about the Model around the request: its state at that moment, and what has changed since."""

from urllib.parse import urlencode

from django.db.models import Q
from django.urls import reverse
from django.utils import timezone

from inference.story.chapters import AnsweredRequest, ChangeSince, Chapter, ChapterLink
from registry.catalogue.models import VersionCrash
from registry.kit.actors import Actor
from registry.record.models import AuditRecord
from registry.record.selectors import READ as READ_RECORD
from registry.record.selectors import visible
from registry.record.sentences import describe
from registry.traffic.models import Arm
from registry.traffic.selectors import current_split, live_at, open_holds
from registry.traffic.transitions import Status

_MOST_CHANGES = 20
# What can change an answer. Reads, checks and uploads are left out, so that they do not hide these.
_ACTIONS = (
    "set_split", "activate_split", "approve_request", "roll_back", "reshuffle", "expire_split", "stop_model",
    "start_model", "freeze_model", "unfreeze_model", "change_serving", "move_alias", "retire_alias", "archive_version",
    "unarchive_version", "break_version", "clear_crashes", "edit_model", "set_approval_rule",
)  # fmt: skip


def tell_state(request: AnsweredRequest, _by: Actor) -> Chapter:
    """What was live, stopped or frozen at the moment of the answer, and whether the version was approved."""
    number = request.version.number
    live = live_at(request.model, min(request.at, timezone.now()))
    current = live.split.number if live.split is not None else 0
    sentences = []
    if current == request.fields.split:
        sentences.append(f"Split {current} was current." if current else "No split was current.")
    else:
        then = f"Split {current}" if current else "No split"
        used = f"split {request.fields.split}" if request.fields.split else "none"
        sentences.append(
            f"{then} was current; the process still used {used}. Processes follow a change within 2 seconds."
        )
    sentences.append(
        f"Version {number} was approved."
        if _was_approved(request)
        else f"Version {number} was not approved, so it ran in a process of its own."
    )
    if _had_crashed(request):
        sentences.append(f"Version {number} had crashed before, so it ran in a process of its own.")
    held = [
        f"{request.model} was {kind}: {text}"
        for kind, text in (("stopped", live.stopped), ("frozen", live.frozen))
        if text is not None
    ]
    sentences += held or [f"{request.model} was neither stopped nor frozen."]
    names = [f"@{name}" for name, version in live.aliases.items() if version == number]
    if names:
        sentences.append(f"{', '.join(names)} pointed to version {number}.")
    query = urlencode({"at": request.at.isoformat(timespec="seconds")})
    model_page = reverse("admin:registry_model_change", args=[request.model.pk])
    return Chapter(
        "State at that moment", sentences, links=[ChapterLink("What was live", f"{model_page}?{query}")]
    )


def _was_approved(request: AnsweredRequest) -> bool:
    """By the rule of the route table, with what existed then."""
    arms = Arm.objects.filter(version=request.version, split__created_at__lte=request.at).exclude(letter="")
    decided = (
        ~Q(split__status=Status.EXPIRED) | Q(split__to_at__gt=request.at) | Q(split__request__isnull=False)
    )
    return arms.filter(decided).exists()


def _had_crashed(request: AnsweredRequest) -> bool:
    crashes = VersionCrash.objects.filter(version=request.version, crashed_at__lte=request.at)
    return crashes.filter(Q(cleared_at=None) | Q(cleared_at__gt=request.at)).exists()


def tell_changes(request: AnsweredRequest, by: Actor) -> Chapter:
    """What has changed about the Model since, newest first."""
    title, model = "What changed since", request.model
    split = current_split(model)
    now = f"Split {split.number} is current now." if split is not None else "No split is current now."
    sentences = [now, *(f"{model} is {kind} now: {text}" for kind, text in open_holds(model).items())]
    if READ_RECORD not in by.rights:
        return Chapter(title, [*sentences, "You may not read audit records, so changes are not listed here."])
    since = AuditRecord.objects.filter(model_slug=model.slug, at__gt=request.at, action__in=_ACTIONS)
    since = since.exclude(object_kind="splitrequest")  # an approval has a second record, about its split
    records = list(visible(since, by).order_by("-seq")[: _MOST_CHANGES + 1])
    if not records:
        sentences.append("Nothing that decides about answers has changed since.")
    elif len(records) > _MOST_CHANGES:
        sentences.append(f"The newest {_MOST_CHANGES} changes; there are more in the audit records.")
    query = urlencode({"model_slug": model.slug})
    return Chapter(
        title,
        sentences,
        changes=[_change(record) for record in records[:_MOST_CHANGES]],
        links=[
            ChapterLink(
                f"Audit records of {model}", f"{reverse('admin:registry_auditrecord_changelist')}?{query}"
            )
        ],
    )


def _change(record: AuditRecord) -> ChangeSince:
    return ChangeSince(
        at=record.at,
        sentence=describe(record),
        by=record.actor_name,
        reason=record.reason,
        path=reverse("admin:registry_auditrecord_change", args=[record.pk]),
    )
