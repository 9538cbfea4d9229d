"""Versions that recommend, rank and read tables are measured on rows of their tasks."""

import json
import math

import numpy as np
import pytest

from inference.checks import metrics
from inference.checks.runner import run_checks
from inference.checks.steps import golden
from inference.engine.backends import SessionOptions
from registry.catalogue.models import Version
from registry.errors import GoldenGateFailed, Invalid
from registry.intake.examples.models import GoldenResult
from registry.intake.examples.selectors import golden_gate
from registry.traffic.gates import check_gates, plan_for
from tests.support import fruit, text_versions
from tests.support.factories import a_model, a_split, an_actor
from tests.support.scored_models import (
    LIKINGS,
    a_ranker,
    a_recommender,
    a_rent_model,
    a_table_classifier,
)

pytestmark = pytest.mark.django_db
LIKED = [({"user": "ann"}, ["jam", "egg"]), ({"user": "ben"}, ["tea"]), ({"user": "cleo"}, ["ham"])]
CLICKS = [
    ({"user": {"age": 31}, "candidates": [{"price": 1}, {"price": 2}]}, [1, 0]),
    ({"user": {"age": 50}, "candidates": [{"price": 3}, {"price": 2.5}, {"price": 4}]}, [0, 2, 0]),
]
ADULTS = [
    ({"row": {"age": 25, "children": 0}}, "no"),
    ({"row": {"age": 40, "children": 2}}, "yes"),
    ({"row": [20, 1]}, "no"),
]


def put(model, rows, metric, **more):
    lines = [json.dumps({"inputs": inputs, "label": label}).encode() for inputs, label in rows]
    return fruit.put_golden(model, lines, metric=metric, **{"floor": None, **more})


def check(version):
    run = run_checks(version_id=version.pk, options_for=lambda _: SessionOptions(), by=an_actor())
    return run.lines.get(step="golden")


def again(version):
    return Version.objects.select_related("model").get(pk=version.pk)


def measured(version, rows, metric, **more):
    put(version.model, rows, metric, **more)
    return check(version)


class TestRecommendation:
    def test_good_items_come_first(self, tmp_path):
        line = measured(a_recommender(tmp_path), LIKED, "ndcg", floor=0.99)

        assert (line.state, line.facts["value"], line.facts["done"]) == ("passed", 1.0, 3)

    def test_a_wrong_row_shows_the_user_and_the_items(self, tmp_path):
        version = a_recommender(tmp_path, likings=-LIKINGS, top_k=3)

        line = measured(version, LIKED, "ndcg", floor=0.9)

        assert (line.state, line.code) == ("failed", "worse_than_demanded")
        assert line.facts["wrong"][0] == {
            "row": 1,
            "text": "ann",
            "expected": "jam, egg",
            "got": "NDCG 0.00: tea, fig, ham",
        }
        assert GoldenResult.objects.get().wrong == line.facts["wrong"]

    def test_a_user_that_the_version_does_not_know_is_named(self, tmp_path):
        rows = [*LIKED, ({"user": "zoe"}, ["jam"])]

        line = measured(a_recommender(tmp_path), rows, "ndcg")

        assert (line.code, line.facts) == ("row_unfit", {"row": 4})
        assert "knows no user 'zoe'" in line.reason
        assert check(a_recommender(tmp_path, line.run.version.model, fallback_user="ann")).state == "passed"

    def test_what_was_excluded_is_not_answered(self, tmp_path):
        rows = [({"user": "ann", "exclude": ["jam"]}, ["jam"])]

        assert measured(a_recommender(tmp_path), rows, "ndcg").facts["value"] == 0


