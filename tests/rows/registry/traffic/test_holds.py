import pytest

from registry.access.policies import Right
from registry.errors import Conflict, Invalid, ModelFrozen, NotAllowed
from registry.record.models import AuditRecord, Event
from registry.traffic.models import Hold
from registry.traffic.selectors import open_holds
from registry.traffic.services import freeze_model, roll_back, start_model, stop_model, unfreeze_model
from tests.support.factories import a_live_model, a_model, a_split, an_actor

pytestmark = pytest.mark.django_db


@pytest.fixture
def model():
    return a_live_model(100)


def test_stopping_keeps_the_operators_text_and_tells_people(model):
    hold = stop_model(model=model, text="wrong prices since 14:00", by=an_actor())

    assert open_holds(model) == {"stopped": "wrong prices since 14:00"}
    assert (hold.begun_by, hold.to_at) == ("tester", None)
    assert AuditRecord.objects.first().action == "stop_model"
    assert Event.objects.order_by("-id").first().kind == "model_stopped"


def test_a_split_of_a_stopped_model_is_not_told_as_answering(model):
    stop_model(model=model, text="wrong prices", by=an_actor())

    a_split(model, 100)

    told = Event.objects.filter(kind="split_changed").order_by("-id").first().summary
    assert told == f"{model.slug} is stopped; once it is started, it will answer with version 1 100 %."


def test_of_one_that_runs_it_is(model):
    """The control."""
    a_split(model, 100)

    told = Event.objects.filter(kind="split_changed").order_by("-id").first().summary
    assert told == f"{model.slug} now answers with version 1 100 %."


def test_stopping_again_replaces_the_text_without_a_gap(model):
    first = stop_model(model=model, text="one", by=an_actor())

    second = stop_model(model=model, text="two", by=an_actor())

    first.refresh_from_db()
    assert (first.to_at, first.ended_by) == (second.from_at, "tester")
    assert open_holds(model) == {"stopped": "two"}


def test_starting_ends_the_stop_and_keeps_its_row(model):
    stop_model(model=model, text="one", by=an_actor())

    hold = start_model(model=model, reason="fixed", by=an_actor())

    assert hold.to_at is not None
    assert open_holds(model) == {}
    assert Hold.objects.count() == 1


@pytest.mark.parametrize("verb", [start_model, unfreeze_model])
def test_ending_what_is_not_there_is_refused(verb):
    with pytest.raises(Conflict, match="is not"):
        verb(model=a_model(), reason="x", by=an_actor())


def test_a_frozen_model_is_not_started(model):
    stop_model(model=model, text="x", by=an_actor())
    freeze_model(model=model, reason="wait for the audit", by=an_actor())

    with pytest.raises(ModelFrozen, match="wait for the audit"):
        start_model(model=model, reason="x", by=an_actor())

    unfreeze_model(model=model, reason="done", by=an_actor())
    start_model(model=model, reason="x", by=an_actor())
    assert open_holds(model) == {}


def test_a_stop_needs_a_text():
    with pytest.raises(Invalid):
        stop_model(model=a_model(), text=" ", by=an_actor())


@pytest.mark.parametrize(
    ("verb", "words", "right"),
    [
        (stop_model, {"text": "x"}, Right.STOP),
        (start_model, {"reason": "x"}, Right.SET_SPLIT),
        (freeze_model, {"reason": "x"}, Right.FREEZE),
        (unfreeze_model, {"reason": "x"}, Right.FREEZE),
        (roll_back, {"reason": "x"}, Right.ROLL_BACK),
    ],
)
def test_each_verb_asks_for_its_right(verb, words, right):
    model = a_model()
    others = [other for other in Right if other is not right]

    with pytest.raises(NotAllowed):
        verb(model=model, **words, by=an_actor(*others))
    assert not Hold.objects.exists()
