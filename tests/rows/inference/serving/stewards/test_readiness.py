"""When a split may become current: what the engines' rows say, and nothing else."""

import pytest
from django.conf import settings

from registry.catalogue.models import Model
from registry.record.models import Event
from registry.traffic.models import Split
from registry.traffic.readiness import ReadinessState, readiness_of, warm_among
from registry.traffic.selectors import waiting_for
from registry.traffic.services import freeze_model, roll_back, settle_waiting_splits
from tests.support.engines import an_engine, holding, silence, station_of
from tests.support.factories import a_model, a_split, a_version, an_actor, seconds

pytestmark = [pytest.mark.django_db, pytest.mark.both]


@pytest.fixture
def model():
    return a_model("fruit")


@pytest.fixture
def version(model):
    return a_version(model)


def settled(split) -> Split:
    settle_waiting_splits(by=an_actor())
    return Split.objects.get(pk=split.pk)


def test_without_engines_nothing_is_waited_for(model, version):
    assert a_split(model, 100).status == "current"


def test_a_split_waits_until_every_engine_is_warm_and_says_for_how_many(model, version):
    first, second = an_engine(), an_engine()
    split = a_split(model, 100)
    assert split.status == "waiting"
    assert waiting_for(split).sentence == "0 of 2 engines are warm"

    an_engine(version, station=station_of(first))
    assert settled(split).status == "waiting"
    assert waiting_for(split).sentence == "1 of 2 engines are warm"

    an_engine(version, station=station_of(second))
    assert settled(split).status == "current"


HELD = {
    "held": ({}, "current"),
    "somebody only asked for it": ({"use": "on_demand"}, "waiting"),
    "another revision of its settings": ({"serving": 99}, "waiting"),
    "on its way": ({"state": "loading"}, "waiting"),
    "kept from before": ({"use": "kept"}, "current"),
}


@pytest.mark.parametrize(("held", "status"), HELD.values(), ids=HELD)
def test_what_is_held_as_it_will_be_served_is_warm(model, version, held, status):
    an_engine(holding(version, **held))

    assert a_split(model, 100).status == status


ENGINES = {
    "loads on demand": ({"kind": "worker", "role": "on_demand", "pool": "infer"}, "current"),
    "hands on to workers": ({"kind": "web", "role": "front"}, "current"),
    "another pool": ({"kind": "worker", "pool": "other"}, "current"),
    "about to end": ({"kind": "web", "state": "draining"}, "current"),
    "of the Model's pool": ({"kind": "worker", "pool": "infer"}, "waiting"),
}


@pytest.mark.parametrize(("about", "status"), ENGINES.values(), ids=ENGINES)
def test_only_who_will_serve_it_is_waited_for(model, version, about, status):
    an_engine(**about)

    assert a_split(model, 100).status == status


def test_a_lost_engine_is_waited_for_no_longer(model, version):
    an_engine(version)
    gone = an_engine()
    split = a_split(model, 100)
    assert split.status == "waiting"

    silence(gone)

    assert settled(split).status == "current"


def test_a_version_that_an_engine_cannot_load_gives_the_split_up(model, version):
    first = a_split(model, 100)
    second = a_version(model)
    engine = an_engine(version)
    split = a_split(model, 100, versions=[second])

    refused = holding(second, state="failed", reason="Version 2 cannot be loaded: it needs 9 GiB of 2.")
    an_engine(version, refused, station=station_of(engine))
    ended = settled(split)

    assert ended.status == "expired"
    assert Split.objects.get(pk=first.pk).status == "current"
    told = Event.objects.get(kind="split_expired")
    assert "it needs 9 GiB of 2" in told.summary


def test_a_failure_from_before_the_split_is_about_another_try(model, version):
    an_engine(holding(version, state="failed", reason="It did not fit."), followed=0)
    split = a_split(model, 100)

    assert readiness_of(split).state is ReadinessState.WAIT


def test_a_split_that_waits_for_too_long_is_given_up(model, version):
    an_engine()
    split = a_split(model, 100)
    Split.objects.filter(pk=split.pk).update(created_at=split.created_at - seconds(settings.WARM_LIMIT_S + 1))

    assert settled(split).status == "expired"
    assert "0 of 1 engine is warm" in Event.objects.get(kind="split_expired").summary


def test_a_split_that_waits_for_a_frozen_model_says_so(model, version):
    engine = an_engine()
    split = a_split(model, 100)
    freeze_model(model=model, reason="audit", by=an_actor())
    an_engine(version, station=station_of(engine))

    assert settled(split).status == "waiting"
    assert waiting_for(Split.objects.get(pk=split.pk)).sentence == "the Model is frozen (audit)"


@pytest.mark.parametrize(("is_kept", "status"), [(True, "current"), (False, "waiting")], ids=["kept", "gone"])
def test_a_rollback_to_what_is_kept_is_current_at_once(model, version, is_kept, status):
    second = a_version(model)
    engine = an_engine(version, second)
    a_split(model, 100)
    a_split(model, 100, versions=[second])
    an_engine(second, *([holding(version, use="kept")] if is_kept else []), station=station_of(engine))

    assert roll_back(model=Model.objects.get(pk=model.pk), reason="bad", by=an_actor()).status == status


def test_only_what_every_engine_holds_is_warm(model, version):
    others = [a_version(model) for _ in range(3)]
    an_engine(version, others[0], holding(others[1], use="kept"))
    an_engine(holding(version, use="kept"), holding(others[0], state="loading"), others[1])
    every = [version.pk, *(other.pk for other in others)]

    assert warm_among(model, every) == {version.pk, others[1].pk}


def test_without_engines_nothing_has_to_be_loaded(model, version):
    assert warm_among(model, [version.pk]) == {version.pk}


def test_a_split_that_cannot_be_judged_keeps_no_other_waiting(monkeypatch):
    models = [a_model() for _ in range(3)]
    versions = [a_version(model) for model in models]
    engine = an_engine()
    splits = [a_split(model, 100) for model in models]
    assert {split.status for split in splits} == {"waiting"}
    an_engine(*versions, station=station_of(engine))

    def odd_for_one(split):
        if split.pk == splits[0].pk:
            raise KeyError("odd")
        return readiness_of(split)

    monkeypatch.setattr("registry.traffic.services.splits.readiness_of", odd_for_one)
    with pytest.raises(KeyError):
        settle_waiting_splits(by=an_actor())

    statuses = [Split.objects.get(pk=split.pk).status for split in splits]
    assert statuses == ["waiting", "current", "current"]
