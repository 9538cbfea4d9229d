"""How people review what a policy decides, as its content says it."""

import pytest

from moderation.errors import InvalidPolicy
from moderation.policies.rules import ReviewTerms, read_review_terms, read_rules
from tests.support.tables import cases

LISTED = {"name": "listed", "kind": "words", "code": "slurs", "entries": ["x"], "effect": "block"}


def read(terms):
    return read_rules({"rules": [LISTED], "review": terms}).review


def test_all_of_them():
    terms = {
        "audit_share": 0.01,
        "second_review_share": 1,
        "content_days": 30,
        "appeal_days": 365,
        "appeal_hours": 48,
        "report_hours": 2,
    }

    assert read(terms) == ReviewTerms(
        audit_share=0.01,
        second_review_share=1.0,
        content_days=30,
        appeal_days=365,
        appeal_hours=48,
        report_hours=2,
    )
    assert read_review_terms({"rules": ["are not read"], "review": terms}) == read(terms)


def test_none_of_them():
    assert read({}) == ReviewTerms() == read_review_terms({"rules": []})
    assert read({"content_days": None}).content_days is None


@cases(
    "name, value",
    share_above_one=("audit_share", 1.01),
    share_below_zero=("audit_share", -0.1),
    share_that_is_true=("second_review_share", True),
    share_in_words=("second_review_share", "a tenth"),
    share_that_is_no_number=("audit_share", float("nan")),
    kept_for_no_day=("content_days", 0),
    kept_for_half_a_day=("content_days", 0.5),
    kept_for_ever=("content_days", 3_651),
    appeals_for_less_than_six_months=("appeal_days", 182),
    appeals_never_answered=("appeal_hours", 0),
    appeals_answered_in_a_year=("appeal_hours", 8_760),
    reports_answered_at_once=("report_hours", 0),
    reports_answered_truly=("report_hours", True),
    unknown=("audit", 0.1),
)
def test_what_is_wrong_is_named(name, value):
    with pytest.raises(InvalidPolicy, match=name) as failure:
        read({name: value})

    assert failure.value.members["errors"][0]["pointer"].endswith(f"review/{name}")


@cases("terms", none=None, list=[], text="0.1")
def test_they_are_an_object(terms):
    with pytest.raises(InvalidPolicy):
        read(terms)