class TestRanking:
    @pytest.mark.parametrize(
        ("metric", "value"),
        [("ndcg", 1), ("auc", 5 / 6), ("log_loss", None)],
    )
    def test_each_metric(self, tmp_path, metric, value):
        line = measured(a_ranker(tmp_path), CLICKS, metric)

        if value is None:  # the probability of a click is the sigmoid of minus the price
            wrong = [math.log1p(math.exp(-price)) for price in (2, 3, 4)]
            right = [math.log1p(math.exp(price)) for price in (1, 2.5)]
            value = np.mean([*wrong, *right])
        assert (line.state, line.facts["value"]) == ("passed", pytest.approx(value, rel=1e-5))

    def test_auc_needs_all_candidates_even_of_a_version_that_answers_with_the_best(self, tmp_path):
        version = a_ranker(tmp_path, top_k=1)

        assert measured(version, CLICKS, "auc").facts["value"] == pytest.approx(5 / 6)
        put(version.model, [(inputs, [0, *label[1:]]) for inputs, label in CLICKS], "ndcg")
        assert check(version).facts["value"] == pytest.approx(1 / 2)  # the first row has no good one

    def test_a_wrong_row_shows_the_user_and_the_candidates(self, tmp_path):
        line = measured(a_ranker(tmp_path, price=1.0), CLICKS[:1], "auc")

        (wrong,) = line.facts["wrong"]
        assert wrong["text"] == "age: 31; 2 candidates"
        assert (wrong["expected"], wrong["got"]) == ("candidate 0", "candidate 1 (0.881), 0 (0.731)")

    def test_clicks_alone_have_no_auc(self, tmp_path):
        line = measured(a_ranker(tmp_path), [(inputs, [1] * len(label)) for inputs, label in CLICKS], "auc")

        assert (line.state, line.code) == ("failed", "one_class")
        assert "has no AUC: everything in its golden set has the same label" in line.reason
        assert line.facts == {"done": 2, "of": 2}
        assert not GoldenResult.objects.exists()

    def test_scores_that_are_no_probabilities_have_no_log_loss(self, tmp_path):
        line = measured(a_ranker(tmp_path, price=1.0, function="none"), CLICKS, "log_loss")

        assert (line.state, line.code) == ("failed", "no_probabilities")

    def test_more_scores_than_can_be_held(self, tmp_path, monkeypatch):
        monkeypatch.setattr(metrics, "MAX_SCORES", 4)

        assert measured(a_ranker(tmp_path), CLICKS, "auc").code == "too_many_scores"

    def test_long_rows_are_not_held_together(self, tmp_path, monkeypatch):
        asked, real = [], golden._ItemMeasurement._ask

        def ask(self, rows):
            asked.append(len(rows))
            return real(self, rows)

        monkeypatch.setattr(golden._ItemMeasurement, "_ask", ask)
        monkeypatch.setattr(golden, "_ITEM_BYTES", 250)

        assert measured(a_ranker(tmp_path), CLICKS * 3, "auc").state == "passed"
        assert max(asked) == 2


class TestTables:
    @pytest.mark.parametrize(
        ("metric", "value"), [("accuracy", 1), ("f1", 1), ("auc", 1), ("log_loss", None)]
    )
    def test_each_metric_of_labels(self, tmp_path, metric, value):
        line = measured(a_table_classifier(tmp_path, top_k=1), ADULTS, metric)

        if value is None:  # 5, 10 and 10 years from 30
            value = np.mean([math.log1p(math.exp(-years / 10)) for years in (5, 10, 10)])
        assert (line.state, line.facts["value"]) == ("passed", pytest.approx(value, rel=1e-5))

    def test_a_wrong_row_shows_its_columns(self, tmp_path):
        rows = [*ADULTS, ({"row": {"age": 60, "children": 1}}, "no")]

        line = measured(a_table_classifier(tmp_path), rows, "log_loss")

        assert line.facts["wrong"] == [
            {"row": 4, "text": "age: 60, children: 1", "expected": "no", "got": "yes 0.953, no 0.0474"}
        ]

    def test_a_label_that_the_version_does_not_have(self, tmp_path):
        line = measured(a_table_classifier(tmp_path), [*ADULTS, ({"row": [1, 1]}, "maybe")], "auc")

        assert (line.code, line.facts) == ("row_unfit", {"row": 4})
        assert "the label 'maybe'" in line.reason

    def test_missing_values_get_the_default(self, tmp_path):
        rows = [*ADULTS, ({"row": {"age": 60, "children": None}}, "yes")]

        line = measured(a_table_classifier(tmp_path, defaults={"children": 0}), rows, "accuracy")

        assert (line.state, line.facts["value"]) == ("passed", 1)

    def test_the_error_of_numbers(self, tmp_path):
        rows = [({"row": {"rooms": 3, "floor": 1}}, 1_500), ({"row": [2, 0]}, [1_000])]

        line = measured(a_rent_model(tmp_path), rows, "error")

        assert line.facts["value"] == pytest.approx(5)
        assert line.facts["wrong"] == [
            {"row": 1, "text": "rooms: 3, floor: 1", "expected": [1500], "got": [1510.0]}
        ]

    def test_a_label_of_too_many_numbers(self, tmp_path):
        line = measured(a_rent_model(tmp_path), [({"row": [2, 0]}, [1, 2])], "error")

        assert (line.code, line.facts) == ("row_unfit", {"row": 1})
        assert "a label of 2 numbers, but the version gives 1" in line.reason


