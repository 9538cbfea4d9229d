"""NDCG, AUC and log loss. Figures are those of scikit-learn 1.9.1: ndcg_score, roc_auc_score, log_loss."""

import math

import numpy as np
import pytest

from inference.checks import metrics
from inference.checks.errors import NotMeasurable, RowUnfit
from inference.checks.metrics import MAX_WRONG, TALLIES, MeanError
from inference.checks.score_measures import auc, ndcg
from inference.pipelines.image_classification import PictureLabels
from inference.pipelines.labels import Label
from inference.pipelines.ranking import RankedCandidates
from inference.pipelines.recommendation import RecommendedItems
from inference.pipelines.scored_rows import CANDIDATE_ROWS, CLASSIFIED_ROWS, ITEM_ROWS, NUMBER_ROWS
from inference.pipelines.tables import ComputedValue, RowLabels
from inference.pipelines.tasks import TASKS


def ranked(scores, top_k=None):
    order = sorted(range(len(scores)), key=lambda place: -scores[place])[:top_k]
    return RankedCandidates(order, [scores[place] for place in order])


def labelled(scores):
    labels = [Label(*one) for one in sorted(scores.items(), key=lambda one: -one[1])]
    return RowLabels(labels[0].label, labels[0].score, labels)


def tallied(rows, metric, pairs):
    """Labels of rows with answers, in turn."""
    tally, compared = TALLIES[metric](), rows.metrics[metric]
    for number, (label, answer) in enumerate(pairs, start=1):
        tally.add(number, compared.expected(label), compared.got(answer), text=f"row {number}")
    return tally


CLICKS = [([0, 1, 1], ranked([0.1, 0.4, 0.35])), ([0, 1], ranked([0.8, 0.8]))]
CLASSES = [
    ("a", {"a": 0.7, "b": 0.2, "c": 0.1}),
    ("b", {"a": 0.3, "b": 0.5, "c": 0.2}),
    ("c", {"a": 0.2, "b": 0.2, "c": 0.6}),
    ("b", {"a": 0.5, "b": 0.3, "c": 0.2}),
    ("a", {"a": 0.2, "b": 0.5, "c": 0.3}),
    ("c", {"a": 0.1, "b": 0.1, "c": 0.8}),
]
CLASSIFIED = [(label, labelled(scores)) for label, scores in CLASSES]


class TestNDCG:
    @pytest.mark.parametrize(
        ("gains", "scores", "top_k", "value"),
        [
            ([3, 0, 1, 2], [0.9, 0.8, 0.7, 0.1], None, 0.9158928585785955),
            ([3, 0, 1, 2], [0.9, 0.8, 0.7, 0.1], 2, 0.7039180890341348),
            ([0, 1, 1, 1, 0], [5, 4, 3, 2, 1], 3, 0.5307212739772434),
            ([1, 0], [0.5, 0.5], None, 0.8154648767857287),
            ([0, 1, 0, 1, 2], [0.5, 0.5, 0.2, 0.2, 0.5], None, 0.8111630206102166),
            ([0, 0], [0.1, 0.2], None, 0.0),
            ([5, 3, 0, 0, 1], [1, 2, 3, 4, 5], None, 0.5716778284011975),
        ],
        ids=["graded", "two answered", "three answered", "all equal", "ties", "nothing good", "worst first"],
    )
    def test_of_candidates(self, gains, scores, top_k, value):
        tally = tallied(CANDIDATE_ROWS, "ndcg", [(gains, ranked(scores, top_k))])

        assert tally.value() == pytest.approx(value, abs=1e-12)

    def test_of_items_is_the_mean_over_users(self):
        def items(*ids):
            return RecommendedItems(ids, list(range(len(ids), 0, -1)), False)

        tally = tallied(
            ITEM_ROWS,
            "ndcg",
            [
                (["jam"], items("jam", "tea")),
                ([7], items(8, 7)),  # numbers are ids, too
                (["jam", "unheard of"], items("tea", "jam")),
                (["jam"], items()),
            ],
        )

        second = 1 / math.log2(3)
        values = [1, second, second / (1 + second), 0]
        assert tally.value() == pytest.approx(np.mean(values))
        assert [one["row"] for one in tally.wrong()] == [4, 3, 2]
        assert tally.wrong()[1] == {
            "row": 3,
            "text": "row 3",
            "expected": "jam, unheard of",
            "got": "NDCG 0.39: tea, jam",
        }

    def test_gains_are_shown_where_they_differ(self):
        (wrong,) = tallied(CANDIDATE_ROWS, "ndcg", [([3, 0, 1, 2], ranked([1, 4, 3, 2]))]).wrong()

        assert wrong["expected"] == "candidate 0 (3), 3 (2), 2 (1)"
        assert wrong["got"].endswith("candidate 1, 2, 3, 0")

    def test_long_rankings_are_shown_in_part(self):
        (wrong,) = tallied(CANDIDATE_ROWS, "ndcg", [([0] * 1_999 + [1], ranked([0.5] * 2_000))]).wrong()

        assert wrong["got"].endswith("8, 9 and 1,990 more")

    def test_a_perfect_ranking_is_1(self):
        rng = np.random.default_rng(5)
        for _ in range(50):
            gains = dict(enumerate(rng.integers(0, 4, 9).tolist()))
            best = sorted(gains, key=lambda key: -gains[key])
            expected = 1 if any(gains.values()) else 0

            assert ndcg(gains, best, list(range(9, 0, -1))) == pytest.approx(expected)


