"""What changed recently, from the audit records: what belongs together is one line, and important changes are marked."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.http import HttpRequest
from django.utils import timezone

from registry.kit.actors import Actor
from registry.kit.admin.links import RowLinks
from registry.kit.admin.theme import actor
from registry.record.models import AuditRecord
from registry.record.selectors import visible
from registry.record.sentences import SENTENCES, badge_of, describe

_CHANGES_FROM = timedelta(hours=24)
_TOGETHER = timedelta(minutes=5)  # the longest pause between two records of one line
_READ, _SHOWN, _PARTS_SHOWN = 200, 12, 4


@dataclass(frozen=True, slots=True)
class ShownChange:
    """One record: its sentence, and the page of what it changed if the reader may open it."""

    record: AuditRecord
    sentence: str
    address: str
    is_important: bool


@dataclass(frozen=True, slots=True)
class ChangeGroup:
    """Records that belong together, oldest first: the steps of one import, several people added after each other."""

    changes: Sequence[ShownChange]
    title: str
    address: str

    @property
    def at(self) -> datetime:
        return self.changes[-1].record.at

    @property
    def actor_name(self) -> str:
        return self.changes[0].record.actor_name

    @property
    def reason(self) -> str:
        return self.changes[0].record.reason if len(self.changes) == 1 else ""

    @property
    def is_important(self) -> bool:
        return any(change.is_important for change in self.changes)


def recent_changes(request: HttpRequest) -> tuple[list[ChangeGroup], bool]:
    """The groups of the last 24 hours, newest first, and whether there are more. Important ones are kept if it is many."""
    records, has_more = _recent_records(actor(request))
    links = RowLinks(request)
    groups = grouped(records)
    kept = sorted(groups, key=lambda group: (not any(map(badge_of, group)), -group[-1].seq))[:_SHOWN]
    kept.sort(key=lambda group: -group[-1].seq)
    return [_group(group, links) for group in kept], has_more or len(groups) > len(kept)


def _recent_records(by: Actor) -> tuple[list[AuditRecord], bool]:
    """The newest records and the newest important ones, oldest first."""
    records = visible(AuditRecord.objects.filter(at__gte=timezone.now() - _CHANGES_FROM), by).order_by("-seq")
    newest = list(records[: _READ + 1])
    found = {record.seq: record for record in newest[:_READ]}
    if len(newest) > _READ:
        actions = [action for action, sentence in SENTENCES.items() if sentence.badge is not None]
        important = records.filter(action__in=actions, seq__lt=newest[_READ - 1].seq)
        found.update((record.seq, record) for record in important[:_READ])
    return [found[seq] for seq in sorted(found)], len(newest) > _READ


def grouped(records: Iterable[AuditRecord]) -> list[list[AuditRecord]]:
    """Records of one actor about one Model, or about objects of one kind, within minutes of each other.

    A group ends when another person changes something important there, so that groups stay in the order of time.
    """
    groups: list[list[AuditRecord]] = []
    open_groups: dict[str, dict[str, list[AuditRecord]]] = {}  # by subject and actor
    for record in records:
        of_subject = open_groups.setdefault(record.model_slug or f"{record.object_kind} {record.action}", {})
        group = of_subject.get(record.actor_name)
        stands_alone = _stands_alone(record)
        if group is None or stands_alone or record.at - group[-1].at > _TOGETHER:
            group = []
            groups.append(group)
        group.append(record)
        if stands_alone or badge_of(record) is not None:
            of_subject.clear()
        if not stands_alone:
            of_subject[record.actor_name] = group
    return groups


def _stands_alone(record: AuditRecord) -> bool:
    return record.action in SENTENCES and SENTENCES[record.action].stands_alone


def _group(records: Sequence[AuditRecord], links: RowLinks) -> ChangeGroup:
    changes = [
        ShownChange(
            record,
            describe(record),
            links.url(record.object_kind, record.object_id),
            badge_of(record) is not None,
        )
        for record in records
    ]
    if len(changes) == 1:
        slug = records[0].model_slug
        title = f"{slug}: {changes[0].sentence}" if slug else changes[0].sentence
        return ChangeGroup(changes, title, changes[0].address)
    main = next((change for change in changes if change.record.action == "register_version"), None)
    main = main or next((change for change in changes if change.is_important), changes[0])
    return ChangeGroup(changes, group_title(records), main.address)


def group_title(records: Sequence[AuditRecord]) -> str:
    """What the records did together: imported demand 1: created the Model, registered version 1, set split 1."""
    steps = [step for record in records if (step := _step(record))]
    parts = list(dict.fromkeys(steps or map(describe, records)))
    more = len(parts) - _PARTS_SHOWN
    said = ", ".join(parts[:_PARTS_SHOWN]) + (f" and {more} more" if more > 0 else "")
    version = next((record for record in records if record.action == "register_version"), None)
    if version is not None:
        return f"imported {version.object_label}: {said}"
    slug = records[0].model_slug
    return f"{slug}: {said}" if slug else said


def _step(record: AuditRecord) -> str:
    step = SENTENCES[record.action].step if record.action in SENTENCES else None
    if step is None:
        return describe(record)
    return step.format(label=record.object_label, number=record.object_label.rpartition(" ")[2])
