"""The last 24 hours by the hour: finished hours are read once, the newest every time."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from inference.measure.hours import HourRate, Hours
from inference.measure.models import ArmMinute

HOUR = timedelta(hours=1)
END = datetime(2026, 3, 14, 15, 30, tzinfo=UTC)
pytestmark = [pytest.mark.django_db, pytest.mark.both]


def counted(model_id, *, at, ok=0, errors=0, refused=0):
    ArmMinute.objects.create(
        minute=at, process="one", model_id=model_id, split=1, arm="a", version_id=1, ok=ok, errors=errors,
        refused=refused, seconds=0.0, buckets={},
    )  # fmt: skip


def test_each_hour_has_its_rate_and_the_last_one_of_the_part_that_has_passed():
    counted(1, at=END - 23.4 * HOUR, ok=3600)
    counted(1, at=END - timedelta(minutes=31), ok=1800, errors=900, refused=900)
    counted(1, at=END - timedelta(minutes=1), ok=900, errors=900)
    counted(1, at=END - 24 * HOUR, ok=10**6)  # before the first hour
    counted(1, at=END, ok=10**6)  # not finished
    counted(2, at=END - HOUR, ok=360)

    rates = Hours().rates([1, 2, 3], END)

    assert rates[1] == [
        HourRate(1.0, 0.0), *[HourRate(0.0, 0.0)] * 21, HourRate(1.0, 0.25), HourRate(1.0, 0.5),
    ]  # fmt: skip
    assert rates[2][-2] == HourRate(0.1, 0.0)
    assert rates[3] == [HourRate(0.0, 0.0)] * 24


def test_one_query_reads_all_models_and_finished_hours_are_not_read_again():
    hours = Hours()
    for model_id in range(1, 6):
        counted(model_id, at=END - 5 * HOUR, ok=3600)
    first = hours.rates([1, 2, 3], END)
    ArmMinute.objects.filter(model_id=1).delete()
    counted(2, at=END - timedelta(minutes=10), ok=1800)

    with CaptureQueriesContext(connection) as asked:
        second = hours.rates([1, 2, 3, 4], END)

    assert len(asked) == 1
    assert second[1] == first[1]
    assert second[2] == [*first[2][:-1], HourRate(1.0, 0.0)]
    assert second[3] == second[4] == first[3]


def test_an_hour_that_has_just_ended_is_read_again():
    """A process may write its counts late."""
    hours, end = Hours(), END.replace(minute=10)
    hours.rates([1], end)
    counted(1, at=end - timedelta(minutes=11), ok=3600)

    assert hours.rates([1], end)[1][-2] == HourRate(1.0, 0.0)


def test_what_is_known_moves_on_with_the_time():
    hours = Hours()
    counted(1, at=END - 23 * HOUR, ok=3600)
    counted(1, at=END - 2 * HOUR, ok=7200)

    assert [index for index, rate in enumerate(hours.rates([1], END)[1]) if rate.requests] == [0, 21]
    assert [index for index, rate in enumerate(hours.rates([1], END + 2 * HOUR)[1]) if rate.requests] == [19]
    assert [index for index, rate in enumerate(hours.rates([1], END + 48 * HOUR)[1]) if rate.requests] == []
    assert [index for index, rate in enumerate(hours.rates([1], END)[1]) if rate.requests] == [0, 21]
