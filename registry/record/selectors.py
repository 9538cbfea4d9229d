"""Reads of the record."""

import json
from dataclasses import dataclass
from typing import Any, TypeVar

from django.db.models import Model as Row
from django.db.models import QuerySet

from registry.kit.actors import Actor
from registry.kit.scope import every_model
from registry.record.models import AuditRecord

R = TypeVar("R", bound=Row)

READ = "read_record"


def visible(rows: QuerySet[R], by: Actor, *, model_slug: str = "model_slug") -> QuerySet[R]:
    """Keep what the actor may see: those limited to some Models see what is about these, and nothing else."""
    if READ not in by.rights:
        return rows.none()
    if by.models is None:
        return rows
    slugs = every_model().filter(pk__in=by.models).values("slug")
    return rows.filter(**{f"{model_slug}__in": slugs})


@dataclass(frozen=True, slots=True)
class Difference:
    """One value before and after a change, as text."""

    name: str
    before: str
    after: str

    @property
    def is_changed(self) -> bool:
        return self.before != self.after


def differences(record: AuditRecord) -> list[Difference]:
    """What the record says of each value; what changed comes first."""
    before, after = record.before or {}, record.after or {}
    found = [Difference(name, _text(before, name), _text(after, name)) for name in sorted({*before, *after})]
    return sorted(found, key=lambda one: not one.is_changed)


def _text(values: dict[str, Any], name: str) -> str:
    if name not in values:
        return ""
    value = values[name]
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
