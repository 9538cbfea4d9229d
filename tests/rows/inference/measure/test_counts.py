import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from django.db import DatabaseError

from inference.measure import counts, services
from inference.measure.counts import ArmKey, Windows
from inference.measure.models import ArmMinute
from inference.measure.selectors import arms_between
from inference.measure.services import flush

KEY = ArmKey(model_id=1, split=2, arm="A", version_id=3)
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def clock(monkeypatch):
    now = [NOON.timestamp()]
    monkeypatch.setattr(counts.time, "time", lambda: now[0])
    return now


def _hour():
    return arms_between(model_id=1, start=NOON - timedelta(hours=1), end=NOON + timedelta(hours=1))


def test_running_minute_stays_open(clock):
    counted = Windows()
    counted.count(KEY, seconds=0.001)

    assert counted.take() == []
    clock[0] += 60
    assert [(key, window.ok) for key, window in counted.take()] == [(KEY, 1)]
    assert counted.take() == []


@pytest.mark.both
@pytest.mark.django_db
def test_processes_and_minutes_add_up_without_loss(clock):
    processes = [Windows() for _ in range(3)]
    for process in processes:
        for _ in range(2):
            for milliseconds in range(1, 101):
                process.count(KEY, seconds=milliseconds / 1000)
            process.count_turned_away(KEY, "overloaded", is_callers=False)
            process.count_turned_away(KEY, "invalid_input", is_callers=True)
            clock[0] += 60
        flush(process, all_of_it=True)

    (arm,) = _hour()
    assert (arm.ok, arm.errors, arm.refused) == (600, 6, 6)
    assert arm.codes == {"overloaded": 6, "invalid_input": 6}
    assert sum(arm.buckets.values()) == 600
    assert arm.error_rate == 6 / 606
    assert arm.latency_s(0.5) == pytest.approx(0.050, rel=0.3)
    assert arm.latency_s(0.99) == pytest.approx(0.099, rel=0.3)


@pytest.mark.both
@pytest.mark.django_db
def test_what_cannot_be_written_is_kept(clock, monkeypatch):
    counted = Windows()
    counted.count(KEY, seconds=0.001)

    def broken(*_):
        raise DatabaseError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(services.ArmMinute.objects, "bulk_create", broken)
        with pytest.raises(DatabaseError):
            flush(counted, all_of_it=True)
    assert flush(counted, all_of_it=True) == 1
    assert ArmMinute.objects.get().ok == 1


@pytest.mark.both
@pytest.mark.django_db
def test_inserts_are_at_most_200_rows(clock, monkeypatch):
    counted = Windows()
    for version in range(450):
        counted.count(KEY._replace(version_id=version), seconds=0.001)
    sizes, real = [], ArmMinute.objects.bulk_create
    monkeypatch.setattr(
        services.ArmMinute.objects,
        "bulk_create",
        lambda rows: sizes.append(len(made := list(rows))) or real(made),
    )

    assert flush(counted, all_of_it=True) == 450
    assert sizes == [200, 200, 50]


def test_no_count_is_lost_between_threads(clock):
    counted, together = Windows(), threading.Barrier(8)

    def count(_):
        together.wait()
        for _ in range(2_000):
            counted.count(KEY, seconds=0.001)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(count, range(8)))

    assert sum(window.ok for _, window in counted.take(all_of_it=True)) == 16_000


@pytest.mark.both
@pytest.mark.django_db
def test_a_window_that_can_be_no_row_is_dropped_alone(clock):
    counted = Windows()
    for version in (1, None, 3):
        counted.count(KEY._replace(version_id=version), seconds=0.001)

    flush(counted, all_of_it=True)

    assert sorted(ArmMinute.objects.values_list("version_id", "ok")) == [(1, 1), (3, 1)]
    assert flush(counted, all_of_it=True) == 0
