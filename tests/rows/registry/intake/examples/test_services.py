"""Examples and golden sets: what is taken, what is refused and how, and what a result says."""

import json
from typing import ClassVar

import pytest

from registry.catalogue import artifacts
from registry.catalogue.services import move_alias
from registry.errors import BodyTooLarge, Conflict, Invalid
from registry.intake.checklist.services import start_run
from registry.intake.examples import rows as rules
from registry.intake.examples import selectors, services
from registry.intake.examples.models import GoldenSet
from registry.record.models import AuditRecord
from registry.record.sentences import describe
from tests.support.factories import (
    a_golden_result,
    a_live_model,
    a_model,
    a_split,
    a_version,
    an_actor,
    an_uploaded_version,
)

pytestmark = pytest.mark.django_db
EXAMPLE = {"inputs": {"x": [[1, 2.5]]}, "expected": {"y": [0.5]}}
ROW = {"inputs": {"x": [1, 2]}, "label": "cat"}


def lines(*rows):
    return [json.dumps(row).encode() for row in rows]


def add(version, *examples):
    return services.add_examples(version=version, examples=examples, by=an_actor())


def put(model, given=None, **more):
    values = {"metric": "accuracy", "floor": None, "margin": None, "reason": "because", **more}
    return services.put_golden_set(
        model=model, lines=lines(ROW, ROW) if given is None else given, by=an_actor(), **values
    )


class TestExamples:
    def test_they_are_kept_in_their_order_with_tolerances(self):
        version = an_uploaded_version()

        add(version, EXAMPLE, {**EXAMPLE, "atol": 0.5, "rtol": 0})
        add(version, EXAMPLE)

        kept = selectors.examples_of(version)
        assert [(one.position, one.atol, one.rtol) for one in kept] == [
            (1, rules.ATOL, rules.RTOL), (2, 0.5, 0), (3, rules.ATOL, rules.RTOL),
        ]  # fmt: skip
        assert (kept[0].inputs, kept[0].expected) == (EXAMPLE["inputs"], EXAMPLE["expected"])
        assert AuditRecord.objects.first().after == {"examples": 3}

    @pytest.mark.parametrize(
        ("example", "said"),
        [
            (5, "Example 1 must be an object"),
            ({}, "`inputs`"),
            ({"inputs": {"x": 1}}, "`expected`"),
            ({**EXAMPLE, "inputs": {}}, "`inputs`"),
            ({**EXAMPLE, "inputs": {"": 1}}, "empty"),
            ({**EXAMPLE, "inputs": {"x": None}}, "must be a number"),
            ({**EXAMPLE, "inputs": {"x": {"y": 1}}}, "must be a number"),
            ({**EXAMPLE, "inputs": {"x": float("nan")}}, "must be a number"),
            ({**EXAMPLE, "inputs": {"x": "\0"}}, "must be a number"),
            ({**EXAMPLE, "expected": [1]}, "`expected`"),
            ({**EXAMPLE, "atol": -1}, "`atol`"),
            ({**EXAMPLE, "rtol": True}, "`rtol`"),
            ({**EXAMPLE, "extra": 1}, "extra"),
        ],
    )
    def test_what_is_no_example_is_refused_by_its_number(self, example, said):
        with pytest.raises(Invalid, match=said):
            add(an_uploaded_version(), example)

    def test_lists_may_not_be_deep_without_end(self):
        deep = 1
        for _ in range(100):
            deep = [deep]

        with pytest.raises(Invalid):
            add(an_uploaded_version(), {**EXAMPLE, "inputs": {"x": deep}})

    def test_a_hundred_of_one_mebibyte_together(self):
        version = an_uploaded_version()
        add(version, *[EXAMPLE] * 99)

        with pytest.raises(Invalid, match="100 examples"):
            add(version, EXAMPLE, EXAMPLE)
        with pytest.raises(Invalid, match="bytes"):
            add(version, {**EXAMPLE, "inputs": {"x": "a" * rules.MAX_EXAMPLE_BYTES}})
        with pytest.raises(Invalid, match="at least one"):
            add(version)

    def test_they_come_before_the_version_is_ready(self):
        checking, ready = an_uploaded_version(), a_version()
        start_run(version_id=checking.pk, runtime_version="1", by=an_actor())

        add(checking, EXAMPLE)
        with pytest.raises(Conflict, match="is ready"):
            add(ready, EXAMPLE)


