"""Which contents only people with the right to see restricted contents may see."""

import pytest

from moderation.cases.models import Case
from moderation.cases.selectors import restricted_decisions, visible_cases
from moderation.deciding.models import Decision
from moderation.rights import ModerationRole
from tests.support.cases import a_case, a_guideline, a_reviewer, decide, finish, for_review
from tests.support.decision_rows import a_list_policy

pytestmark = [pytest.mark.django_db, pytest.mark.both]


def hidden():
    return set(Decision.objects.filter(restricted_decisions()).values_list("content_id", flat=True))


def test_those_with_a_restricted_violation():
    policy = a_list_policy()
    for_review(policy, content_id="restricted")
    for_review(policy, content_id="other", evidence=())
    assert hidden() == set()

    a_guideline("slur", is_restricted=True)  # a part of the other code's name
    assert hidden() == set()

    a_guideline("slurs", is_restricted=True)
    assert hidden() == {"restricted"}


def test_those_in_a_restricted_case():
    policy = a_list_policy()
    case = a_case(policy, content_id="restricted")
    a_case(policy, "something else", content_id="other")

    Case.objects.filter(pk=case.pk).update(is_restricted=True)

    assert hidden() == {"restricted"}
    assert list(visible_cases(Case.objects.all(), a_reviewer())) == list(Case.objects.exclude(pk=case.pk))
    assert visible_cases(Case.objects.all(), a_reviewer(ModerationRole.CHILD_SAFETY)).count() == 2


def test_a_case_is_restricted_once_a_person_finds_such_a_violation():
    policy = a_list_policy()
    a_guideline("minors", is_restricted=True)
    case, other = a_case(policy, content_id="c1"), a_case(policy, "something else", content_id="c2")
    reviewer = a_reviewer()
    finish(decide(case, "remove", reviewer, codes=["minors"]))
    finish(decide(other, "remove", reviewer))

    case.refresh_from_db()
    other.refresh_from_db()

    assert (case.is_restricted, other.is_restricted) == (True, False)
    assert hidden() == {"c1"}
