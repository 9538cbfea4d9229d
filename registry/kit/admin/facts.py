"""Measured facts, settings, durations and ages in words."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import orjson
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timesince import timesince

# Pages draw these themselves.
_DRAWN = frozenset({"profile", "changes", "inputs", "outputs"})
_MOST_FACTS, _MOST_ENTRIES, _LONGEST = 24, 8, 300
_SHORT_HASH = 12


def readable(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(name, text) of each fact that fits on a line; empty values are left out."""
    lines = [
        (name_in_words(name), value_in_words(name, value))
        for name, value in facts.items()
        if name not in _DRAWN and value not in (None, "", [], {})
    ]
    return lines[:_MOST_FACTS]


def settings_in_words(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(name, text) of every setting; None is the default."""
    return [
        (name_in_words(name), "default" if value is None else value_in_words(name, value))
        for name, value in values.items()
    ]


def config_in_words(config: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(name, text) of each field of a task configuration; long lists are shortened."""
    return [(name_in_words(name), _field_in_words(name, value)) for name, value in config.items()]


def _field_in_words(name: str, value: Any) -> str:
    if isinstance(value, list) and all(isinstance(item, Mapping) for item in value):
        return _joined([f"{key} = {text}" for item in value for key, text in item.items()])
    return value_in_words(name, value)


def duration(seconds: float) -> str:
    if seconds < 0.001:
        return f"{seconds * 1000:.2g} ms"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds // 60)} min {int(seconds % 60)} s"


def size(count: float) -> str:
    """A number of bytes as every page writes it, such as 1.4 MiB."""
    if abs(count) < 1024:
        return f"{count:.0f} byte{'' if count == 1 else 's'}"
    for unit in ("KiB", "MiB", "GiB", "TiB"):
        count /= 1024
        if abs(count) < 1023.95 or unit == "TiB":
            break
    return f"{count:,.1f} {unit}".replace(".0 ", " ")


def short(value: Any, longest: int = _LONGEST) -> str:
    """The value on one line, cut if it is long: text as it is, anything else as JSON."""
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return text if len(text) <= longest else f"{text[:longest]}…"


def name_in_words(name: str) -> str:
    """The name of a value without its unit: `max_wait_ms` is max wait."""
    for unit in ("_bytes", "_ms", "_s"):
        name = name.removesuffix(unit)
    return name.removeprefix("is_").replace("_", " ")


def value_in_words(name: str, value: Any) -> str:
    """The value as text, in the unit that its name says."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)):
        return _number(name, value)
    if isinstance(value, str):
        is_hash = name.endswith(("sha256", "digest"))
        return value[:_SHORT_HASH] if is_hash else value[:_LONGEST]
    if isinstance(value, Mapping):
        return _joined(
            [f"{name_in_words(str(key))} {value_in_words(str(key), item)}" for key, item in value.items()]
        )
    if isinstance(value, Sequence):
        return _joined([value_in_words(name, item) for item in value])
    return str(value)[:_LONGEST]


def _number(name: str, value: float) -> str:
    if name.endswith("_bytes"):
        return size(value)
    if name.endswith("_ms"):
        return f"{value:,.4g} ms"
    if name.endswith("_s"):
        return duration(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def _joined(words: Sequence[str]) -> str:
    more = len(words) - _MOST_ENTRIES
    text = ", ".join(words[:_MOST_ENTRIES])
    return f"{text} and {more:,} more" if more > 0 else text


def when(moment: datetime | None) -> SafeString | str:
    """The moment as every page writes it: 24 hours, in the viewer's zone, with its age as the tooltip."""
    if moment is None:
        return ""
    local = timezone.localtime(moment)
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        moment.isoformat(),
        f"{ago(moment)}, {date_format(local, 'H:i:s T')}",
        date_format(local, "DATETIME_FORMAT"),
    )


def ago(moment: datetime) -> str:
    """The time since then, in the largest unit that fits."""
    if timezone.now() - moment < timedelta(minutes=1):
        return "just now"
    return f"{timesince(moment, depth=1)} ago"
