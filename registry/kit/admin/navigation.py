"""The sidebar's links: each app adds its own in `AppConfig.ready`."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from django.contrib import admin
from django.db.models import Model as Row
from django.http import HttpRequest
from django.urls import reverse, reverse_lazy
from django.utils.text import capfirst

from registry.kit.admin.theme import actor
from registry.kit.registrations import Registrations

log = structlog.get_logger("roundhouse.console")

CLOSED_COOKIE = "rh_closed"  # the titles of the groups that this browser closed, as slugs joined by dots
COUNTED_AT_MOST = 99
# What only these pages of a row have in their template's context.
_PAGES_OF_A_ROW = {"action_list": "History", "deleted_objects": "Delete"}


@dataclass(frozen=True, slots=True)
class Badge:
    """A number beside a link: how many things wait there. `title` says it in words."""

    count: int
    title: str
    is_bad: bool = False

    @property
    def text(self) -> str:
        return str(self.count) if self.count <= COUNTED_AT_MOST else f"{COUNTED_AT_MOST}+"


@dataclass(frozen=True, slots=True)
class ListLink:
    """A link to the list of a table, such as `registry.model`; shown to those who may view it.

    `badge` makes at most one query, as it runs on every page. `add_title` names the page that adds a row.
    """

    table: str
    title: str
    icon: str
    group: str = ""  # the heading; links without one come first
    badge: Callable[[HttpRequest], Badge | None] | None = None
    add_title: str = ""

    @property
    def permission(self) -> str:
        app, name = self.table.split(".")
        return f"{app}.view_{name}"

    @property
    def url_name(self) -> str:
        return self._page("changelist")

    @property
    def add_url_name(self) -> str:
        return self._page("add")

    def _page(self, page: str) -> str:
        return f"admin:{self.table.replace('.', '_')}_{page}"

    def is_shown(self, request: HttpRequest) -> bool:
        return request.user.has_perm(self.permission)


@dataclass(frozen=True, slots=True)
class OwnPageLink:
    """A link to a page that is no table's list; shown to those who hold the right. `badge` as for lists."""

    url_name: str
    title: str
    icon: str
    right: str
    group: str = ""
    badge: Callable[[HttpRequest], Badge | None] | None = None

    def is_shown(self, request: HttpRequest) -> bool:
        return self.right in actor(request).rights


NAVIGATION: Registrations[ListLink | OwnPageLink] = Registrations("navigation link")


def add_links(*links: ListLink, order: int) -> None:
    """Add links that follow each other, the first at `order`, the others in steps of 10 after it."""
    for place, link in enumerate(links):
        NAVIGATION.add(link.table, link, order=order + 10 * place)


def navigation_groups(request: HttpRequest) -> list[dict[str, Any]]:
    """The sidebar of a person, in the form that the theme expects: groups in the order of their first links."""
    groups: dict[str, list[dict[str, Any]]] = {
        "": [{"title": "Home", "icon": "home", "link": reverse_lazy("admin:index")}]
    }
    for link in NAVIGATION:
        if link.is_shown(request):
            groups.setdefault(link.group, []).append(_item(link, request))
    closed = request.COOKIES.get(CLOSED_COOKIE, "").split(".")
    return [
        {
            "title": title,
            "items": items,
            "slug": _slug(title),
            "is_closed": bool(title) and _slug(title) in closed,
            "badge": _badge_of_group([item["badge"] for item in items if item.get("badge")]),
        }
        for title, items in groups.items()
    ]


def visible_pages(request: HttpRequest) -> Iterator[tuple[str, str, str, str]]:
    """(title, group, URL, icon) of each page that the person may open, and of each page that adds to a list."""
    for link in NAVIGATION:
        if not link.is_shown(request):
            continue
        group = link.group if link.group != link.title else ""
        yield link.title, group, reverse(link.url_name), link.icon
        if isinstance(link, ListLink) and link.add_title and _may_add(link, request):
            yield link.add_title, link.title, reverse(link.add_url_name), "add"


def link_of(table: str) -> ListLink | None:
    """The sidebar's link to a table's list."""
    return next((link for link in NAVIGATION if isinstance(link, ListLink) and link.table == table), None)


@dataclass(frozen=True, slots=True)
class Crumb:
    """One step of a page's place; the last one is the page itself and has no URL."""

    title: str
    url: str = ""
    is_group: bool = False


def breadcrumbs(context: Mapping[str, Any]) -> list[Crumb]:
    """Where a page is, in the sidebar's words: group, list, row, and what is done with it."""
    opts, title = context.get("opts"), str(context.get("title") or "")
    if opts is None:
        return [Crumb(title)]
    link = link_of(opts.label_lower)
    listed = link.title if link is not None else capfirst(opts.verbose_name_plural)
    table = f"admin:{opts.app_label}_{opts.model_name}"
    crumbs = [Crumb(link.group, is_group=True)] if link is not None and link.group not in ("", listed) else []
    if context.get("cl") is not None or title == listed:
        return [*crumbs, Crumb(listed)]
    crumbs.append(Crumb(listed, reverse(f"{table}_changelist")))
    row = context.get("original") or context.get("object")
    if not isinstance(row, Row) or row.pk is None:
        return [*crumbs, Crumb(title)]
    done = next((name for key, name in _PAGES_OF_A_ROW.items() if key in context), "")
    if not done:
        return [*crumbs, Crumb(str(row))]
    return [*crumbs, Crumb(str(row), reverse(f"{table}_change", args=[row.pk])), Crumb(done)]


def _item(link: ListLink | OwnPageLink, request: HttpRequest) -> dict[str, Any]:
    return {
        "title": link.title,
        "icon": link.icon,
        "link": reverse_lazy(link.url_name),
        "badge": _badge(link, request),
    }


def _badge(link: ListLink | OwnPageLink, request: HttpRequest) -> Badge | None:
    """A badge that fails is left out, and the page still works."""
    if link.badge is None:
        return None
    try:
        badge = link.badge(request)
    except Exception as error:
        log.error("badge failed", link=link.title, exc_info=error)
        return None
    return badge if badge is not None and badge.count else None


def _badge_of_group(badges: Sequence[Badge]) -> Badge | None:
    """What a closed group shows: the sum of its links' badges."""
    if not badges:
        return None
    count, title = sum(badge.count for badge in badges), ", ".join(badge.title for badge in badges)
    return Badge(count, title, is_bad=any(badge.is_bad for badge in badges))


def _may_add(link: ListLink, request: HttpRequest) -> bool:
    page = next(page for row, page in admin.site._registry.items() if row._meta.label_lower == link.table)
    return page.has_add_permission(request)


def _slug(title: str) -> str:
    return title.lower().replace(" ", "-")
