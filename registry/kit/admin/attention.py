"""What needs somebody's attention: rooms register where to look, and the home page lists what they find."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import IntEnum
from itertools import chain

import structlog
from django.urls import reverse
from django.utils import timezone

from registry.kit.actors import Actor
from registry.kit.registrations import Registrations

log = structlog.get_logger("roundhouse.console")

READ_AT_MOST = 50  # items that a source should read, so that the page stays quick however much is wrong
_COLLAPSED_FROM = 4
_NAMES_SHOWN = 3


class Severity(IntEnum):
    """How bad it is; the worst comes first."""

    CRITICAL = 1  # requests fail now
    WARNING = 2  # something is broken, or soon will be
    NOTICE = 3  # somebody has to decide, or has decided

    @property
    def look(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class PageLink:
    title: str
    address: str


@dataclass(frozen=True, slots=True)
class ItemKind:
    """Items of one kind collapse into one line if there are many, with a link to their list."""

    plural: str  # as in "12 failed jobs"
    url_name: str
    query: str = ""

    @property
    def address(self) -> str:
        return reverse(self.url_name) + self.query


@dataclass(frozen=True, slots=True)
class AttentionItem:
    """One trouble: a plain sentence with numbers, where to look, and since when."""

    kind: ItemKind
    severity: Severity
    sentence: str
    link: str = ""
    since: datetime | None = None
    name: str = ""  # what a collapsed line calls it, such as the Model's name
    notes: Sequence[str] = ()  # further sentences
    cause: PageLink | None = None  # what changed just before
    action: PageLink | None = None  # what to do about it
    model_id: int | None = None
    badge: str = ""  # the Model's state in the table of Models, in one or two words
    subject: str = ""  # items with the same subject become one line: the worst, with the others as notes


@dataclass(frozen=True, slots=True)
class AttentionLine:
    """One line of the panel: an item, or several of one kind."""

    sentence: str
    severity: Severity
    link: str
    since: datetime | None
    items: Sequence[AttentionItem]

    @property
    def item(self) -> AttentionItem | None:
        """The only item; None for a collapsed line."""
        return self.items[0] if len(self.items) == 1 else None


@dataclass(frozen=True, slots=True)
class Attention:
    lines: list[AttentionLine]
    looked_at: datetime
    failed: list[str] = field(default_factory=list)  # sources that could not be read
    models: dict[int, AttentionItem] = field(default_factory=dict)  # the worst item with a badge, by Model


# Each returns what it finds in the actor's scope, worst first and about READ_AT_MOST items.
ATTENTION: Registrations[Callable[[Actor], Iterable[AttentionItem]]] = Registrations("source of attention")


def attention_for(by: Actor) -> Attention:
    """Read all sources. One that fails is named, so that the page does not claim that all is well."""
    found: list[AttentionItem] = []
    failed = []
    for name, find in ATTENTION.items():
        try:
            found.extend(find(by))
        except Exception as error:
            log.error("source of attention failed", source=name, exc_info=error)
            failed.append(name)
    items = sorted(_joined(found), key=lambda item: item.severity)
    models: dict[int, AttentionItem] = {}
    for item in items:
        if item.model_id is not None and item.badge:
            models.setdefault(item.model_id, item)
    return Attention(_lines(items), timezone.now(), failed, models)


def _joined(found: Iterable[AttentionItem]) -> list[AttentionItem]:
    """What several sources say about one subject, as one item."""
    by_subject: dict[object, list[AttentionItem]] = {}
    for item in found:
        by_subject.setdefault(item.subject or object(), []).append(item)
    return [_with_notes(items) for items in by_subject.values()]


def _with_notes(items: list[AttentionItem]) -> AttentionItem:
    worst = min(items, key=lambda item: item.severity)
    others = [item for item in items if item is not worst]
    said = chain.from_iterable((other.sentence, *other.notes) for other in others)
    return replace(worst, notes=(*worst.notes, *said)) if others else worst


def _lines(items: Iterable[AttentionItem]) -> list[AttentionLine]:
    by_kind: dict[tuple[Severity, ItemKind], list[AttentionItem]] = {}
    for item in items:
        by_kind.setdefault((item.severity, item.kind), []).append(item)
    return [
        line
        for (severity, kind), alike in by_kind.items()
        for line in (
            [_collapsed(kind, severity, alike)]
            if len(alike) >= _COLLAPSED_FROM
            else [AttentionLine(item.sentence, severity, item.link, item.since, [item]) for item in alike]
        )
    ]


def _collapsed(kind: ItemKind, severity: Severity, items: Sequence[AttentionItem]) -> AttentionLine:
    count = f"{len(items)}" if len(items) <= READ_AT_MOST else f"More than {READ_AT_MOST}"
    names = list(dict.fromkeys(item.name for item in items if item.name))
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    of = f": {', '.join(names[:_NAMES_SHOWN])}{more}" if names else ""
    newest = max((item.since for item in items if item.since is not None), default=None)
    return AttentionLine(f"{count} {kind.plural}{of}", severity, kind.address, newest, items[:READ_AT_MOST])
