"""The sidebar's links: each app adds its own in `AppConfig.ready`."""

from dataclasses import dataclass
from functools import partial
from typing import Any

from django.http import HttpRequest
from django.urls import reverse_lazy

from registry.kit.registrations import Registrations


@dataclass(frozen=True, slots=True)
class ListLink:
    """A link to the list of a table, such as `registry.model`; shown to those who may view it."""

    table: str
    title: str
    icon: str
    group: str = ""  # the heading; links without one come first


NAVIGATION: Registrations[ListLink] = Registrations("navigation link")


def add_links(*links: ListLink, order: int) -> None:
    """Add links that follow each other, the first at `order`, the others in steps of 10 after it."""
    for place, link in enumerate(links):
        NAVIGATION.add(link.table, link, order=order + 10 * place)


def navigation_groups() -> list[dict[str, Any]]:
    """Return the sidebar in the form that the theme expects: groups in the order of their first links."""
    groups: dict[str, list[dict[str, Any]]] = {
        "": [{"title": "Home", "icon": "home", "link": reverse_lazy("admin:index")}]
    }
    for link in NAVIGATION:
        groups.setdefault(link.group, []).append(_item(link))
    return [
        {"title": title, "separator": True, "items": items} if title else {"items": items}
        for title, items in groups.items()
    ]


def _item(link: ListLink) -> dict[str, Any]:
    app, name = link.table.split(".")
    return {
        "title": link.title,
        "icon": link.icon,
        "link": reverse_lazy(f"admin:{app}_{name}_changelist"),
        "permission": partial(_may_view, f"{app}.view_{name}"),
    }


def _may_view(permission: str, request: HttpRequest) -> bool:
    return request.user.has_perm(permission)