class TestAUC:
    def test_of_candidates_counts_those_of_all_users_together(self):
        tally = tallied(CANDIDATE_ROWS, "auc", CLICKS)

        assert tally.value() == pytest.approx(0.5833333333333334)
        assert tally.wrong() == [
            {"row": 2, "text": "row 2", "expected": "candidate 1", "got": "candidate 0 (0.8), 1 (0.8)"}
        ]

    def test_of_two_labels_is_that_of_either(self):
        pairs = [("no", 0.1), ("yes", 0.4), ("yes", 0.35), ("no", 0.8), ("yes", 0.8)]
        rows = [(label, labelled({"no": 1 - score, "yes": score})) for label, score in pairs]

        assert tallied(CLASSIFIED_ROWS, "auc", rows).value() == pytest.approx(0.5833333333333334)

    def test_of_more_labels_is_the_mean_of_each_against_the_rest(self):
        tally = tallied(CLASSIFIED_ROWS, "auc", CLASSIFIED)

        assert tally.value() == pytest.approx(0.8333333333333334)
        assert [(one["row"], one["expected"]) for one in tally.wrong()] == [(5, "a"), (4, "b")]
        assert tally.wrong()[0]["got"] == "b 0.5, c 0.3, a 0.2"

    def test_labels_that_the_set_does_not_have_do_not_count(self):
        of_two = [(label, answer) for label, answer in CLASSIFIED if label != "c"]

        areas = [
            auc(np.array([{one.label: one.score for one in answer.labels}[name] for _, answer in of_two]),
                np.array([label == name for label, _ in of_two]))
            for name in "ab"
        ]  # fmt: skip
        assert tallied(CLASSIFIED_ROWS, "auc", of_two).value() == pytest.approx(np.mean(areas))

    def test_is_the_share_of_pairs_in_the_right_order(self):
        rng = np.random.default_rng(3)
        for _ in range(50):
            scores, right = rng.integers(0, 6, 20) / 5, np.append(rng.random(18) < 0.3, [True, False])
            pairs = [(one > other) + (one == other) / 2 for one in scores[right] for other in scores[~right]]

            assert auc(scores, right) == pytest.approx(np.mean(pairs))

    @pytest.mark.parametrize(
        ("rows", "pairs"),
        [
            (CANDIDATE_ROWS, [([1, 1], ranked([0.1, 0.2]))]),
            (CANDIDATE_ROWS, [([0, 0], ranked([0.1, 0.2]))]),
            (CLASSIFIED_ROWS, [("yes", labelled({"no": 0.1, "yes": 0.9}))] * 3),
            (CLASSIFIED_ROWS, [("a", answer) for _, answer in CLASSIFIED]),
        ],
        ids=["all clicks", "no clicks", "one of two labels", "one of three"],
    )
    def test_of_one_class_is_not_defined(self, rows, pairs):
        with pytest.raises(NotMeasurable, match="everything in its golden set has the same label") as raised:
            tallied(rows, "auc", pairs).value()

        assert raised.value.code == "one_class"

    def test_has_a_limit(self, monkeypatch):
        monkeypatch.setattr(metrics, "MAX_SCORES", 4)

        with pytest.raises(NotMeasurable, match="more than 4 scores"):
            tallied(CANDIDATE_ROWS, "auc", CLICKS)
        assert tallied(CANDIDATE_ROWS, "auc", CLICKS[:1]).value() == 1


