"""The story as plain text, for a terminal."""

from collections.abc import Iterator
from datetime import UTC, datetime
from textwrap import wrap

from inference.story.chapters import Chapter
from inference.story.selectors import Story

_WIDTH = 100


def story_as_text(story: Story, *, address: str) -> str:
    """`address` goes before the paths of links."""
    request = story.request
    lines = [f"{request.version}, {_written(request.at)}", request.request_id]
    for _name, chapter in story.chapters:
        lines += ["", chapter.title.upper(), *_lines(chapter, address)]
    return "\n".join(lines)


def _lines(chapter: Chapter, address: str) -> Iterator[str]:
    for sentence in chapter.sentences:
        yield from _wrapped(sentence)
    for name, value in chapter.facts.items():
        yield from _wrapped(f"{name}: {_written(value)}")
    for change in chapter.changes:
        reason = f": {change.reason}" if change.reason else ""
        yield from _wrapped(f"{_written(change.at)}  {change.sentence} (by {change.by}{reason})")
    for link in chapter.links:
        yield f"  {link.title}: {address}{link.path}"


def _wrapped(text: str) -> list[str]:
    return wrap(text, _WIDTH, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False)


def _written(value: str | int | datetime) -> str:
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    return f"{value}"
