"""Each constraint with a row that passes and one that fails; past the services, as a shell would write them."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from registry.traffic.models import Arm, Hold, Split
from registry.traffic.transitions import Status
from tests.support.factories import a_live_model, a_model, a_version
from tests.support.tables import cases

pytestmark = [pytest.mark.both, pytest.mark.django_db]
NOW = timezone.now()
WHOLE = "a" * 10_000


def passes(row) -> bool:
    try:
        with transaction.atomic():
            row.save()
    except IntegrityError:
        return False
    return True


def a_row(model=None, **more):
    values = {"number": 7, "buckets": WHOLE, "salt": "s", "reason": "r", "made_by": "me"}
    return Split(model=model or a_model(), **{**values, **more})


@cases(
    "buckets, is_good",
    one_arm=(WHOLE, True),
    two_arms=("a" * 4_000 + "b" * 6_000, True),
    too_little=(WHOLE[1:], False),
    too_much=(WHOLE + "a", False),
    no_letter=(WHOLE[1:] + "A", False),
    newline=(WHOLE[1:] + "\n", False),
    nothing=("", False),
)
def test_shares_make_the_whole(buckets, is_good):
    assert passes(a_row(buckets=buckets)) is is_good


@pytest.mark.parametrize(
    ("status", "from_at", "to_at", "is_good"),
    [
        (Status.WAITING, None, None, True),
        (Status.WAITING, NOW, None, False),
        (Status.CURRENT, NOW, None, True),
        (Status.CURRENT, None, None, False),
        (Status.CURRENT, NOW, NOW, False),
        (Status.PAST, NOW, NOW, True),
        (Status.PAST, NOW, None, False),
        (Status.PAST, NOW, NOW - timedelta(seconds=1), False),
        (Status.EXPIRED, None, NOW, True),
        (Status.EXPIRED, NOW, NOW, False),
        ("other", None, None, False),
    ],
)
def test_interval_fits_status(status, from_at, to_at, is_good):
    assert passes(a_row(status=status, from_at=from_at, to_at=to_at)) is is_good


def test_one_current_and_one_waiting_split_per_model():
    model = a_live_model(100)

    assert not passes(a_row(model, number=2, status=Status.CURRENT, from_at=NOW))
    assert passes(a_row(model, number=2))
    assert not passes(a_row(model, number=3))


def test_a_number_once_per_model():
    model = a_model()

    assert passes(a_row(model, number=1))
    assert not passes(a_row(model, number=1, status=Status.PAST, from_at=NOW, to_at=NOW))
    assert passes(a_row(model, number=2, status=Status.PAST, from_at=NOW, to_at=NOW))


@pytest.mark.parametrize(
    ("letter", "mirrored", "is_good"),
    [
        ("c", None, True),
        ("", 1, True),
        ("", 10_000, True),
        ("", 10_001, False),
        ("", 0, False),
        ("", None, False),
        ("c", 5, False),
        ("C", None, False),
    ],
)
def test_an_arm_answers_or_shadows(letter, mirrored, is_good):
    model = a_live_model(90, 10)
    arm = Arm(split=model.splits.get(), version=a_version(model), letter=letter, mirrored=mirrored)

    assert passes(arm) is is_good


def test_a_version_and_a_letter_stand_once_on_a_split():
    model = a_live_model(100)
    split, version = model.splits.get(), model.versions.get()
    other = a_version(model)

    assert not passes(Arm(split=split, version=version, letter="b"))
    assert not passes(Arm(split=split, version=other, letter="a"))
    assert passes(Arm(split=split, version=other, letter="b"))


@cases(
    "values, is_good",
    open=({"to_at": None, "ended_by": ""}, True),
    ended=({"to_at": NOW, "ended_by": "me"}, True),
    ended_by_nobody=({"to_at": NOW, "ended_by": ""}, False),
    open_but_ended_by=({"to_at": None, "ended_by": "me"}, False),
    ends_before_it_begins=({"to_at": NOW - timedelta(seconds=1), "ended_by": "me"}, False),
    no_text=({"text": ""}, False),
)
def test_a_hold_is_ended_by_somebody(values, is_good):
    hold = Hold(model=a_model(), kind="stopped", **{"text": "x", "from_at": NOW, "begun_by": "me", **values})

    assert passes(hold) is is_good


def test_one_open_hold_per_kind():
    model = a_model()

    def hold(kind):
        return Hold(model=model, kind=kind, text="x", from_at=NOW, begun_by="me")

    assert passes(hold("stopped"))
    assert not passes(hold("stopped"))
    assert passes(hold("frozen"))
