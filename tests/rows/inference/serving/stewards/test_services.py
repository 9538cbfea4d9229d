import os

import pytest

from inference.serving.models import EngineReport, HeldVersion
from inference.serving.stewards import services
from inference.serving.stewards.process import has_ended, this_process
from registry.record.models import Event
from tests.support.engines import (
    CPU,
    CUDA,
    a_station,
    an_engine,
    figures,
    holding,
    silence,
    station_of,
    warm_in,
)
from tests.support.factories import a_version

pytestmark = [pytest.mark.django_db, pytest.mark.both]


def told(kind="worker_lost") -> list[str]:
    return list(Event.objects.filter(kind=kind).order_by("pk").values_list("summary", flat=True))


def test_a_report_says_what_is_held_and_the_next_one_what_has_changed():
    first, second = a_version(), a_version()
    engine = an_engine(first)
    since = engine.held.get().since

    an_engine(first, holding(second, state="loading"), station=station_of(engine))

    assert warm_in(engine) == {first.number}
    assert {row.version_id: row.state for row in engine.held.all()} == {
        first.pk: "warm",
        second.pk: "loading",
    }
    assert engine.held.get(version=first).since == since


def test_what_is_let_go_of_is_no_longer_told():
    version = a_version()
    engine = an_engine(version)

    an_engine(station=station_of(engine))

    assert not HeldVersion.objects.exists()


def test_a_beat_without_changes_is_one_update_and_one_look(django_assert_num_queries):
    version = a_version()
    station = a_station()
    held = [holding(version)]
    services.report(station, figures(), held)
    same = figures()

    with django_assert_num_queries(4):  # the two, in a transaction within the test's own: two savepoints
        services.report(station, same, held)


def test_who_signs_off_is_lost_by_nobody():
    engine = an_engine(a_version())

    services.sign_off(engine.pk)
    services.sweep_engines()

    assert not EngineReport.objects.exists()
    assert told() == []


def test_who_falls_silent_is_told_of_once_and_forgotten_later():
    engine = an_engine(kind="worker", pool="infer")
    silence(engine)

    services.sweep_engines()
    services.sweep_engines()

    assert told() == [f"The worker {engine.pid} on here stopped reporting."]
    EngineReport.objects.update(lost_at=engine.seen_at.replace(year=2020))
    services.sweep_engines()
    assert not EngineReport.objects.exists()


def test_who_reports_is_not_lost():
    """The control of the test above."""
    an_engine()

    services.sweep_engines()

    assert told() == []


def test_who_was_only_slow_is_back_with_all_it_holds():
    version = a_version()
    engine = an_engine(version)
    silence(engine)
    services.sweep_engines()

    again = an_engine(version, station=station_of(engine))

    assert (again.lost_at, warm_in(again)) == (None, {version.number})
    assert EngineReport.objects.alive().count() == 1


def test_that_it_is_back_is_told_of_once():
    engine = an_engine(kind="worker", pool="infer")
    silence(engine)
    services.sweep_engines()

    an_engine(station=station_of(engine))
    an_engine(station=station_of(engine))

    assert told("worker_back") == [f"The worker {engine.pid} on here is back."]


def lost_worker(**about):
    about = {"kind": "worker", "pool": "infer", **about}
    silence(engine := an_engine(**about))
    services.announce_lost()
    return engine


def test_another_process_is_back_in_the_place_of_a_lost_one():
    lost = lost_worker()
    successor = an_engine(kind="worker", pool="infer")

    services.announce_lost()
    services.announce_lost()

    assert told("worker_back") == [f"The worker {lost.pid} on here is back, as process {successor.pid}."]
    assert list(EngineReport.objects.all()) == [successor]


def test_it_is_told_too_when_the_successor_was_there_before_the_loss_was_noticed():
    """A container is started again in a second or two; that its old process is silent shows after fifteen."""
    old = an_engine(kind="worker", pool="infer")
    silence(old)
    an_engine(kind="worker", pool="infer")

    services.announce_lost()

    assert len(told()) == len(told("worker_back")) == 1


@pytest.mark.parametrize(
    "other",
    [{"host": "there"}, {"pool": "second"}, {"kind": "web", "pool": ""}],
    ids=["host", "pool", "kind"],
)
def test_another_place_is_not_that_of_the_lost_one(other):
    lost_worker()
    an_engine(**{"kind": "worker", "pool": "infer", **other})

    services.announce_lost()

    assert told("worker_back") == []


def test_who_was_there_all_along_takes_no_place():
    an_engine(kind="worker", pool="infer")
    silence(other := an_engine(kind="worker", pool="infer"), seconds=0)
    EngineReport.objects.filter(pk=other.pk).update(lost_at=other.seen_at)

    services.announce_lost()

    assert told("worker_back") == []


def test_one_process_takes_the_place_of_one():
    lost_worker()
    lost_worker()
    an_engine(kind="worker", pool="infer")

    services.announce_lost()

    assert len(told()) == 2
    assert len(told("worker_back")) == 1
    assert EngineReport.objects.exclude(lost_at=None).count() == 1


def test_who_was_forgotten_meanwhile_is_written_anew():
    version = a_version()
    engine = an_engine(version)
    services.sign_off(engine.pk)

    again = an_engine(version, station=station_of(engine))

    assert warm_in(again) == {version.number}


def test_a_dead_process_of_this_host_is_missed_at_once_and_a_living_one_is_not():
    me = this_process()
    dead = an_engine(host=me.host, place=me.place, pid=2**22 - 1, pid_started=1)
    parent = an_engine(host=me.host, place=me.place, pid=os.getpid(), pid_started=me.pid_started)
    elsewhere = an_engine(host="there", place="another/boot", pid=2**22 - 1)

    services.announce_ended(this_process())
    services.announce_ended(this_process())

    assert set(EngineReport.objects.alive()) == {parent, elsewhere}
    assert told() == [f"The web process {dead.pid} on {me.host} ended without signing off."]


@pytest.mark.parametrize(
    ("place", "started", "gone"),
    [
        ("mine", "mine", False),
        ("mine", "another", True),
        ("another", "another", False),
        ("", "another", False),
    ],
    ids=["runs", "its number was used again", "another boot", "nobody can tell"],
)
def test_a_process_is_known_by_its_beginning(place, started, gone):
    me = this_process()
    where = {"mine": me.place, "another": "x/y", "": ""}[place]
    began = me.pid_started if started == "mine" else me.pid_started + 1

    assert has_ended(where, me.pid, began) is gone


def test_a_version_that_fell_back_to_the_cpu_is_told_of_once():
    version = a_version()
    engine = an_engine(holding(version, asked=CUDA, got=CPU))

    an_engine(holding(version, asked=CUDA, got=CPU), station=station_of(engine))

    (said,) = told("provider_fell_back")
    assert "should run on CUDA but runs on CPU" in said


def test_a_version_that_got_what_it_asked_for_is_no_event():
    an_engine(holding(a_version(), asked=CUDA, got=CUDA))

    assert told("provider_fell_back") == []


def test_one_that_cannot_be_told_of_keeps_no_other_from_it(monkeypatch):
    engines = [an_engine() for _ in range(3)]
    for engine in engines:
        silence(engine)

    def odd_for_one(kind, *, subject, **more):
        if subject.id == engines[0].pk:
            raise KeyError("odd")
        emit(kind, subject=subject, **more)

    emit = services.emit
    monkeypatch.setattr(services, "emit", odd_for_one)
    with pytest.raises(KeyError):
        services.announce_lost()

    assert len(told()) == 2
    assert EngineReport.objects.get(lost_at=None) == engines[0]