class TestGoldenSets:
    def test_a_set_is_stored_and_read_row_by_row(self):
        model = a_model()

        made = put(model, [b" \n", *lines(ROW), b"", *lines({**ROW, "label": 3})], floor=0.5, margin=0.1)

        assert (made.revision, made.rows, made.is_current) == (1, 2, True)
        assert [(row.number, row.label) for row in selectors.read_golden_rows(made)] == [(1, "cat"), (2, 3)]
        assert selectors.golden_rows_numbered(made, {2})[2].inputs == ROW["inputs"]
        assert artifacts.path_of(made.sha256).read_bytes().count(b"\n") == 2

    def test_another_takes_its_place_and_both_stay(self):
        model = a_model()

        first, second = put(model), put(model, metric="f1")

        assert (second.revision, selectors.the_golden_set(model)) == (2, second)
        assert GoldenSet.objects.get(pk=first.pk).is_current is False
        told = AuditRecord.objects.first()
        assert told.action == "put_golden_set"
        assert (told.before["metric"], told.after["metric"]) == ("accuracy", "f1")

    @pytest.mark.parametrize(
        ("line", "said"),
        [
            (b"{", "Line 2 is not valid JSON"),
            (b"[]", "Line 2 must be an object"),
            (b"{}", "Line 2 must be an object"),
            (b'{"inputs": {"x": 1}}', "Line 2 must be an object"),
            (b'{"inputs": {"x": 1}, "label": "a", "more": 1}', "Line 2 must be an object"),
            (b'{"inputs": {}, "label": "a"}', "Line 2: `inputs`"),
            (b'{"inputs": {"x": null}, "label": "a"}', "Line 2: `inputs`"),
            (b'{"inputs": {"x": NaN}, "label": "a"}', "Line 2 is not valid JSON"),
            (b'{"inputs": {"x": 1}, "label": null}', "Line 2: for accuracy, `label`"),
            (b'{"inputs": {"x": 1}, "label": 1.5}', "Line 2: for accuracy, `label`"),
            (b'{"inputs": {"x": 1}, "label": "%s"}' % (b"a" * 201), "Line 2: for accuracy, `label`"),
            (b"\xff", "Line 2 is not valid JSON"),
        ],
    )
    def test_a_bad_row_is_named_by_its_line_and_nothing_is_kept(self, line, said):
        with pytest.raises(Invalid, match=said):
            put(a_model(), [*lines(ROW), line])

        assert not GoldenSet.objects.exists()

    @pytest.mark.parametrize(
        ("label", "is_good"), [(1.5, True), ([1, 2.5], True), ("1", False), ([], False), (True, False)]
    )
    def test_labels_of_an_error_are_numbers(self, label, is_good):
        given = lines({**ROW, "label": label})

        if is_good:
            assert put(a_model(), given, metric="error").rows == 1
        else:
            with pytest.raises(Invalid, match="number"):
                put(a_model(), given, metric="error")

    @pytest.mark.parametrize(
        "wrong",
        [
            {"metric": "beauty"}, {"floor": 1.1}, {"floor": -0.1}, {"floor": float("nan")}, {"margin": -1},
            {"margin": float("inf")}, {"reason": " "}, {"metric": "error", "floor": -1}, {"given": []},
        ],
        ids=str,
    )  # fmt: skip
    def test_what_it_demands_must_make_sense(self, wrong):
        with pytest.raises(Invalid):
            put(a_model(), **wrong)

    def test_it_is_bounded(self, monkeypatch):
        monkeypatch.setattr(rules, "MAX_ROWS", 2)
        monkeypatch.setattr(rules, "MAX_LINE_BYTES", 100)
        assert put(a_model(), lines(ROW, ROW)).rows == 2

        with pytest.raises(Invalid, match="line 3 is one too many"):
            put(a_model(), lines(ROW, ROW, ROW))
        with pytest.raises(Invalid, match="longer"):
            put(a_model(), lines({**ROW, "label": "a" * 100}))
        monkeypatch.setattr(rules, "MAX_SET_BYTES", 60)
        with pytest.raises(BodyTooLarge):
            put(a_model(), lines(ROW, ROW))


@pytest.mark.both
class TestResults:
    def test_a_result_is_kept_once_and_replaced_when_measured_again(self):
        version = a_version()
        golden_set = put(version.model)

        a_golden_result(version, golden_set, 0.5, [{"row": 1, "expected": "cat", "got": float("nan")}])
        again = a_golden_result(version, golden_set, 0.75)

        assert selectors.result_of(version, golden_set) == again
        assert (again.value, again.wrong) == (0.75, [])

    def test_no_more_than_a_thousand_wrong_answers_are_kept(self):
        version = a_version()
        wrong = [{"row": number, "expected": 1, "got": "\0"} for number in range(1, 1_202)]

        result = a_golden_result(version, put(version.model), 0.5, wrong)

        assert len(result.wrong) == 1_000
        assert result.wrong[0] == {"row": 1, "expected": 1, "got": "\ufffd"}
        assert AuditRecord.objects.first().after["wrong"] == 1_201

    def test_what_is_no_result_is_refused(self):
        version = a_version()

        with pytest.raises(Invalid, match="a different Model"):
            a_golden_result(version, put(a_model()), 0.5)
        with pytest.raises(Invalid, match="not a valid metric value"):
            a_golden_result(version, put(version.model), float("nan"))


