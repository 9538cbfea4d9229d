"""How much a person is exposed to on a day: never more than their budget, whatever they do."""

import random
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from moderation.cases.models import SEVERE, Case
from moderation.cases.transitions import CaseStatus
from moderation.errors import BudgetSpent
from moderation.review import taking
from moderation.review.budgets import reviewer_of
from moderation.review.models import Exposure, Verdict
from moderation.review.taking import LEASE, escalate, hand_over, hold, keep, put_back, skip, take, take_next
from moderation.review.verdicts import UNDO_FOR, give_verdict, undo_verdict
from moderation.rights import ModerationRole
from registry.errors import Conflict, Invalid, NotAllowed
from tests.support.cases import a_case, a_guideline, a_reviewer, person_behind, the_action
from tests.support.decision_rows import a_list_policy

pytestmark = [pytest.mark.django_db, pytest.mark.both]
MORNING = datetime(2031, 5, 6, 8, tzinfo=UTC)

# What people do, and how often.
_WITHOUT = {"next": 8, "take": 2, "undo": 2}
_WITH_A_CASE = {
    "verdict": 40, "keep": 25, "take": 4, "undo": 4, "next": 4, "put back": 3, "skip": 3, "hold": 2, "hand over": 3,
    "escalate": 2,
}  # fmt: skip


class Clock:
    def __init__(self, now):
        self.now = now

    def go_on(self, seconds):
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock(monkeypatch):
    made = Clock(MORNING)
    monkeypatch.setattr(timezone, "now", lambda: made.now)
    return made


@pytest.fixture
def policy():
    return a_list_policy()


def with_budget(by, *, minutes=300, severe=60):
    reviewer = reviewer_of(by.user_id)
    reviewer.minutes_a_day, reviewer.severe_a_day = minutes, severe
    reviewer.save()
    return by


def many_cases(policy, count, **columns):
    """Rows alone: what is in them does not matter here."""
    first = a_case(policy)
    rows = [
        Case(
            policy=policy, source=first.source, harm=(number % 4) + 1, weight=1.0, likeness=bytes(32),
            opened_s=first.opened_s, opened_at=first.opened_at, due_at=first.due_at + timedelta(days=9_000), **columns,
        )
        for number in range(count)
    ]  # fmt: skip
    first.items.all().delete()
    first.delete()
    return Case.objects.bulk_create(rows)


class Watch:
    """What people could really see, noted apart from the product: from taking a case until it is gone, or the lease ends."""

    def __init__(self):
        self.seconds, self.severe = defaultdict(float), Counter()
        self._began, self._until = {}, {}

    def sees(self, by, case, now):
        self.gone(by, now)
        self._began[by.user_id], self._until[by.user_id] = now, case.claimed_until
        if case.harm >= SEVERE:
            self.severe[by.user_id, now.date()] += 1

    def keeps(self, by, until):
        if by.user_id in self._until:
            self._until[by.user_id] = until

    def gone(self, by, now):
        began, until = self._began.pop(by.user_id, None), self._until.pop(by.user_id, None)
        if began is None:
            return
        end = min(now, until)
        while began < end:
            midnight = datetime.combine(began.date() + timedelta(days=1), datetime.min.time(), UTC)
            part = min(end, midnight)
            self.seconds[by.user_id, began.date()] += (part - began).total_seconds()
            began = part


def test_no_budget_is_broken_in_1000_cases(policy, clock):
    """People with random budgets take, keep, pass on, decide and undo at random moments of three days, around midnight too."""
    dice = random.Random(1_000)
    many_cases(policy, 1_000)
    people = [
        with_budget(
            a_reviewer(*roles), minutes=dice.choice([0, 1, 3, 20, 60, 300]), severe=dice.choice([0, 1, 5, 30])
        )
        for roles in [(ModerationRole.REVIEWER,)] * 5 + [(ModerationRole.LEAD,)]
    ]
    budgets = {by.user_id: reviewer_of(by.user_id) for by in people}
    allow, watch, spent = the_action("allow"), Watch(), Counter()
    last, done = {}, Counter()

    def look_at(by, case):
        watch.sees(by, case, clock.now)

    def take_any(by):
        case = dice.choice(list(Case.objects.filter(status=CaseStatus.WAITING).order_by("pk")[:30]))
        look_at(by, take(case=case, by=by))

    def undo(by):
        case = undo_verdict(verdict=last.pop(by.user_id), by=by)
        if case.claimed_by_id == by.user_id:
            look_at(by, case)

    def pass_on(by, case, name):
        match name:
            case "verdict":
                last[by.user_id] = give_verdict(case=case, action=allow, by=by)
            case "put back":
                put_back(case=case, by=by)
            case "skip":
                skip(case=case, by=by)
            case "hold":
                hold(case=case, until=clock.now + timedelta(hours=1), note="Later.", by=by)
            case "hand over":
                hand_over(case=case, to=person_behind(dice.choice(people)), note="Yours.", by=by)
            case "escalate":
                escalate(case=case, note="Hard.", by=by)
        watch.gone(by, clock.now)

    def move(by):
        case = Case.objects.filter(claimed_by=by.user_id, claimed_until__gt=clock.now).first()
        name = dice.choices(*zip(*(_WITH_A_CASE if case else _WITHOUT).items(), strict=True))[0]
        if name == "keep":
            watch.keeps(by, keep(case=case, by=by))
        elif name == "take":
            take_any(by)
        elif name == "next":
            if (found := take_next(queue=None, by=by)) is not None and found != case:
                look_at(by, found)
        elif name == "undo":
            if by.user_id in last:
                undo(by)
        else:
            pass_on(by, case, name)
        done[name] += 1

    for step in range(1_200):
        clock.go_on(dice.choice([0, 1, 2, 4, 8, 20, 20, 200]) / 2)
        if step in (400, 800):  # on to the last minutes of the day
            clock.now = clock.now.replace(hour=23, minute=57)
        by = dice.choice(people)
        try:
            move(by)
        except BudgetSpent:
            spent[by.user_id] += 1
        except (Conflict, Invalid, NotAllowed):
            continue
    for by in people:
        watch.gone(by, clock.now + LEASE)

    for (user_id, day), seconds in watch.seconds.items():
        assert seconds <= budgets[user_id].minutes_a_day * 60 + 1e-6, (user_id, day)
    for (user_id, day), count in watch.severe.items():
        assert count <= budgets[user_id].severe_a_day, (user_id, day)
    assert done.keys() == {*_WITH_A_CASE, *_WITHOUT}
    assert len(spent) >= 3
    assert len({day for _, day in watch.seconds}) >= 3
    assert Verdict.objects.count() >= 50


