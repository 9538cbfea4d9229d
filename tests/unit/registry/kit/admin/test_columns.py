"""Cells of lists: what they say, and how they name themselves to the stylesheet."""

from types import SimpleNamespace

from registry.kit.admin.columns import (
    Tone,
    badge,
    cut,
    moment_column,
    number_column,
    size_column,
    state_column,
    text_column,
)


def row(**values):
    return SimpleNamespace(**values)


def test_a_state_is_a_badge_of_its_tone():
    column = state_column("status", {"failed": Tone.BAD})

    failed = column(row(status="failed", get_status_display=lambda: "Failed"))
    other = column(row(status="new", get_status_display=lambda: "New"))

    assert failed == '<span class="rh-badge rh-badge-bad">failed</span>'
    assert other == '<span class="rh-badge rh-badge-idle">new</span>'


def test_what_a_badge_says_is_escaped():
    assert "&lt;b&gt;" in badge("<b>", Tone.GOOD)


def test_numbers_and_sizes_are_written_once_and_named_so_that_they_align():
    count, size = number_column("rows", "rows"), size_column("artifact__size_bytes")

    assert count(row(rows=12345)) == "12,345"
    assert size(row(artifact=row(size_bytes=2048))) == "2 KiB"
    assert count.__name__ == "number_rows"
    assert size.admin_order_field == "artifact__size_bytes"


def test_long_texts_are_cut_and_whole_as_the_tooltip():
    text = text_column("why", "why", longest=5)(row(why="a<b too long"))

    assert text == '<span title="a&lt;b too long">a&lt;b t…</span>'
    assert cut("short") == "short"
    assert cut("") == "–"


def test_a_moment_that_never_was_is_a_dash():
    assert moment_column("ended_at", "ended")(row(ended_at=None)) == "–"
