"""Columns of list pages that look the same everywhere: states, moments, counts, sizes and long texts."""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

from django.utils.html import format_html
from django.utils.safestring import SafeString

from registry.kit.admin.facts import short, size, when
from registry.kit.admin.theme import display

Column = Callable[[Any], SafeString | str]
_LONGEST_LINE = 80


class Tone(StrEnum):
    """What a state means for the reader; each has one colour."""

    GOOD = "good"
    WARN = "warn"
    BAD = "bad"
    BUSY = "busy"  # something is being done, or somebody has to do something
    IDLE = "idle"


def badge(text: str, tone: Tone) -> SafeString:
    return format_html('<span class="rh-badge rh-badge-{}">{}</span>', tone, text)


def state_column(field: str, tones: Mapping[Any, Tone], title: str = "state") -> Column:
    """The field's choice as a badge; choices without a tone are idle."""

    def cell(row: Any) -> SafeString:
        return badge(
            getattr(row, f"get_{field}_display")().lower(), tones.get(getattr(row, field), Tone.IDLE)
        )

    return _named(cell, f"state_{field}", title, ordering=field)


def moment_column(field: str, title: str) -> Column:
    def cell(row: Any) -> SafeString | str:
        return when(getattr(row, field)) or "–"

    return _named(cell, f"moment_{field}", title, ordering=field)


def number_column(field: str, title: str, *, ordering: str | None = None) -> Column:
    """A number, aligned to the right."""

    def cell(row: Any) -> str:
        return f"{getattr(row, field):,}"

    return _named(cell, f"number_{field}", title, ordering=ordering or field)


def size_column(path: str, title: str = "size") -> Column:
    """A number of bytes; `path` may lead through relations, as in `artifact__size_bytes`."""

    def cell(row: Any) -> str:
        value = row
        for name in path.split("__"):
            value = getattr(value, name)
        return size(value)

    return _named(cell, f"number_{path}", title, ordering=path)


def text_column(field: str, title: str, *, longest: int = _LONGEST_LINE) -> Column:
    """A text that may be long: cut, with all of it as the tooltip."""

    def cell(row: Any) -> SafeString | str:
        return cut(str(getattr(row, field)), longest)

    return _named(cell, f"text_{field}", title, ordering=field)


def cut(text: str, longest: int = _LONGEST_LINE) -> SafeString | str:
    """The text on one line; if it is long, its beginning, with all of it as the tooltip."""
    if not text:
        return "–"
    if len(text) <= longest:
        return text
    return format_html('<span title="{}">{}</span>', text, short(text, longest))


def _named(cell: Callable[[Any], SafeString | str], name: str, title: str, *, ordering: str) -> Column:
    """The theme puts a column's name into the classes of its cells, which the stylesheet aligns by."""
    cell.__name__ = name
    column: Column = display(description=title, ordering=ordering)(cell)
    return column