class TestLessIsBetter:
    """Log loss at the promotion gate."""

    @pytest.mark.parametrize(("floor", "passes"), [(0.5, True), (0.3, False)])
    def test_the_floor_is_the_largest_value(self, tmp_path, floor, passes):
        version = a_table_classifier(tmp_path)

        line = measured(version, ADULTS, "log_loss", floor=floor)

        assert line.facts["value"] == pytest.approx(0.367, abs=1e-3)
        assert (line.state, golden_gate(again(version)).passes) == ("passed" if passes else "failed", passes)
        assert f"at most {floor}" in line.reason

    @pytest.mark.parametrize(("age", "passes"), [(0.2, True), (0.01, False)])
    def test_a_higher_one_than_the_live_version_has_is_worse(self, tmp_path, age, passes):
        live = a_table_classifier(tmp_path)
        measured(live, ADULTS, "log_loss", margin=0.1)
        a_split(live.model, 100, versions=[again(live)])
        other = a_table_classifier(tmp_path, live.model, age=age)

        check(other)

        plan = plan_for(live.model, {again(other): 10_000})
        if passes:
            assert {one.outcome for one in check_gates(plan) if one.name == "golden set"} == {"passed"}
        else:
            with pytest.raises(GoldenGateFailed, match=r"more than 0\.1 worse than live version 1"):
                check_gates(plan)

    def test_a_floor_below_0_is_refused(self, tmp_path):
        with pytest.raises(Invalid, match="The floor of log_loss is the largest value"):
            put(a_table_classifier(tmp_path).model, ADULTS, "log_loss", floor=-1)


def test_labels_of_texts_have_scores_too(tmp_path):
    version = text_versions.a_classifier(tmp_path)
    rows = [({"text": "the coffee was good"}, "positive"), ({"text": "awful coffee"}, "negative")]

    line = measured(version, rows, "log_loss")

    assert line.facts["value"] == pytest.approx(math.log1p(math.exp(-2)), rel=1e-5)


@pytest.mark.parametrize(
    ("task", "row", "words"),
    [
        ("recommendation", {"inputs": {"user": "ann"}, "label": []}, "1 to 10,000 ids"),
        (
            "recommendation",
            {"inputs": {"user": {"a": "\x00"}}, "label": ["jam"]},
            "must be a number, a string",
        ),
        ("ranking", {"inputs": {"user": {}, "candidates": [{}]}, "label": [1, 0]}, "one for each candidate"),
        ("tabular-classification", {"inputs": {"row": {"age": 1}}, "label": 3}, "the name of a label"),
        ("tabular-regression", {"inputs": {"row": {"a": 1}}, "label": "three"}, "must be a number"),
        ("text-classification", {"inputs": {"text": {"a": 1}}, "label": "x"}, "with a text"),
        ("tensor", {"inputs": {"x": {"a": 1}}, "label": 1}, "or lists of these"),
    ],
)
def test_rows_that_are_not_of_the_task(task, row, words):
    model = a_model(task=task)
    metric = {"recommendation": "ndcg", "ranking": "ndcg", "tabular-regression": "error"}.get(
        task, "accuracy"
    )
    with pytest.raises(Invalid, match=words):
        fruit.put_golden(model, [json.dumps(row).encode()], metric=metric, floor=None)
