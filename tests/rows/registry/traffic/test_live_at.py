import random
from datetime import timedelta

import pytest
from django.utils import timezone

from registry.catalogue.models import AliasMove
from registry.errors import Invalid
from registry.record.models import AuditRecord
from registry.traffic.models import Hold, Split
from registry.traffic.selectors import live_at
from registry.traffic.services import start_model, stop_model
from tests.support.factories import a_live_model, a_split, an_actor

pytestmark = pytest.mark.django_db
NOTHING = {"split": None, "stopped": None, "champion": None}


def spread(model, begin) -> None:
    """Move the history apart to random seconds of a month: everything happened in milliseconds here."""
    dice = random.Random(4)
    rows = [*model.splits.all(), *model.holds.all(), *AliasMove.objects.filter(alias__model=model)]
    moments = sorted({at for row in rows for at in (row.from_at, row.to_at) if at is not None})
    seconds = sorted(dice.sample(range(1, 30 * 86_400), len(moments)))
    moved = {None: None} | {
        old: begin + timedelta(seconds=new) for old, new in zip(moments, seconds, strict=True)
    }
    for row in rows:
        type(row).objects.filter(pk=row.pk).update(from_at=moved[row.from_at], to_at=moved[row.to_at])


def replay(model):
    """Play every beginning and end in their order; return (moment, what was live from then on)."""
    moves = AliasMove.objects.filter(alias__model=model).select_related("version")
    intervals = [
        *((split, "split", split.number) for split in model.splits.all()),
        *((hold, "stopped", hold.text) for hold in model.holds.all()),
        *((move, "champion", move.version.number) for move in moves),
    ]
    steps = [(row.from_at, 1, what, value) for row, what, value in intervals]
    steps += [(row.to_at, 0, what, None) for row, what, _ in intervals if row.to_at is not None]
    state, states = NOTHING, []
    for at, _, what, value in sorted(steps, key=lambda step: step[:2]):
        state = {**state, what: value}
        states.append((at, state))
    return states


@pytest.mark.both
@pytest.mark.parametrize("count", [200, pytest.param(10_000, marks=pytest.mark.long)])
def test_live_at_equals_a_replay_of_the_history_at_random_times(count):
    model = a_live_model(60, 40)
    dice = random.Random(7)
    for _ in range(20):
        share = dice.randrange(1, 100)
        a_split(model, share, 100 - share)
        if dice.random() < 0.3:
            stop_model(model=model, text=f"stop {share}", by=an_actor())
            start_model(model=model, reason="go", by=an_actor())
    begin = timezone.now() - timedelta(days=31)
    spread(model, begin)
    states = [(begin, NOTHING), *replay(model)]
    exact = [at for at, _ in states]
    times = [begin + timedelta(seconds=dice.randrange(31 * 86_400 - 60)) for _ in range(count - len(exact))]

    for at in [*exact, *times]:
        live = live_at(model, at)
        number = live.split.number if live.split else None
        told = {"split": number, "stopped": live.stopped, "champion": live.aliases.get("champion")}
        assert told == next(state for moment, state in reversed(states) if moment <= at)


def test_the_future_is_not_told():
    with pytest.raises(Invalid, match="in the future"):
        live_at(a_live_model(100), timezone.now() + timedelta(seconds=5))


def test_the_record_and_the_intervals_tell_the_same_splits():
    model = a_live_model(90, 10)
    a_split(model, 50, 50)

    recorded = [r.after["split"] for r in AuditRecord.objects.filter(action="set_split").order_by("seq")]

    assert recorded == list(Split.objects.order_by("from_at").values_list("number", flat=True))
    assert not Hold.objects.exists()
