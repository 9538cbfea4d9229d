"""What a row's History page shows: the audit records about it, newest first."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.db.models import Model as Row
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.safestring import SafeString

from registry.kit.admin.facts import name_in_words
from registry.kit.admin.links import RowLinks
from registry.kit.admin.theme import actor
from registry.record.lines import lines_for
from registry.record.selectors import READ, records_about, visible

PER_PAGE = 50
_KINDS_FROM = (
    1_000  # only the newest records say which kinds there are: reading all of them could take seconds
)
# What may be chosen on a Model's page; other kinds are called as they were recorded.
_KINDS = {
    "alias": "aliases",
    "aliasguard": "guards of aliases",
    "goldenset": "golden sets",
    "job": "jobs",
    "model": "the Model itself",
    "split": "splits",
    "splitrequest": "requests",
    "subscription": "subscriptions",
    "upload": "uploads",
    "version": "versions",
}


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the links that choose which records are shown."""

    title: str
    query: str
    is_chosen: bool


def has_records(row: Row) -> bool:
    return records_about(row).order_by().exists()


def draw_records(request: HttpRequest, row: Row) -> SafeString:
    """A page of the records about the row that the viewer may see: those of `?kind=` that are older than `?before=`."""
    by = actor(request)
    context = _shown(request, row) if READ in by.rights else {}
    row_url = RowLinks(request).url(row._meta.model_name or "", row.pk)
    shown = {"row": row, "row_url": row_url, **context}
    return render_to_string("admin/registry/record_history.html", shown, request)


def _shown(request: HttpRequest, row: Row) -> dict[str, Any]:
    by, is_model = actor(request), row._meta.label == "registry.Model"
    column = "object_kind" if is_model else "action"
    records = visible(records_about(row), by)
    kinds = sorted(set(records.values_list(column, flat=True)[:_KINDS_FROM]))
    asked = request.GET.get("kind", "")
    kind, before = asked if asked in kinds else "", _number(request.GET.get("before", ""))
    if kind:
        records = records.filter(**{column: kind})
    if before:
        records = records.filter(seq__lt=before)
    newest = list(records[: PER_PAGE + 1])
    shown = newest[:PER_PAGE]
    return {
        "may_read": True,
        "lines": lines_for(request, shown),
        "is_model": is_model,
        "choices": _choices(kinds, kind, is_model),
        "newer": _query(kind) if before else "",
        "older": _query(kind, before=shown[-1].pk) if len(newest) > PER_PAGE else "",
        "all_records": _list_url(row, is_model),
    }


def _choices(kinds: list[str], kind: str, is_model: bool) -> list[Choice]:
    if len(kinds) < 2:
        return []
    named = [(_KINDS.get(name, name) if is_model else name_in_words(name), name) for name in kinds]
    return [Choice(title, _query(name), name == kind) for title, name in [("everything", ""), *named]]


def _query(kind: str, *, before: int | None = None) -> str:
    given = {"kind": kind, "before": before}
    return "?" + urlencode({name: value for name, value in given.items() if value})


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else None


def _list_url(row: Row, is_model: bool) -> str:
    """The list of all audit records, filtered to those about the row."""
    about = (
        {"model_slug": str(row)} if is_model else {"object_kind": row._meta.model_name, "object_id": row.pk}
    )
    return f"{reverse('admin:registry_auditrecord_changelist')}?{urlencode(about)}"
