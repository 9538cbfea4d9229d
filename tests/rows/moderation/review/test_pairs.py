"""Several people at one case at the same moment: it is decided once, and the others learn what was decided."""

import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from moderation.cases.models import Case
from moderation.cases.opening import open_cases
from moderation.cases.transitions import CaseStatus
from moderation.errors import AlreadyDecided
from moderation.review import verdicts
from moderation.review.models import Verdict
from moderation.review.taking import take, take_next
from moderation.review.verdicts import give_verdict
from registry.errors import StaleState
from roundhouse.problems import status_of
from tests.support.cases import a_case, a_reviewer, for_review, the_action
from tests.support.decision_rows import a_list_policy
from tests.support.together import at_once

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both]
PAIRS = 200


@pytest.fixture
def policy():
    return a_list_policy()


def let_claim_run_out(case):
    Case.objects.filter(pk=case.pk).update(claimed_until=timezone.now() - timedelta(seconds=1))


class Person:
    """Someone who decides one case, and looks again when another person who had it is done."""

    def __init__(self, case, action, by, *, has_it=False):
        self.case, self.action, self.by, self.has_it = case, action, by, has_it
        self.is_done = threading.Event()
        self.other = None

    def decide(self):
        try:
            while True:
                try:
                    return self._try_to_decide()
                except StaleState:
                    # Asking again at once and without end would keep the other one out of SQLite, which has one writer.
                    if not self.has_it:
                        assert self.other.is_done.wait(60)
                    self.has_it = False
                except AlreadyDecided as error:
                    return error
        finally:
            self.is_done.set()

    def _try_to_decide(self):
        case = self.case if self.has_it else take(case=self.case, by=self.by)
        return give_verdict(case=case, action=self.action, codes=["slurs"], by=self.by)


def decide_together(one, two):
    one.other, two.other = two, one
    return at_once([one.decide, two.decide])


def test_200_pairs_give_200_single_verdicts(policy):
    """One person's lease has run out, and they decide at the moment at which the other one takes the case and decides."""
    rita, otto = a_reviewer(username="rita"), a_reviewer(username="otto")
    remove, allow = the_action("remove"), the_action("allow")
    for number in range(PAIRS):
        for_review(policy, f"text {number}")
    open_cases()
    for case in Case.objects.all():
        case = take(case=case, by=rita)
        let_claim_run_out(case)

        results = decide_together(
            Person(case, remove, rita, has_it=True), Person(Case.objects.get(pk=case.pk), allow, otto)
        )

        first = Verdict.objects.get(case=case)
        second = next(one for one in results if isinstance(one, AlreadyDecided))
        assert first in results
        assert second.members["decided_by"] == first.reviewer_name
        assert second.members["action"] == str(first.action)
        assert second.members["violations"] == first.codes
        assert status_of(second) == 409
    assert Verdict.objects.count() == PAIRS


def test_two_windows_of_one_person_are_a_pair_too(policy):
    rita, remove, allow = a_reviewer(username="rita"), the_action("remove"), the_action("allow")
    for number in range(20):
        case = take(case=a_case(policy, f"text {number}"), by=rita)

        results = decide_together(
            Person(case, remove, rita, has_it=True),
            Person(Case.objects.get(pk=case.pk), allow, rita, has_it=True),
        )

        assert Verdict.objects.filter(case=case).count() == 1
        assert sum(isinstance(one, AlreadyDecided) for one in results) == 1


class _Unguarded:
    """In the place of the cases that wait: whoever asks may decide."""

    def filter(self, **_conditions):
        return self

    def update(self, **_columns):
        return 1


def test_without_the_guards_there_are_doubles(policy, monkeypatch):
    """Negative control: neither the conditional update nor the constraint."""
    rita, otto = a_reviewer(), a_reviewer()
    case = a_case(policy)
    constraint = next(one for one in Verdict._meta.constraints if one.name == "one_verdict_per_case")
    monkeypatch.setattr(verdicts, "waiting_cases", _Unguarded)
    monkeypatch.setattr(verdicts, "_keep_from_looking_again", lambda *_: None)
    calls = [lambda by=by: give_verdict(case=case, action=the_action("allow"), by=by) for by in (rita, otto)]

    with connection.schema_editor() as editor:
        editor.remove_constraint(Verdict, constraint)
    try:
        at_once(calls)
        assert Verdict.objects.filter(case=case).count() == 2
    finally:
        Verdict.objects.all().delete()
        with connection.schema_editor() as editor:
            editor.add_constraint(Verdict, constraint)


def test_the_constraint_alone_stops_the_second(policy, monkeypatch):
    rita, otto = a_reviewer(username="rita"), a_reviewer()
    case = a_case(policy)
    monkeypatch.setattr(verdicts, "waiting_cases", _Unguarded)
    monkeypatch.setattr(verdicts, "_keep_from_looking_again", lambda *_: None)
    give_verdict(case=case, action=the_action("allow"), by=rita)

    with pytest.raises(AlreadyDecided, match="rita"):
        give_verdict(case=case, action=the_action("remove"), codes=["slurs"], by=otto)


def test_six_people_decide_600_cases_once_each(policy):
    for number in range(600):
        for_review(policy, f"text {number}")
    open_cases()
    allow, people = the_action("allow"), [a_reviewer() for _ in range(6)]

    def work(by):
        decided = []
        while (case := take_next(queue=None, by=by)) is not None:
            assert case.claimed_by_id == by.user_id
            give_verdict(case=case, action=allow, by=by)
            decided.append(case.pk)
        return decided

    decided = at_once([lambda by=by: work(by) for by in people])

    assert sorted(pk for mine in decided for pk in mine) == sorted(Case.objects.values_list("pk", flat=True))
    assert Verdict.objects.count() == 600
    assert not Case.objects.exclude(status=CaseStatus.DECIDED).exists()