class TestGate:
    def test_without_a_set_or_a_result_nothing_was_a_golden_result(self):
        version = a_version()
        nothing = selectors.golden_gate(version)
        put(version.model, floor=0.5)
        unmeasured = selectors.golden_gate(version)

        assert (nothing.value, nothing.passes) == (None, None)
        assert "no golden set" in nothing.sentence
        assert (unmeasured.value, unmeasured.floor, unmeasured.passes) == (None, 0.5, None)

    @pytest.mark.parametrize(
        ("metric", "floor", "margin", "live", "value", "passes"),
        [
            ("accuracy", None, None, 0.9, 0.1, None),
            ("accuracy", 0.8, None, 0.9, 0.8, True),
            ("accuracy", 0.8, None, 0.9, 0.79, False),
            ("accuracy", None, 0.02, 0.9, 0.88, True),
            ("accuracy", None, 0.02, 0.9, 0.87, False),
            ("accuracy", 0.8, 0.02, 0.9, 0.85, False),
            ("accuracy", None, 0.02, None, 0.1, None),
            ("error", 3.0, None, 1.0, 3.0, True),
            ("error", 3.0, None, 1.0, 3.1, False),
            ("error", None, 0.5, 1.0, 1.5, True),
            ("error", None, 0.5, 1.0, 1.6, False),
            ("error", None, 0.0, 1.0, 0.2, True),
        ],
    )
    def test_a_value_beside_the_floor_and_the_live_version(self, metric, floor, margin, live, value, passes):
        model = a_live_model(100)
        version = a_version(model)
        golden_set = put(model, lines({**ROW, "label": 1}), metric=metric, floor=floor, margin=margin)
        if live is not None:
            a_golden_result(model.versions.get(number=1), golden_set, live)
        a_golden_result(version, golden_set, value)

        gate = selectors.golden_gate(version)

        assert (gate.value, gate.champion, gate.champion_value) == (value, 1, live)
        assert gate.passes is passes
        assert gate.sentence.startswith(f"Version 2 has {metric} {value:.4g} on golden set 1")

    def test_the_live_version_is_compared_with_the_floor_alone(self):
        model = a_live_model(100)
        live = model.versions.get()
        golden_set = put(model, floor=0.5, margin=0.1)
        a_golden_result(live, golden_set, 0.75)

        gate = selectors.golden_gate(live)

        assert (gate.champion, gate.passes) == (None, True)
        assert gate.sentence == "Version 1 has accuracy 0.75 on golden set 1, where at least 0.5 is required."

    def test_an_alias_is_not_the_live_version(self):
        version = a_version()
        move_alias(model=version.model, name="next", version=version, reason="x", by=an_actor())

        assert selectors.champion_of(version.model) is None


