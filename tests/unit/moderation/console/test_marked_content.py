"""Where evidence is marked in a text."""

import random

from moderation.console.marked_content import mark_text, numbered
from moderation.deciding.judgements import Evidence
from moderation.policies.rules import RuleEffect

TEXT = "0123456789"


def at(start, end, effect=RuleEffect.BLOCK):
    return Evidence("rule", "code", effect, "text", 1.0, 0.0, place=[start, end], entry="entry")


def pieces(*evidence, text=TEXT):
    marked = mark_text("text", "Text", text, numbered(evidence))
    return [
        (piece.text, [one.number for one in piece.marks], [one.number for one in piece.ends])
        for piece in marked.pieces
    ]


def test_a_piece_is_marked():
    assert pieces(at(2, 4)) == [("01", [], []), ("23", [1], [1]), ("456789", [], [])]


def test_marks_overlap():
    assert pieces(at(2, 6), at(4, 8)) == [
        ("01", [], []), ("23", [1], []), ("45", [1, 2], [1]), ("67", [2], [2]), ("89", [], []),
    ]  # fmt: skip


def test_all_of_the_text_is_there_whatever_is_marked():
    dice = random.Random(7)
    for _ in range(300):
        evidence = [at(dice.randrange(-2, 12), dice.randrange(-2, 14)) for _ in range(dice.randrange(6))]
        assert "".join(text for text, _, _ in pieces(*evidence)) == TEXT


def test_labels_are_about_the_whole():
    label = Evidence(
        "rule", "code", RuleEffect.REVIEW, "text", 0.8, 0.5, detector="tone", version=1, label="angry"
    )

    marked = mark_text("text", "Text", TEXT, numbered([label, at(0, 1)]))

    assert [one.number for one in marked.whole] == [1]
    assert marked.whole[0].sentence == "code, angry 0.80, cut-off 0.5, review"


def test_other_parts_are_left_out():
    title = at(0, 2)._replace(part="title")

    assert pieces(title) == [(TEXT, [], [])]
