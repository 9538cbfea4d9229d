"""A version is measured on its Model's golden set, and so is the live one if it is not measured yet."""

import json
from functools import partial

import numpy as np
import pytest

from inference.checks.runner import run_checks
from inference.checks.steps import base, golden
from inference.checks.trial import Trial
from registry.catalogue.models import Version
from registry.catalogue.services import change_serving
from registry.intake.checklist.models import CheckLine
from registry.intake.examples.models import GoldenResult
from tests.support import fruit, onnx_models
from tests.support.factories import a_model, an_actor

pytestmark = pytest.mark.django_db


def check(version):
    run = run_checks(version_id=version.pk, options_for=lambda _: fruit.OPTIONS, by=an_actor())
    return run.lines.get(step="golden")


def tensor_model(path, lines, *, metric="error", floor=None, build=onnx_models.identity):
    """A version of plain tensors with a golden set; nothing has checked it yet."""
    model = a_model()
    rows = [json.dumps(line).encode() for line in lines]
    fruit.put_golden(model, rows, metric=metric, floor=floor)
    return fruit.bring_in(build(path), model, labels=None)


def line_of(x, label):
    return {"inputs": {"x": x}, "label": label}


def a_classifier(folder, lines, *, changes=None, **golden_set):
    """A version of fruit with a golden set; nothing has checked it yet."""
    model = fruit.fruit_model()
    fruit.put_golden(model, lines, **golden_set)
    version = fruit.bring_in_right(folder, model)
    if changes:
        change_serving(version=version, changes=changes, reason="test", by=an_actor())
    return version


class TestAgainstTheLiveVersion:
    def live_then_another(self, folder, **golden_set):
        model = fruit.go_live(folder).model
        fruit.put_golden(model, fruit.golden_lines(), floor=None, **golden_set)
        return fruit.bring_in_wrong(folder, model, "rounded weights")

    def test_it_is_measured_if_it_is_not_yet(self, tmp_path):
        version = self.live_then_another(tmp_path, margin=0.001)

        line = check(version)

        assert (line.state, line.code) == ("failed", "worse_than_demanded")
        assert line.facts["champion_value"] == 1.0 > line.facts["value"]
        assert GoldenResult.objects.get(version__number=1).value == 1.0
        assert "worse than live version 1 (1)" in line.reason

    def test_within_the_margin_it_passes_and_what_is_known_is_not_measured_again(self, tmp_path):
        version = self.live_then_another(tmp_path, margin=0.5)
        assert check(version).state == "passed"
        before = GoldenResult.objects.get(version__number=1).created_at

        check(version)

        assert GoldenResult.objects.get(version__number=1).created_at == before

    def test_a_live_version_that_cannot_be_measured_is_told(self, tmp_path, monkeypatch):
        version = self.live_then_another(tmp_path, margin=0.5)
        live = Version.objects.get(model=version.model, number=1)
        real = base.Trial

        def only_the_new(path, options, **more):
            is_live = options.expected_sha256 == live.artifact.sha256
            return real(
                path, options, **more, **({"backend": "tests.support.hostile:Crashing"} if is_live else {})
            )

        monkeypatch.setattr(base, "Trial", only_the_new)

        line = check(version)

        assert line.state == "passed"
        assert f"{live} could not be loaded" in line.facts["champion_not_measured"]


class TestMetrics:
    def test_error_is_the_mean_distance(self, tmp_path):
        lines = [line_of([1.0, 2, 3, 4], [1.0, 2, 3, 8]), line_of([5.0, 6, 7, 8], [5.0, 6, 7, 8])]

        line = check(tensor_model(tmp_path / "m.onnx", lines, floor=0.6))

        assert (line.state, line.facts["value"]) == ("passed", 0.5)
        assert line.facts["wrong"] == [{"row": 1, "expected": [1, 2, 3, 8], "got": [1, 2, 3, 4]}]

    def test_more_error_than_the_floor_fails(self, tmp_path):
        line = check(tensor_model(tmp_path / "m.onnx", [line_of([1.0, 0, 0, 0], [2.0, 0, 0, 0])], floor=0.1))

        assert (line.state, line.code) == ("failed", "worse_than_demanded")

    def test_f1_counts_rare_labels_as_much_as_frequent(self, tmp_path):
        line = check(a_classifier(tmp_path, fruit.golden_lines(wrong=6), metric="f1"))

        assert line.facts["metric"] == "f1" and 0.7 < line.facts["value"] < 0.9

    def test_labels_may_be_indices(self, tmp_path):
        rows = fruit.some_rows(20)
        best = fruit.scores_of(rows).argmax(axis=1)
        lines = [line_of(row.tolist(), int(one)) for row, one in zip(rows, best, strict=True)]

        line = check(a_classifier(tmp_path, [json.dumps(line).encode() for line in lines]))

        assert line.facts["value"] == 1.0

    def test_plain_tensors_answer_with_their_largest_index(self, tmp_path):
        lines = [line_of([0.0, 9, 0, 0], 1), line_of([[0.0, 0, 0, 9]], 3), line_of([5.0, 0, 0, 0], 2)]

        line = check(tensor_model(tmp_path / "m.onnx", lines, metric="accuracy"))

        assert line.facts["value"] == pytest.approx(2 / 3)
        assert line.facts["wrong"] == [{"row": 3, "expected": 2, "got": 0}]


