"""What the home page shows."""

from typing import Any

from django import template

from registry.access.policies import Right
from registry.console.selectors import changes_lately, live_rows
from registry.kit.actors import Actor
from registry.kit.admin.facts import ago
from registry.kit.admin.panels import PanelPage, columns_for, panels_for

register = template.Library()


@register.simple_tag(takes_context=True)
def home(context: dict[str, Any]) -> dict[str, Any]:
    request = context["request"]
    by: Actor = (
        request.actor
    )  # not registry.kit.admin.theme's actor(): the theme loads this library while it loads itself
    rows, has_more = live_rows(by)
    columns = columns_for(request, [row["model"] for row in rows])
    return {
        "rows": [{**row, "cells": columns.cells[row["model"].pk]} for row in rows],
        "titles": columns.titles,
        "notes": columns.notes,
        "has_more": has_more,
        "changes": changes_lately(by),
        "may_read_record": Right.READ_RECORD in by.rights,
        "panels": panels_for(PanelPage.HOME, request),
    }


register.filter(ago)


@register.filter
def words(name: str) -> str:
    """`set_split` as people read it: set split."""
    return name.replace("_", " ")
