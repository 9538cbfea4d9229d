"""What a finished preview says first."""

import pytest

from moderation.console.preview_panel import preview_in_words

PEOPLE = {
    "seconds_per_review": 30,
    "is_measured": False,
    "hours_more": 3.4333,
    "reviewers": 6,
    "hours_available": 30,
}
RESULT = {
    "considered": 2_000,
    "undecided": {"names was not asked then.": 12},
    "changes": [{"from": "allow", "to": "review", "count": 824, "samples": ["a" * 32]}],
    "by_language": [
        {"language": "en", "considered": 1_500, "changed": 824},
        {"language": "de", "considered": 488, "changed": 0},
    ],
    "by_code": [{"code": "slurs", "before": 3, "after": 827}, {"code": "spam", "before": 4, "after": 4}],
    "rates": {
        "days": 2.0,
        "reviews_per_day_before": 50.0,
        "reviews_per_day_after": 462.0,
        "more_per_day": 412.0,
    },
    "people": PEOPLE,
}


def sentence(**changes):
    return preview_in_words({**RESULT, **changes}).sentence


def test_reviews_and_people():
    words = preview_in_words(RESULT)

    assert words.sentence == (
        "+412 reviews a day = 3.4 reviewer hours at an assumed 30 s each; your 6 reviewers have 30 hours."
    )
    assert words.basis == (
        "824 of 2,000 decisions from 2.0 days would change; 12 cannot be decided again and count as unchanged. "
        "Reviews a day: 50 now, 462 with the draft."
    )


def test_what_does_not_change_is_left_out():
    words = preview_in_words(RESULT)

    assert [one["language"] for one in words.by_language] == ["en"]
    assert [one["code"] for one in words.by_code] == ["slurs"]


@pytest.mark.parametrize(
    ("people", "end"),
    [
        ({"reviewers": 1, "hours_available": 5}, "at an assumed 30 s each; your one reviewer has 5 hours."),
        (
            {"reviewers": 0, "hours_available": 0},
            "at an assumed 30 s each; nobody has the role reviewer or lead.",
        ),
        (
            {"is_measured": True, "seconds_per_review": 34.4},
            "at the measured handling time (34 s); your 6 reviewers have 30 hours.",
        ),
    ],
    ids=["one", "none", "measured"],
)
def test_who_there_is(people, end):
    assert sentence(people={**PEOPLE, **people}).endswith(end)


def test_fewer_reviews():
    less = {**RESULT["rates"], "more_per_day": -120.0}

    assert sentence(rates=less, people={**PEOPLE, "hours_more": -1.0}).startswith(
        "−120 reviews a day = 1.0 reviewer hours"
    )


def test_nothing_changes():
    assert sentence(changes=[]) == "Nothing changes in the 2,000 decisions that were decided again."


def test_no_decision_yet():
    assert sentence(considered=0, changes=[]).startswith("There is no stored decision")


def test_reviews_stay_the_same():
    same = {**RESULT["rates"], "more_per_day": 0.0}

    assert sentence(rates=same) == "824 decisions would change; the number of reviews stays about the same."
