"""Rows are replaced by their sums without changing any read."""

from datetime import timedelta

import pytest
from django.db.models import QuerySet
from django.utils import timezone

from inference.measure import compaction
from inference.measure.compaction import HOURS_KEPT, MINUTES_KEPT, merge_measurements, start_of_hour
from inference.measure.models import ArmMinute
from inference.measure.selectors import arms_between, models_between, series_between

pytestmark = [pytest.mark.django_db, pytest.mark.both]
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
NOW = timezone.now().replace(second=0, microsecond=0)


@pytest.fixture(autouse=True)
def clock_that_stands(monkeypatch):
    """Other tests may take minutes between this module's import and its first test."""
    monkeypatch.setattr("django.utils.timezone.now", lambda: NOW)


def _rows(*, minutes, first, processes=3, models=(1, 2), arms=(("a", 10), ("b", 11))):
    made = ArmMinute.objects.bulk_create(
        ArmMinute(
            minute=first + number * MINUTE, process=f"host:{process}", model_id=model, split=3, arm=arm,
            version_id=version, ok=number + process, errors=process, refused=1, seconds=0.25,
            buckets={str(20 + number % 7): number, str(40): process},
        )
        for number in range(minutes) for process in range(1, processes + 1) for model in models for arm, version in arms
    )  # fmt: skip
    return len(made)


def _hourly(start, end):
    series = series_between(model_id=1, start=start, end=end, step=HOUR)
    return series.steps, arms_between(model_id=2, start=start, end=end)


def test_processes_of_a_minute_become_one_row_and_reads_stay():
    first = NOW - timedelta(minutes=130)
    _rows(minutes=120, first=first)
    before = series_between(model_id=1, start=first, end=NOW, step=MINUTE)

    merge_measurements()

    assert ArmMinute.objects.count() == 120 * 2 * 2
    assert not ArmMinute.objects.filter(process__gt="").exists()
    assert series_between(model_id=1, start=first, end=NOW, step=MINUTE) == before


def test_old_minutes_become_hours_and_reads_by_hour_stay():
    first = start_of_hour(NOW - MINUTES_KEPT) - 2 * HOUR
    _rows(minutes=3 * 60, first=first, processes=2)
    before = _hourly(first, first + 3 * HOUR)

    merge_measurements()

    assert ArmMinute.objects.filter(minutes=60).count() == 2 * 2 * 2
    assert ArmMinute.objects.filter(minutes=1).count() == 60 * 2 * 2
    assert _hourly(first, first + 3 * HOUR) == before


def test_a_second_run_changes_nothing_and_a_late_row_still_counts():
    first = start_of_hour(NOW - MINUTES_KEPT) - HOUR
    _rows(minutes=60, first=first)
    merge_measurements()
    rows = set(ArmMinute.objects.values_list("pk", flat=True))

    merge_measurements()
    assert set(ArmMinute.objects.values_list("pk", flat=True)) == rows
    (before,) = models_between(model_ids=[1], start=first, end=first + HOUR, step=HOUR)[1]
    _rows(minutes=1, first=first + 5 * MINUTE, processes=1, models=(1,))
    merge_measurements()

    (after,) = models_between(model_ids=[1], start=first, end=first + HOUR, step=HOUR)[1]
    assert after.ok == before.ok + 2
    assert not ArmMinute.objects.filter(process__gt="").exists()


def test_what_may_still_grow_is_left_alone():
    rows = _rows(minutes=1, first=NOW - MINUTE)

    merge_measurements()

    assert ArmMinute.objects.filter(process__gt="").count() == rows


def test_rows_older_than_92_days_are_deleted():
    _rows(minutes=60, first=start_of_hour(NOW - HOURS_KEPT) - 2 * HOUR)
    _rows(minutes=60, first=start_of_hour(NOW - HOURS_KEPT) + 2 * HOUR)

    merge_measurements()

    assert {row.minute for row in ArmMinute.objects.all()} == {start_of_hour(NOW - HOURS_KEPT) + 2 * HOUR}


@pytest.mark.parametrize("is_guarded", [True, False], ids=["as it is", "blind to what was deleted"])
def test_rows_that_another_run_took_are_not_counted_again(monkeypatch, is_guarded):
    """The other run comes between this one's look and its writes."""
    first = NOW - timedelta(minutes=10)
    count = _rows(minutes=1, first=first)
    before = models_between(model_ids=[1], start=first, end=NOW, step=HOUR)
    real, runs = compaction._sums, []

    def with_another_run_between(rows, minutes):
        sums = list(real(rows, minutes))
        if not runs:
            runs.append(1)
            merge_measurements()
        return sums

    if not is_guarded:
        delete = QuerySet.delete
        monkeypatch.setattr(QuerySet, "delete", lambda rows: (delete(rows), (count, {}))[1])
    monkeypatch.setattr(compaction, "_sums", with_another_run_between)
    merge_measurements()

    assert (models_between(model_ids=[1], start=first, end=NOW, step=HOUR) == before) is is_guarded
