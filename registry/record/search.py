"""What the search over everything finds in this room: audit records."""

from django.http import HttpRequest
from django.urls import reverse

from registry.kit.admin.search import HITS_PER_SOURCE, Hit
from registry.kit.admin.theme import actor
from registry.record.models import AuditRecord
from registry.record.selectors import visible

_SHORTEST_ID, _LONGEST_ID = 6, 64
_LONGEST_NUMBER = 18


def find_records(request: HttpRequest, text: str) -> list[Hit]:
    """Records written during a request, by its exact id; or one record by its number, as in #12."""
    records = visible(AuditRecord.objects.all(), actor(request))
    number = text.removeprefix("#")
    if text.startswith("#") and number.isdecimal() and len(number) <= _LONGEST_NUMBER:
        records = records.filter(seq=int(number))
    elif _SHORTEST_ID <= len(text) <= _LONGEST_ID and " " not in text:
        records = records.filter(request_id=text)
    else:
        return []
    return [
        Hit(
            f"#{record.seq} {record.action.replace('_', ' ')} {record.object_label}",
            reverse("admin:registry_auditrecord_change", args=[record.seq]),
            f"by {record.actor_name}",
        )
        for record in records.order_by("-seq")[:HITS_PER_SOURCE]
    ]
