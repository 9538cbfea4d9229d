"""Every decision that restricts something has a statement of reasons that the transparency database would take."""

import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moderation.appeals.services import make_appeal
from moderation.cases.models import Guideline
from moderation.deciding.findings import Findings
from moderation.deciding.models import Awaits
from moderation.reports.services import make_report
from moderation.review.finals import make_final
from moderation.review.models import FinalDecision
from moderation.review.statements import StatementCategory, check_statement
from moderation.rights import ModerationRight
from registry.kit.text import storable
from tests.support.cases import a_case, a_reviewer, decide, finish
from tests.support.decision_rows import a_decision, a_list_policy, listed
from tests.support.factories import an_actor

pytestmark = [pytest.mark.django_db, pytest.mark.both]
_numbers = itertools.count()
_AUTOMATION = {
    "machine": ("Yes", "AUTOMATED_DECISION_FULLY"),
    "machine_and_person": ("Yes", "AUTOMATED_DECISION_PARTIALLY"),
    "person": ("No", "AUTOMATED_DECISION_NOT_AUTOMATED"),
}
_TEXTS = st.text(max_size=60).map(lambda text: storable(text, 60))
_CODES = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,63}", fullmatch=True)
_GUIDELINES = st.fixed_dictionaries({
    "title": _TEXTS,
    "harm": st.integers(1, 4),
    "category": st.sampled_from(["", "   ", "UNKNOWN", *StatementCategory]),
    "is_illegal": st.booleans(),
    "ground": _TEXTS,
    "notices": st.dictionaries(st.sampled_from(["en", "de", "pt-BR", "xx"]), _TEXTS, max_size=3),
})  # fmt: skip
_DECISIONS = st.fixed_dictionaries({
    "content_id": _TEXTS,
    "author_id": _TEXTS,
    "language": st.sampled_from(["", "en", "de", "zh", "tlh", "x", "??"]),
    "url": st.sampled_from(["", "https://example.com/{x}", "not a link", "https://пример.example/ü?a=b#c"]),
    "findings": st.sampled_from([["text"], ["title", "text"], ["image"], ["image-1", "image-2", "text"], []]).map(
        Findings
    ),
})  # fmt: skip


@pytest.fixture
def policy():
    return a_list_policy()


@pytest.fixture
def people():
    return a_reviewer(), a_reviewer()


def by_machine(policy, people, action, values, code):
    evidence = (listed(4, 13)._replace(code=code),)
    a_decision(policy, "block", evidence=evidence, text="x", awaits=Awaits.FINAL, **values)
    make_final()
    return "machine"


def by_machine_and_person(policy, people, action, values, code):
    evidence = (listed(4, 13)._replace(code=code),)
    finish(decide(a_case(policy, "x", evidence=evidence, **values), action, people[0], codes=[code]))
    return "machine_and_person"


def by_person_who_audits(policy, people, action, values, code):
    case = a_case(policy, "x", ruling="allow", evidence=(), audit_weight=3.0, **values)
    finish(decide(case, action, people[0], codes=[code]))
    return "person"


def by_person_who_got_a_report(policy, people, action, values, code):
    decision = a_decision(policy, text="x", **values)
    report = make_report(decision=decision, code=code, by=an_actor(ModerationRight.REPORT))
    finish(decide(report.case, action, people[0], codes=[code]))
    return "person"


def by_person_who_got_an_appeal(policy, people, action, values, code):
    """Against what a machine blocked: it becomes another restriction, or stays."""
    maker = by_machine(policy, people, action, values, code)
    decision = FinalDecision.objects.latest("pk").decision
    appeal = make_appeal(decision=decision, by=an_actor(ModerationRight.REPORT))
    finish(decide(appeal.case, action, people[1], codes=[code]))
    return maker if action == "remove" else "machine_and_person"


@pytest.mark.parametrize(
    "decide_so",
    [
        by_machine,
        by_machine_and_person,
        by_person_who_audits,
        by_person_who_got_a_report,
        by_person_who_got_an_appeal,
    ],
    ids=lambda way: way.__name__,
)
@given(
    action=st.sampled_from(["remove", "limit"]),
    code=_CODES,
    guideline=st.none() | _GUIDELINES,
    values=_DECISIONS,
)
@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None
)
def test_a_restriction_has_a_valid_statement(policy, people, decide_so, action, code, guideline, values):
    Guideline.objects.all().delete()
    if guideline is not None:
        Guideline.objects.create(code=code, **guideline)

    # Examples share a transaction: nobody decides an appeal of what they decided in another example.
    values = {**values, "content_id": values["content_id"] and f"{values['content_id']}{next(_numbers)}"}

    maker = decide_so(policy, people, action, values, code)

    final = FinalDecision.objects.latest("pk")
    assert final.ruling == "block"
    assert check_statement(final.statement) == []
    assert final.decided_by == maker
    automation = (final.statement["automated_detection"], final.statement["automated_decision"])
    assert automation == _AUTOMATION[maker]
    assert final.notice["body"]


def test_statements_are_never_the_same_twice(policy, people):
    for number in range(5):
        finish(decide(a_case(policy, f"text {number}", content_id="c1"), "remove", people[0]))

    assert len({one.statement["puid"] for one in FinalDecision.objects.all()}) == 5


def test_what_is_not_restricted_has_none(policy, people):
    finish(decide(a_case(policy), "allow", people[0]))

    assert FinalDecision.objects.get().statement is None


def test_the_checker_finds_a_missing_field(policy, people):
    """Negative control."""
    finish(decide(a_case(policy), "remove", people[0]))
    statement = FinalDecision.objects.get().statement
    del statement["decision_facts"]

    assert check_statement(statement)