class TestTexts:
    TEXT_ROW: ClassVar = {"inputs": {"text": "Ada met Bob."}, "label": "positive"}
    ENTITIES: ClassVar = {
        "inputs": {"text": "Ada met Bob."},
        "label": [{"label": "PER", "start": 0, "end": 3}, {"label": "PER", "start": 8, "end": 11}],
    }

    def test_rows_of_texts_and_of_entities(self):
        labelled = put(a_model(task="text-classification"), lines(self.TEXT_ROW))
        found = put(
            a_model(task="entities"), lines(self.ENTITIES, {**self.ENTITIES, "label": []}), metric="span_f1"
        )

        assert (labelled.rows, found.rows) == (1, 2)

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"inputs": {"x": [1]}}, "Line 1: `inputs` must be an object with a text"),
            ({"inputs": {"text": ["Lovely"]}}, "Line 1: `inputs` must be"),
            ({"inputs": {"text": "a", "top_k": 1}}, "Line 1: `inputs` must be"),
            ({"label": 1}, "Line 1: `label` must be the name"),
            ({"label": ""}, "Line 1: `label` must be the name"),
            ({"label": ["positive"]}, "Line 1: `label` must be the name"),
        ],
    )
    def test_a_bad_row_of_a_classification_is_named_with_its_field(self, change, said):
        with pytest.raises(Invalid, match=said):
            put(a_model(task="text-classification"), lines({**self.TEXT_ROW, **change}))
        assert not GoldenSet.objects.exists()

    @pytest.mark.parametrize(
        ("label", "said"),
        [
            ("PER", "`label` must be a list"),
            ([{"label": "PER", "start": 0}], r"`label\[0\]` must be an object"),
            ([{"label": "PER", "start": 0, "end": 3, "score": 1}], r"`label\[0\]` must be an object"),
            ([{"label": "", "start": 0, "end": 3}], r"`label\[0\]\.label` must be"),
            ([{"label": "PER", "start": 0.0, "end": 3}], r"`label\[0\]\.start` must be"),
            ([{"label": "PER", "start": False, "end": 3}], r"`label\[0\]\.start` must be"),
            ([{"label": "PER", "start": 8, "end": 13}], r"from 8 to 13, .* has 12 characters"),
            ([{"label": "PER", "start": 3, "end": 3}], "not a piece of the text"),
            ([{"label": "PER", "start": -1, "end": 3}], "not a piece of the text"),
            ([{"label": "PER", "start": 0, "end": 3}] * 2, r"`label\[1\]` is there twice"),
        ],
    )
    def test_a_bad_row_of_entities_is_named_with_its_field(self, label, said):
        with pytest.raises(Invalid, match=f"Line 2: .*{said}"):
            put(
                a_model(task="entities"),
                lines(self.ENTITIES, {**self.ENTITIES, "label": label}),
                metric="span_f1",
            )

    def test_places_count_code_points(self):
        row = {"inputs": {"text": "👩‍👧 Ada"}, "label": [{"label": "PER", "start": 4, "end": 7}]}

        assert put(a_model(task="entities"), lines(row), metric="span_f1").rows == 1

    @pytest.mark.parametrize(
        ("task", "metric"),
        [
            ("entities", "f1"),
            ("text-classification", "span_f1"),
            ("text-classification", "error"),
            ("tensor", "span_f1"),
            ("tensor", "auc"),
            ("recommendation", "auc"),
            ("ranking", "accuracy"),
            ("tabular-regression", "log_loss"),
        ],
    )
    def test_a_metric_that_does_not_fit_the_task_is_refused(self, task, metric):
        with pytest.raises(Invalid, match=rf"{metric} does not fit the task of [\w-]+, {task}; use "):
            put(a_model(task=task), iter(()), metric=metric)


class TestPreprocessing:
    def test_it_is_that_of_the_live_version(self):
        model = a_model()
        live = a_version(model, preprocessing="a" * 16)
        a_version(model, preprocessing="b" * 16)
        a_split(model, 100, versions=[live])

        assert put(model).preprocessing == "a" * 16

    def test_without_a_live_version_the_newest_that_is_ready(self):
        model = a_model()
        for letter in "ab":
            a_version(model, preprocessing=letter * 16)
        an_uploaded_version(model)

        assert put(model).preprocessing == "b" * 16

    def test_that_of_the_version_that_is_named(self):
        model = a_model()
        first = a_version(model, preprocessing="a" * 16)
        a_version(model, preprocessing="b" * 16)

        assert put(model, version=first).preprocessing == "a" * 16

    def test_a_version_that_is_not_ready_or_anothers_cannot_be_named(self):
        model = a_model()

        with pytest.raises(Conflict, match="is uploaded"):
            put(model, version=an_uploaded_version(model))
        with pytest.raises(Invalid, match="not a version of"):
            put(model, version=a_version())

    @staticmethod
    def measure(version, golden_set, value, letter=""):
        services.record_golden_result(
            version=version, golden_set=golden_set, value=value, rows=1, wrong=[],
            preprocessing=letter * 16, by=an_actor(),
        )  # fmt: skip
        return GoldenSet.objects.get(pk=golden_set.pk).preprocessing

    def test_the_first_version_that_passes_sets_it_and_no_other_changes_it(self):
        model = a_model()
        golden_set = put(model, floor=0.5)
        assert golden_set.preprocessing == ""

        measured = [
            self.measure(a_version(model), golden_set, value, letter)
            for letter, value in [("f", 0.4), ("", 0.5), ("a", 0.5), ("b", 0.9)]
        ]

        assert measured == ["", "", "a" * 16, "a" * 16]
        said = [describe(record) for record in AuditRecord.objects.filter(action="record_golden_result")]
        assert [text.partition("; ")[2] for text in said] == [
            "", f"the set is for pre-processing {'a' * 16} now", "", "",
        ]  # fmt: skip

    def test_where_nothing_is_required_the_live_version_decides(self):
        model = a_model()
        golden_set = put(model)
        live, other = a_version(model), a_version(model)

        assert self.measure(other, golden_set, 0.9, "b") == ""
        a_split(model, 100, versions=[live])
        assert self.measure(other, golden_set, 0.9, "b") == ""  # an earlier release checked the live one
        assert self.measure(live, golden_set, 0.5, "a") == "a" * 16

    def test_a_live_version_that_was_measured_before_decides_too(self):
        model = a_model()
        golden_set = put(model)
        live = a_version(model, preprocessing="a" * 16)
        a_split(model, 100, versions=[live])

        assert self.measure(a_version(model), golden_set, 0.9, "b") == "a" * 16
