"""Template tags and filters: the home page's content, hold banners, times and names."""

import re
from collections.abc import Sequence
from typing import Any

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst

from registry.catalogue.models import Model, Version
from registry.kit.admin.facts import ago, size, when
from registry.kit.admin.plots import looks_of
from registry.traffic.selectors import ArmShare

_LABEL = re.compile(r' data-label="[^"]*"')
register = template.Library()
register.filter(ago)
register.filter(size)
register.filter(when)


@register.filter
def words(name: str) -> str:
    """Turn a name such as `set_split` into words: set split."""
    return name.replace("_", " ")


@register.filter
def with_looks(arms: Sequence[ArmShare]) -> list[tuple[ArmShare, int]]:
    """Each arm with the look of its version."""
    looks = looks_of(sorted(arm.version for arm in arms))
    return [(arm, looks[arm.version]) for arm in arms]


@register.simple_tag
def labelled_cells(cells: Sequence[SafeString], headers: Sequence[dict[str, Any]]) -> list[SafeString]:
    """The cells of a list's row. On a phone each shows its `data-label`; the theme writes another one than the column's title."""
    return [
        cell
        if header["class_attrib"] == "action-checkbox-column"
        else _with_label(cell, capfirst(header["text"]))
        for cell, header in zip(cells, headers, strict=False)
    ]


def _with_label(cell: SafeString, title: str) -> SafeString:
    label = format_html(' data-label="{}"', title)
    return SafeString(_LABEL.sub(lambda _: label, cell, count=1))


# The tags import lazily: the theme loads this library during its own import, and the console needs the theme.
@register.simple_tag(takes_context=True)
def home(context: dict[str, Any]) -> dict[str, Any]:
    from registry.console.home import home_context

    return home_context(context["request"])


@register.simple_tag(takes_context=True)
def breadcrumbs(context: dict[str, Any]) -> list[Any]:
    from registry.kit.admin.navigation import breadcrumbs

    return list(breadcrumbs(context))


@register.simple_tag(takes_context=True)
def hold_banners(context: dict[str, Any], row: Model | Version) -> SafeString | str:
    """The banners of a stopped or frozen Model, above everything else on the page."""
    from registry.console.holds import draw_row_holds

    return draw_row_holds(context["request"], row)


@register.simple_tag(takes_context=True)
def emergency_links(context: dict[str, Any], model: Model) -> list[tuple[str, str]]:
    """Stop and roll back, as (title, address), for a row of a list; no query if the Model's splits are prefetched."""
    from registry.console.rollback import emergency_links

    return emergency_links(context["request"], model)