class TestLogLoss:
    def test_of_candidates(self):
        pairs = [([1, 0], ranked([0.9, 0.2])), ([3, 0], ranked([1.0, 1.0]))]

        assert tallied(CANDIDATE_ROWS, "log_loss", pairs).value() == pytest.approx(9.093039364022298)

    def test_of_labels(self):
        assert tallied(CLASSIFIED_ROWS, "log_loss", CLASSIFIED).value() == pytest.approx(0.7662003360564857)

    def test_no_probability_counts_as_0_or_1(self):
        sure = [("no", labelled({"no": 1.0, "yes": 0.0})), ("yes", labelled({"no": 0.5, "yes": 0.5}))]
        wrong = [([0], ranked([1.0])), ([1], ranked([0.0]))]

        assert tallied(CLASSIFIED_ROWS, "log_loss", sure).value() == pytest.approx(0.34657359027997275)
        assert tallied(CANDIDATE_ROWS, "log_loss", wrong).value() == pytest.approx(36.04365338911715)

    def test_one_label_is_there_or_not(self):
        pairs = [("spam", labelled({"spam": 0.9})), ("other", labelled({"spam": 0.2}))]

        value = tallied(CLASSIFIED_ROWS, "log_loss", pairs).value()

        assert value == pytest.approx(-(math.log(0.9) + math.log(0.8)) / 2)

    @pytest.mark.parametrize(
        ("rows", "pair"),
        [
            (CANDIDATE_ROWS, ([1, 0], ranked([2.5, 0.1]))),
            (CANDIDATE_ROWS, ([1, 0], ranked([0.5, -0.1]))),
            (CLASSIFIED_ROWS, ("yes", labelled({"no": 0.8, "yes": 0.9}))),
            (CLASSIFIED_ROWS, ("yes", labelled({"no": -1.0, "yes": 2.0}))),
        ],
    )
    def test_scores_that_are_no_probabilities_are_refused(self, rows, pair):
        with pytest.raises(NotMeasurable, match="not probabilities") as raised:
            tallied(rows, "log_loss", [pair])

        assert raised.value.code == "no_probabilities"
        assert len(tallied(rows, "auc", [pair]).wrong()) <= 1  # AUC takes any scores


@pytest.mark.parametrize("metric", ["auc", "log_loss"])
def test_a_label_that_the_version_does_not_have_is_named(metric):
    with pytest.raises(RowUnfit, match="the label 'maybe', which the version does not have"):
        tallied(CLASSIFIED_ROWS, metric, [("maybe", labelled({"no": 0.5, "yes": 0.5}))])


def test_numbers_of_another_length_are_refused():
    rows, answer = NUMBER_ROWS, ComputedValue([1.0, 2.0])

    assert tallied(rows, "error", [([1, 4], answer)]).value() == 1
    assert tallied(rows, "error", [(2, ComputedValue(2.5))]).value() == 0.5
    with pytest.raises(RowUnfit, match="a label of 1 number, but the version gives 2"):
        tallied(rows, "error", [(1, answer)])


def test_wrong_rows_of_numbers_show_the_row():
    assert tallied(NUMBER_ROWS, "error", [(2, ComputedValue(2.5))]).wrong() == [
        {"row": 1, "text": "row 1", "expected": [2], "got": [2.5]}
    ]


def test_the_first_wrong_rows_are_kept_and_the_worst_of_them_come_first():
    """The comparison of two versions knows all wrong rows up to the last one that was kept."""
    clicks = [[1, *[0] * (row % 7 + 1)] for row in range(MAX_WRONG + 20)]
    pairs = [(label, ranked([0.1] + [0.5] * (len(label) - 1))) for label in clicks]

    wrong = tallied(CANDIDATE_ROWS, "ndcg", pairs).wrong()

    assert {one["row"] for one in wrong} == set(range(1, MAX_WRONG + 1))
    assert wrong[0]["row"] == 7 and len(clicks[wrong[-1]["row"] - 1]) == 2


@pytest.mark.parametrize(
    ("task", "inputs", "shown"),
    [
        ("recommendation", {"user": 7}, "7"),
        ("ranking", {"user": {"age": 31}, "candidates": [{}, {}]}, "age: 31; 2 candidates"),
        ("ranking", {"user": [1, 2], "candidates": [[3]]}, "[1,2]; 1 candidate"),
        ("tabular-classification", {"row": {"age": 31, "city": "Bern"}}, "age: 31, city: Bern"),
        ("tabular-regression", {"row": [1, None]}, "[1,null]"),
        ("text-classification", {"text": "Lovely!"}, "Lovely!"),
        ("image-classification", {"image": "iVBO"}, ""),
    ],
)
def test_what_people_see_of_a_row(task, inputs, shown):
    assert TASKS[task].golden.shown(inputs) == shown


def test_pictures_have_scores_of_labels_too():
    rows = TASKS["image-classification"].golden
    answer = PictureLabels("cat", 0.8, [Label("cat", 0.8), Label("dog", 0.2)], 1, 1, 1)

    assert tallied(rows, "log_loss", [("dog", answer)]).value() == pytest.approx(-math.log(0.2))


def test_no_rows_are_no_division_by_zero():
    assert [TALLIES[metric]().value() for metric in ("ndcg", "log_loss")] == [0, 0]
    assert MeanError().value() == 0
