"""The search over everything (Ctrl+K): each room adds sources in `AppConfig.ready`."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, JsonResponse

from registry.kit.admin.navigation import visible_pages
from registry.kit.registrations import Registrations
from registry.kit.text import storable

log = structlog.get_logger("roundhouse.console")

LONGEST = 200
HITS_PER_SOURCE = 6
_LONGEST_SHOWN = 120


@dataclass(frozen=True, slots=True)
class Hit:
    """One result: what it is called, what it is, and where it opens."""

    title: str
    url: str
    detail: str = ""
    icon: str = ""  # the source's icon if empty


@dataclass(frozen=True, slots=True)
class SearchSource:
    """A group of results. `find` respects the person's rights and makes a fixed, small number of queries."""

    title: str
    icon: str
    find: Callable[[HttpRequest, str], Sequence[Hit]]


@dataclass(frozen=True, slots=True)
class Found:
    """The groups that found something, and the titles of those that failed."""

    text: str
    groups: list[tuple[SearchSource, Sequence[Hit]]] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


SEARCH: Registrations[SearchSource] = Registrations("search source")


def search(request: HttpRequest, text: str) -> Found:
    """Ask every source, in order. A source that fails is named, and the others still answer."""
    found = Found(" ".join(storable(text[:LONGEST], LONGEST).split()))
    if not found.text:
        return found
    for source in SEARCH:
        try:
            hits = source.find(request, found.text)[:HITS_PER_SOURCE]
        except Exception as error:
            log.error("search failed", source=source.title, exc_info=error)
            found.failed.append(source.title)
            continue
        if hits:
            found.groups.append((source, hits))
    return found


def search_page(request: HttpRequest) -> HttpResponse:
    """The results as JSON, for the search dialog."""
    if request.method != "GET":
        return HttpResponseNotAllowed(["GET"])
    found = search(request, request.GET.get("q", ""))
    groups = [{"title": source.title, "items": list(_shown(source, hits))} for source, hits in found.groups]
    answer = {"text": found.text, "groups": groups, "failed": found.failed}
    return JsonResponse(answer, headers={"Cache-Control": "no-store"})


def find_pages(request: HttpRequest, text: str) -> list[Hit]:
    """Pages of the sidebar whose title or group has all the words."""
    words = text.lower().split()
    return [
        Hit(title, url, group, icon)
        for title, group, url, icon in visible_pages(request)
        if all(word in f"{title} {group}".lower() for word in words)
    ][:HITS_PER_SOURCE]


def _shown(source: SearchSource, hits: Sequence[Hit]) -> Iterator[dict[str, Any]]:
    for hit in hits:
        yield {
            "title": hit.title[:_LONGEST_SHOWN],
            "detail": hit.detail[:_LONGEST_SHOWN],
            "url": hit.url,
            "icon": hit.icon or source.icon,
        }
