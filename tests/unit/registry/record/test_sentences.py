"""The sentence of an audit record, whatever was recorded."""

import json

import pytest

from registry.record.models import AuditRecord
from registry.record.sentences import (
    SENTENCES,
    Importance,
    RecordedChange,
    Sentence,
    badge_of,
    changed_values,
    describe,
    size,
)


def a_record(action="repaint", before=None, after=None, **more):
    given = {"object_kind": "shed", "object_id": "3", "object_label": "shed 3", "model_slug": "", **more}
    return AuditRecord(action=action, before_json=json.dumps(before), after_json=json.dumps(after), **given)


def a_change(before, after, label="fraud 3", model_slug="fraud"):
    return RecordedChange("x", "version", "9", label, model_slug, before, after)


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        (None, None, "paint over shed 3"),
        ({"owner": "ann"}, {"owner": "bob"}, "paint over shed 3: owner: ann → bob"),
        ({"owner": "ann", "doors": 2}, {"owner": "ann", "doors": 3}, "paint over shed 3: doors: 2 → 3"),
        (None, {"is_open": True, "doors": []}, "paint over shed 3: doors: none; open: yes"),
        ({"wait_ms": 50}, {"wait_ms": 20}, "paint over shed 3: wait: 50 → 20 ms"),
        (
            {"room_bytes": 1024},
            {"room_bytes": 3 * 2**20},
            f"paint over shed 3: room: {size(1024)} → {size(3 * 2**20)}",
        ),
        ({"doors": 2}, None, "paint over shed 3: doors: 2 → none"),
        ({"api_token": "abc"}, {"api_token": "def"}, "paint over shed 3: api token changed"),
    ],
)
def test_an_action_without_a_sentence_shows_its_words_and_values(before, after, sentence):
    assert describe(a_record("paint_over", before, after)) == sentence


def test_an_action_is_told_by_its_sentence():
    told = Sentence(lambda change: f"repainted {change.name} in {change.after['colour']}", Importance.LIVE)
    record = a_record(after={"colour": "red"}, object_label="depot shed 3", model_slug="depot")

    with SENTENCES.changed(repaint=told):
        assert describe(record) == "repainted shed 3 in red"
        assert badge_of(record) is Importance.LIVE
    assert badge_of(record) is None


def test_values_of_another_release_are_shown_as_they_are():
    told = Sentence(lambda change: f"repainted it in {change.after['colour']}")

    with SENTENCES.changed(repaint=told):
        assert describe(a_record(after={"paint": "red"})) == "repaint shed 3: paint: red"


def test_long_values_and_long_sentences_are_cut():
    values = {f"v{number}": "x" * 500 for number in range(20)}

    sentence = describe(a_record(after=values))

    assert len(sentence) == 301
    assert sentence.endswith("…")
    assert f"v0: {'x' * 60}…; v1" in sentence


@pytest.mark.parametrize(
    ("label", "model_slug", "name"),
    [
        ("fraud 3", "fraud", "3"),
        ("fraud@live", "fraud", "live"),
        ("fraud", "fraud", "fraud"),
        ("fraudster 3", "fraud", "fraudster 3"),
        ("ann", "", "ann"),
    ],
)
def test_the_name_is_the_label_without_the_model(label, model_slug, name):
    assert a_change({}, {}, label, model_slug).name == name


def test_values_are_called_and_ordered_as_told():
    change = a_change({"b": 1, "a": 1, "c": 1}, {"b": None, "a": 2, "c": 2})

    assert changed_values(change, {"b": "bells", "a": "arms"}, none="default", ignored={"c"}) == (
        "bells: 1 → default; arms: 1 → 2"
    )