def test_without_the_budget_the_watch_would_tell(policy, clock, monkeypatch):
    """Negative control of the test above: its watch counts on its own."""
    by, watch = with_budget(a_reviewer(), minutes=1), Watch()
    many_cases(policy, 3)
    generous = reviewer_of(a_reviewer().user_id)
    real = taking.budget_left
    monkeypatch.setattr(taking, "budget_left", lambda _reviewer, now: real(generous, now))
    for _ in range(2):
        case = take_next(queue=None, by=by)
        watch.sees(by, case, clock.now)
        clock.go_on(120)
        give_verdict(case=case, action=the_action("allow"), by=by)
        watch.gone(by, clock.now)

    assert sum(watch.seconds.values()) > 60


class TestMinutes:
    def test_nobody_keeps_a_case_longer_than_their_budget(self, policy, clock):
        case = take(case=a_case(policy), by=(by := with_budget(a_reviewer(), minutes=10)))
        seen = 0
        while True:
            clock.go_on(60)
            try:
                if keep(case=case, by=by) <= clock.now:
                    break
            except Conflict:
                break
            seen += 1

        assert seen <= 10

    def test_also_over_midnight(self, policy, clock):
        """A look that began yesterday uses up today's budget."""
        clock.now = MORNING.replace(hour=23, minute=59)
        by = with_budget(a_reviewer(), minutes=10)
        case = take(case=a_case(policy), by=by)
        for _ in range(12):
            clock.go_on(60)
            try:
                keep(case=case, by=by)
            except Conflict:
                break
        else:
            pytest.fail("it was kept for longer than a day's budget")
        with pytest.raises(BudgetSpent):
            take_next(queue=None, by=by)

    def test_two_windows_count_once_each(self, policy, clock):
        by = with_budget(a_reviewer())
        first, second = (take(case=a_case(policy, text), by=by) for text in ("one", "two"))

        assert Exposure.objects.get(ended_at=None).case == second
        with pytest.raises(Conflict):
            keep(case=first, by=by)

    def test_after_an_expired_claim_the_next_case_is_the_only_one(self, policy, clock):
        by = with_budget(a_reviewer())
        first = take(case=a_case(policy, "one"), by=by)
        clock.go_on(LEASE.total_seconds() + 1)
        second = take(case=a_case(policy, "two"), by=by)
        with pytest.raises(Conflict):
            give_verdict(case=first, action=the_action("allow"), by=by)

        assert Exposure.objects.get(ended_at=None).case == second
        assert Case.objects.filter(claimed_by=by.user_id).get() == second


class TestSevere:
    def test_they_are_counted_apart(self, policy, clock):
        a_guideline(harm=4)
        by = with_budget(a_reviewer(), severe=1)
        severe = [a_case(policy, f"text {number}") for number in range(2)]
        mild = a_case(policy, "mild", evidence=())
        give_verdict(case=take(case=severe[0], by=by), action=the_action("allow"), by=by)

        assert take_next(queue=None, by=by) == mild
        with pytest.raises(BudgetSpent, match="severe"):
            take(case=severe[1], by=by)

    def test_a_second_look_after_undoing_counts_again(self, policy, clock):
        a_guideline(harm=4)
        by = with_budget(a_reviewer(), severe=1)
        verdict = give_verdict(case=take(case=a_case(policy), by=by), action=the_action("allow"), by=by)

        case = undo_verdict(verdict=verdict, by=by)

        assert case.claimed_by_id is None
        assert take_next(queue=None, by=by) is None
        assert take_next(queue=None, by=a_reviewer()) == case
        clock.go_on(UNDO_FOR.total_seconds())
        assert Verdict.objects.get().status == "undone"
