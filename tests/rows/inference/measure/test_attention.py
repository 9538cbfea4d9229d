"""Jumps of the error rate on the home page: how much, since when, and what changed just before."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from inference.measure import attention, selectors
from inference.measure.attention import Rate, errors_and_turned_away, find_jump
from inference.measure.models import ArmMinute
from registry.access.policies import Right
from registry.kit.admin.attention import Severity, attention_for
from registry.traffic.models import Split
from registry.traffic.services import stop_model
from tests.support.factories import a_live_model, a_split, an_actor

pytestmark = pytest.mark.django_db
NOW = timezone.now().replace(minute=30, second=30, microsecond=0)
END = NOW.replace(second=0)
START = END - timedelta(minutes=65)


@pytest.fixture(autouse=True)
def half_past(monkeypatch):
    monkeypatch.setattr(selectors.timezone, "now", lambda: NOW)


@pytest.fixture
def model():
    """Its first split is older than the hour that is looked at."""
    model = a_live_model(100, slug="fruit")
    model.splits.update(from_at=START)
    return model


def counted(model, *, ago, ok=0, errors=0, version=1, process="one"):
    version_id = model.versions.get(number=version).pk if version else 0
    ArmMinute.objects.create(
        minute=END - timedelta(minutes=ago), process=process, model_id=model.pk, split=1, arm="a" if version else "",
        version_id=version_id, ok=ok, errors=errors, refused=0, seconds=0.0, buckets={},
        codes={"stopped" if not version else "run_failed": errors} if errors else {},
    )  # fmt: skip


def an_hour(model, *, ok=100, errors=0, bad=0, bad_errors=0):
    """An hour of requests; the last `bad` minutes have `bad_errors` instead."""
    for ago in range(1, 66):
        counted(model, ago=ago, ok=ok, errors=bad_errors if ago <= bad else errors)


class TestJump:
    def rates(self, *, errors=0, bad=0, bad_errors=0, requests=100):
        return {
            END - timedelta(minutes=ago): Rate(requests, bad_errors if ago <= bad else errors)
            for ago in range(1, 66)
        }

    def jump(self, **rates):
        return find_jump(self.rates(**rates), START, END)

    @pytest.mark.parametrize(
        ("rates", "is_one"),
        [
            ({}, False),
            ({"bad": 3, "bad_errors": 20}, True),
            ({"bad": 5, "bad_errors": 2}, True),
            ({"bad": 1, "bad_errors": 2}, False),
            ({"errors": 1, "bad": 5, "bad_errors": 2, "requests": 500}, False),
            ({"errors": 4}, False),
            ({"errors": 6}, True),
            ({"errors": 6, "bad": 5, "bad_errors": 0}, False),
        ],
        ids=[
            "no errors", "a jump", "2 % after none", "two errors only", "below 1 %", "4 % all along",
            "6 % all along", "over",
        ],
    )  # fmt: skip
    def test_it_is_well_above_the_rate_before_or_high(self, rates, is_one):
        assert (self.jump(**rates) is not None) is is_one

    @pytest.mark.parametrize(("recent_errors", "is_one"), [(3, False), (5, True)])
    def test_few_requests_with_a_few_more_errors_are_chance(self, recent_errors, is_one):
        """At night: 10 requests a minute, of which 2 % always fail."""
        rates = {
            END - timedelta(minutes=ago): Rate(10, ago <= recent_errors if ago <= 5 else not ago % 5)
            for ago in range(1, 66)
        }

        jump = find_jump(rates, START, END)

        assert (jump is not None) is is_one

    def test_it_began_with_the_first_bad_minute(self):
        jump = self.jump(bad=12, bad_errors=20)

        assert jump.began == END - timedelta(minutes=12)
        assert (jump.recent.share, jump.before.share) == (0.2, 0)
        assert not jump.lasts_all_along
        assert self.jump(errors=6).lasts_all_along

    def test_minutes_without_requests_do_not_end_it(self):
        rates = self.rates(bad=9, bad_errors=20)
        del rates[END - timedelta(minutes=4)]

        assert find_jump(rates, START, END).began == END - timedelta(minutes=9)


def test_a_jump_says_how_much_since_when_and_what_changed_before(model):
    an_hour(model, bad=3, bad_errors=25)
    split = a_split(model, 100)
    Split.objects.filter(pk=split.pk).update(from_at=END - timedelta(minutes=6))

    (item,) = errors_and_turned_away(an_actor())

    assert item.sentence == "fruit fails 13.0 % of its requests: 75 of 575 in the last 5 minutes, 0 % before."
    assert item.severity is Severity.CRITICAL
    assert item.since == END - timedelta(minutes=3)
    assert item.cause.title == "split 2 by tester 3 minutes before"
    assert item.cause.address == reverse("admin:registry_split_change", args=[split.pk])
    assert item.action.address == reverse("admin:registry_model_roll_back", args=[model.pk])


def test_a_split_long_before_or_after_is_not_the_cause(model):
    an_hour(model, bad=3, bad_errors=25)
    for minutes in (40, 1):
        split = a_split(model, 100)
        Split.objects.filter(pk=split.pk).update(from_at=END - timedelta(minutes=minutes))

    (item,) = errors_and_turned_away(an_actor())

    assert item.cause is None


def test_a_quiet_hour_takes_two_queries(model, django_assert_num_queries):
    an_hour(model)

    with django_assert_num_queries(2):
        assert errors_and_turned_away(an_actor()) == []


def test_models_out_of_reach_are_not_told_and_without_the_right_there_is_no_button(model):
    an_hour(model, bad=3, bad_errors=25)
    other = a_live_model(100)

    assert errors_and_turned_away(an_actor(models=frozenset({other.pk}))) == []
    (item,) = errors_and_turned_away(an_actor(Right.READ, models=frozenset({model.pk})))
    assert item.action is None


def test_one_request_that_was_turned_away_is_no_trouble(model):
    """As when a process has just restarted and is still loading the version."""
    an_hour(model)
    counted(model, ago=1, errors=1, version=0, process="two")

    assert errors_and_turned_away(an_actor()) == []


def test_what_a_stop_turned_away_is_told_on_the_line_of_the_stop(model):
    for ago in (1, 2):
        counted(model, ago=ago, errors=300, version=0)

    (item,) = errors_and_turned_away(an_actor())
    assert item.sentence == "fruit turned away 600 requests in the last hour: stopped."

    stop_model(model=model, text="wrong prices", by=an_actor())
    lines = [line for line in attention_for(an_actor()).lines if "fruit" in line.sentence]
    assert [line.sentence for line in lines] == ["fruit is stopped by tester: every request gets 503."]
    assert lines[0].item.notes == ("Message to callers: “wrong prices”", item.sentence)


def test_a_minute_is_read_once_and_late_counts_show(model, monkeypatch):
    an_hour(model, bad=3, bad_errors=25)
    (first,) = errors_and_turned_away(an_actor())

    with monkeypatch.context() as patch:
        patch.setattr(attention, "_troubled", lambda *_: pytest.fail("it was read again"))
        assert errors_and_turned_away(an_actor()) == [first]
    counted(model, ago=1, errors=100, process="late")

    assert errors_and_turned_away(an_actor())[0].sentence != first.sentence


def test_people_with_other_scopes_have_figures_of_their_own(model):
    an_hour(model, bad=3, bad_errors=25)

    assert errors_and_turned_away(an_actor())
    assert errors_and_turned_away(an_actor(models=frozenset())) == []
