"""The home page: what needs attention, the first steps, Models with their live split, and recent changes."""

from typing import Any

from django.db.models import Case, Count, IntegerField, Value, When
from django.http import HttpRequest

from registry.access.policies import Right
from registry.catalogue.models import Model, Version
from registry.console.changes import recent_changes
from registry.console.first_steps import first_steps
from registry.console.headers import State, state_of
from registry.kit.actors import Actor, visible_models
from registry.kit.admin.attention import Attention, AttentionItem, Severity, attention_for
from registry.kit.admin.columns import Tone
from registry.kit.admin.panels import PanelPage, columns_for, panels_for
from registry.kit.admin.theme import actor
from registry.traffic.selectors import live_arms, with_live_arms

_MODEL_LIMIT = 50
_TONES = {Severity.CRITICAL: Tone.BAD, Severity.WARNING: Tone.WARN, Severity.NOTICE: Tone.BUSY}


def home_context(request: HttpRequest) -> dict[str, Any]:
    by = actor(request)
    attention = attention_for(by)
    rows, total = live_rows(by, attention)
    columns = columns_for(request, [row["model"] for row in rows])
    may_read_record = Right.READ_RECORD in by.rights
    changes, has_more_changes = recent_changes(request) if may_read_record else ([], False)
    return {
        "attention": attention,
        "steps": first_steps(request),
        "rows": [{**row, "cells": columns.cells[row["model"].pk]} for row in rows],
        "titles": columns.titles,
        "numbers": columns.numbers,
        "notes": columns.notes,
        "total": total,
        "has_more": total > len(rows),
        "changes": changes,
        "has_more_changes": has_more_changes,
        "may_read_record": may_read_record,
        "panels": panels_for(PanelPage.HOME, request),
    }


def live_rows(by: Actor, attention: Attention) -> tuple[list[dict[str, Any]], int]:
    """The first Models that the actor may see, those in trouble first, with their live split; and how many there are."""
    trouble = [When(pk=pk, then=Value(int(item.severity))) for pk, item in attention.models.items()]
    order = Case(*trouble, default=Value(9), output_field=IntegerField())
    visible = visible_models(Model.objects.all(), by)
    models = list(with_live_arms(visible.order_by(order, "slug"))[: _MODEL_LIMIT + 1])
    first = models[:_MODEL_LIMIT]
    counts = dict(
        Version.objects.filter(model__in=first).order_by().values_list("model").annotate(Count("pk"))
    )
    rows = [_row(model, counts.get(model.pk, 0), attention.models.get(model.pk)) for model in first]
    return rows, visible.count() if len(models) > _MODEL_LIMIT else len(models)


def _row(model: Model, versions: int, trouble: AttentionItem | None) -> dict[str, Any]:
    state = state_of(model, is_waiting=False)
    if trouble is not None:
        state = State(trouble.badge, _TONES[trouble.severity])
    return {"model": model, "arms": live_arms(model), "state": state, "versions": versions}
