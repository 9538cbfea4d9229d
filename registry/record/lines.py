"""Audit records and events as lists show them: with sentence, badge, and links to what they are about."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.http import HttpRequest
from django.urls import reverse

from registry.kit.actors import every_model
from registry.kit.admin.links import RowLinks
from registry.record.models import AuditRecord, Event
from registry.record.sentences import Importance, badge_of, describe


@dataclass(frozen=True, slots=True)
class SubjectLinks:
    """Addresses of what a record or event is about; "" if there is no such page, or the viewer may not open it."""

    object_url: str
    model_url: str


@dataclass(frozen=True, slots=True)
class RecordLine:
    """An audit record with its sentence and links."""

    record: AuditRecord
    sentence: str
    badge: Importance | None
    url: str
    actor_url: str
    links: SubjectLinks

    @property
    def reason(self) -> str:
        """The reason, unless the sentence quotes it."""
        return "" if self.record.reason and self.record.reason in self.sentence else self.record.reason


def lines_for(request: HttpRequest, records: Sequence[AuditRecord]) -> list[RecordLine]:
    """The records in sentences with their links, in one query for all of them."""
    rows = RowLinks(request)
    return [
        RecordLine(
            record=record,
            sentence=describe(record),
            badge=badge_of(record),
            url=reverse("admin:registry_auditrecord_change", args=[record.pk]),
            actor_url=rows.url("apikey", record.key_id) or rows.url("user", record.user_id),
            links=links,
        )
        for record, links in zip(records, links_for(request, records), strict=True)
    ]


def links_for(request: HttpRequest, lines: Sequence[AuditRecord] | Sequence[Event]) -> list[SubjectLinks]:
    """The links of each line, in one query for all of them."""
    rows = RowLinks(request)
    slugs = {line.model_slug for line in lines if line.model_slug}
    ids = dict(every_model().filter(slug__in=slugs).values_list("slug", "pk")) if slugs else {}
    return [
        SubjectLinks(
            object_url="" if _is_removed(line) else rows.url(line.object_kind, line.object_id),
            model_url=rows.url("model", ids.get(line.model_slug)),
        )
        for line in lines
    ]


def _is_removed(line: AuditRecord | Event) -> bool:
    return isinstance(line, AuditRecord) and line.action.startswith("remove_")