class TestRows:
    @pytest.mark.parametrize(("changes", "runs"), [({}, [4, 4, 2]), ({"merging": "never"}, [1] * 10)])
    def test_they_run_in_batches_of_what_the_version_takes(self, tmp_path, monkeypatch, changes, runs):
        sizes, real = [], Trial.run

        def run(self, inputs, *rest, **more):
            sizes.append(len(inputs["x"]))
            return real(self, inputs, *rest, **more)

        monkeypatch.setattr(Trial, "run", run)

        check(a_classifier(tmp_path, fruit.golden_lines(10), changes={"max_batch_rows": 4, **changes}))

        assert sizes == runs

    @pytest.mark.parametrize(
        ("shape", "pairs"),
        [
            (("rows", "columns"), [([1.0], [1.0]), ([1.0, 2], [1.0, 2]), ([3.0, 4], [3.0, 4])]),
            ((1, 2), [([1.0, 2], [1.0, 2]), ([[3.0, 4]], [3.0, 4])]),
        ],
        ids=["rows of other sizes", "a version that takes one row"],
    )
    def test_what_fits_no_common_run_has_its_own(self, tmp_path, shape, pairs):
        lines = [line_of(*pair) for pair in pairs]
        build = partial(onnx_models.identity, shape=shape)

        assert check(tensor_model(tmp_path / "m.onnx", lines, build=build)).facts["value"] == 0

    def test_progress_is_seen(self, tmp_path, monkeypatch):
        monkeypatch.setattr(golden, "_PROGRESS_EVERY_S", 0)
        seen, real = [], Trial.run

        def run(self, inputs, *rest, **more):
            seen.append(CheckLine.objects.get(step="golden").facts)
            return real(self, inputs, *rest, **more)

        monkeypatch.setattr(Trial, "run", run)

        check(a_classifier(tmp_path, fruit.golden_lines(10), changes={"max_batch_rows": 5}))

        assert seen == [{"done": done, "of": 10, "version": 1} for done in (0, 5)]

    def test_wrong_rows_are_kept_up_to_a_bound(self, tmp_path):
        line = check(a_classifier(tmp_path, fruit.golden_lines(1200, wrong=1200)))

        assert len(line.facts["wrong"]) == 10
        assert len(GoldenResult.objects.get().wrong) == 1000


class TestFailures:
    """What keeps a version from being measured fails the line, and leaves the version ready."""

    def failed(self, version):
        line = check(version)
        assert line.state == "failed" and line.reason.endswith(".") and line.advice.endswith(".")
        assert Version.objects.get(pk=version.pk).is_servable
        assert not GoldenResult.objects.exists()
        return line

    def test_a_row_that_does_not_fit(self, tmp_path):
        line = self.failed(tensor_model(tmp_path / "m.onnx", [line_of([1.0, 2], [1.0, 2])]))

        assert (line.code, line.facts) == ("row_unfit", {"row": 1})

    def test_a_label_of_another_size(self, tmp_path):
        line = self.failed(tensor_model(tmp_path / "m.onnx", [line_of([1.0, 2, 3, 4], 1.0)]))

        assert line.code == "row_unfit" and "a label of 1 numbers" in line.reason

    def test_an_answer_that_is_not_finite(self, tmp_path):
        def divides(path):
            return onnx_models.save(
                path,
                [onnx_models.helper.make_node("Div", ["x", "zero"], ["y"])],
                [onnx_models.value("x", ("rows", 4))],
                [onnx_models.value("y", ("rows", 4))],
                [onnx_models.numpy_helper.from_array(np.float32(0), "zero")],
            )

        version = tensor_model(tmp_path / "m.onnx", [line_of([1.0] * 4, [1.0] * 4)], build=divides)

        assert self.failed(version).code == "not_finite"

    def test_a_row_on_which_it_crashes(self, tmp_path, monkeypatch):
        version = tensor_model(tmp_path / "m.onnx", [line_of([666.0, 0, 0, 0], [1.0] * 4)])
        misbehaving = partial(base.Trial, backend="tests.support.hostile:Answering")
        monkeypatch.setattr(base, "Trial", misbehaving)

        assert self.failed(version).code == "run_failed"

    def test_more_rows_than_there_is_time_for(self, tmp_path, monkeypatch):
        monkeypatch.setattr(golden, "BUDGET_S", 0.0)
        lines = [line_of([1.0] * 4, [1.0] * 4)] * 3

        line = self.failed(tensor_model(tmp_path / "m.onnx", lines))

        assert (line.code, line.facts) == ("out_of_time", {"done": 0, "of": 3})


def test_the_live_version_does_not_measure_itself_against_itself(tmp_path):
    version = fruit.go_live(tmp_path)
    fruit.put_golden(version.model, fruit.golden_lines(), margin=0.0)

    line = check(version)

    assert (line.state, line.facts["champion"], line.facts["value"]) == ("passed", None, 1.0)


def test_a_replaced_set_is_measured_again(tmp_path):
    version = fruit.go_live(tmp_path)
    for wrong in (0, 3):
        fruit.put_golden(version.model, fruit.golden_lines(wrong=wrong))
        check(version)

    assert sorted(GoldenResult.objects.values_list("value", flat=True)) == [0.95, 1.0]
