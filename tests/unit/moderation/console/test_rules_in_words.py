"""Rules in words, and what differs between two contents."""

import pytest

from moderation.console.rules_in_words import differences, review_in_words, rule_sentence

TOXIC = {
    "name": "toxic",
    "kind": "detector",
    "code": "toxic",
    "detector": "toxicity",
    "review": 0.6,
    "block": 0.9,
}
WORDS = {"name": "words", "kind": "words", "code": "slurs", "entries": ["a", "b"], "effect": "block"}


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        (TOXIC, "Detector toxicity, all labels; review above 0.6, block above 0.9."),
        (
            {**TOXIC, "labels": ["toxic"], "reads": ["text"], "languages": ["en", "de"]},
            "Detector toxicity, labels toxic; reads text; only in en, de; review above 0.6, block above 0.9.",
        ),
        (WORDS, "List of words with 2 entries; what it finds is blocked."),
        (
            {**WORDS, "kind": "hashes", "hashes": ["x"], "effect": "review"},
            "List of picture hashes with 1 hash; what it finds is sent to review.",
        ),
    ],
    ids=["detector", "narrowed detector", "words", "hashes"],
)
def test_a_rule_in_a_sentence(rule, sentence):
    assert rule_sentence(rule) == sentence


def found(before, after):
    return [
        (one.name, one.kind, list(one.sentences)) for one in differences({"rules": before}, {"rules": after})
    ]


class TestDifferences:
    def test_nothing(self):
        assert found([TOXIC, WORDS], [TOXIC, WORDS]) == []

    def test_what_is_not_said_is_the_same_as_what_it_means(self):
        assert (
            found([TOXIC], [{**TOXIC, "state": "on", "labels": [], "note": None, "note_to_editors": ""}])
            == []
        )

    def test_added_and_removed(self):
        assert [one[:2] for one in found([TOXIC], [WORDS])] == [("words", "added"), ("toxic", "removed")]

    def test_cut_offs_state_and_labels(self):
        after = {**TOXIC, "review": None, "block": 0.95, "state": "shadow", "labels": ["toxic"]}

        (change,) = found([TOXIC], [after])

        assert change == (
            "toxic", "changed",
            ["state: on → shadow", "labels: all → toxic", "review above: 0.6 → never", "block above: 0.9 → 0.95"],
        )  # fmt: skip

    def test_entries_of_lists(self):
        (change,) = found([WORDS], [{**WORDS, "entries": ["b", "c", "d"]}])

        assert change[2] == ["2 entries added: c, d", "1 entry removed: a"]

    def test_many_entries_are_counted(self):
        (change,) = found([{**WORDS, "entries": []}], [{**WORDS, "entries": [f"w{n}" for n in range(2_000)]}])

        assert change[2][0].startswith("2,000 entries added: w0, w1,")
        assert change[2][0].endswith("and 1,992 more")

    def test_the_order(self):
        assert found([TOXIC, WORDS], [WORDS, TOXIC])[0][0] == "order"

    def test_what_is_about_all_rules(self):
        (change,) = differences({"rules": []}, {"rules": [], "default_language": "en"})

        assert change.sentences == ["language if none is named: none → en"]


def test_review_by_people_is_in_sentences():
    terms = {"audit_share": 0.015, "second_review_share": 0.1, "content_days": 90, "report_hours": 12}

    assert review_in_words({"rules": [], "review": terms}) == [
        "A person looks at 1.5 % of allowed contents, and at more near a cut-off.",
        "Another person reviews 10 % of verdicts again.",
        "Contents are kept 90 days.",
        "Authors can appeal for 183 days.",
        "Appeals are answered within 72 hours.",
        "Reports are answered within 12 hours.",
    ]


def test_without_terms_the_usual_ones_are_said():
    assert review_in_words({"rules": []})[:3] == [
        "Nobody looks at allowed contents.",
        "No verdict is reviewed again.",
        "Contents are kept as long as decisions.",
    ]


def test_a_change_of_the_terms_is_a_difference():
    before, after = {"rules": []}, {"rules": [], "review": {"appeal_hours": 24}}

    (change,) = differences(before, after)

    assert (change.name, change.sentences) == (
        "review by people",
        ["Appeals are answered within 72 hours. → Appeals are answered within 24 hours."],
    )
    assert differences(before, {"rules": [], "review": {"appeal_hours": 72}}) == []
