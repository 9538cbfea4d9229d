"""Splits, stops and freezes as marks in the charts of a Model."""

from datetime import timedelta

import pytest
from django.utils import timezone

from registry.access.policies import Role
from registry.kit.admin.plots import MarkKind, marks_between
from registry.traffic.marks import hold_marks, split_marks
from registry.traffic.models import Hold, Split
from tests.support.factories import a_live_model, a_person, a_split, a_version

pytestmark = pytest.mark.django_db
NOW = timezone.now()
HOUR = timedelta(hours=1)


def at(split, *, ago, until=None):
    """Make a split current from so many minutes ago, until so many minutes ago."""
    Split.objects.filter(pk=split.pk).update(
        from_at=NOW - timedelta(minutes=ago),
        to_at=NOW - timedelta(minutes=until) if until is not None else None,
    )


def last_hour(source, model):
    return sorted(source(model, NOW - HOUR, NOW), key=lambda mark: mark.at)


def test_a_split_says_who_set_it_and_which_version_gets_what():
    model = a_live_model(100)
    first = model.splits.get()
    a_version(model)
    second = a_split(model, 90, 10)
    third = a_split(model, 50, 50)
    at(first, ago=90, until=30)
    at(second, ago=30, until=10)
    at(third, ago=10)

    marks = last_hour(split_marks, model)

    assert [(mark.kind, mark.at) for mark in marks] == [
        (MarkKind.DEPLOY, NOW - timedelta(minutes=30)),
        (MarkKind.CHANGE, NOW - timedelta(minutes=10)),
    ]
    assert marks[0].sentence == f"split 2 by {second.made_by}: v1 90 %, v2 10 %"
    assert marks[1].url == f"/admin/registry/split/{third.pk}/change/"


def test_many_splits_are_bounded_and_the_oldest_is_compared_with_the_one_before(monkeypatch):
    monkeypatch.setattr("registry.traffic.marks._MOST", 2)
    model = a_live_model(50, 50)
    splits = [model.splits.get(), *[a_split(model, 10 * n, 100 - 10 * n) for n in range(1, 4)]]
    for index, split in enumerate(splits):
        at(split, ago=40 - 10 * index, until=30 - 10 * index if index < 3 else None)

    marks = last_hour(split_marks, model)

    assert [(mark.kind, mark.sentence.split(" by")[0]) for mark in marks] == [
        (MarkKind.CHANGE, "split 3"),
        (MarkKind.CHANGE, "split 4"),
    ]


def a_hold(model, kind, *, ago, until=None, text="wrong answers"):
    return Hold.objects.create(
        model=model, kind=kind, text=text, from_at=NOW - timedelta(minutes=ago), begun_by="ann",
        to_at=NOW - timedelta(minutes=until) if until is not None else None,
        ended_by="bob" if until is not None else "",
    )  # fmt: skip


def test_a_stop_and_its_end_are_two_marks():
    model = a_live_model(100)
    hold = a_hold(model, Hold.Kind.STOPPED, ago=20, until=5)
    a_hold(model, Hold.Kind.FROZEN, ago=90)  # began before

    marks = last_hour(hold_marks, model)

    assert [(mark.kind, mark.sentence) for mark in marks if mark.at >= NOW - HOUR] == [
        (MarkKind.STOP, "stopped by ann: wrong answers"),
        (MarkKind.START, "started by bob"),
    ]
    assert marks[-1].url == f"/admin/registry/hold/{hold.pk}/change/"


def test_a_stop_whose_text_was_replaced_did_not_end():
    model = a_live_model(100)
    a_hold(model, Hold.Kind.STOPPED, ago=20, until=10)
    a_hold(model, Hold.Kind.STOPPED, ago=10, text="still wrong")

    assert [mark.sentence for mark in last_hour(hold_marks, model)] == [
        "stopped by ann: wrong answers",
        "stopped by ann: still wrong",
    ]


def test_charts_show_marks_of_this_model_only():
    model, other = a_live_model(100), a_live_model(100)
    a_hold(other, Hold.Kind.STOPPED, ago=20)
    for each in (model, other):
        at(each.splits.get(), ago=30)

    (mark,) = marks_between(model, NOW - HOUR, NOW)

    assert mark.sentence.startswith("split 1 ")


def test_links_of_marks_open_for_a_person_who_may_read(client, db):
    model = a_live_model(100)
    at(model.splits.get(), ago=30)
    a_hold(model, Hold.Kind.STOPPED, ago=20)
    client.force_login(a_person(Role.OPERATOR))

    for mark in marks_between(model, NOW - HOUR, NOW):
        assert client.get(mark.url).status_code == 200
