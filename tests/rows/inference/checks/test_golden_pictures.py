"""Versions that answer pictures are measured on pictures."""

import json

import pytest

from inference.checks import average_precision, proofs
from inference.checks.runner import run_checks
from inference.checks.steps import golden
from inference.checks.trial import Trial
from inference.engine.backends import SessionOptions
from registry.catalogue import artifacts
from registry.catalogue import services as catalogue
from registry.catalogue.models import Version
from registry.intake.examples.models import GoldenResult, GoldenSet
from registry.intake.examples.selectors import golden_gate
from tests.support import fruit
from tests.support.factories import a_model, an_actor
from tests.support.picture_models import (
    COLOURS,
    COLOURS_CONFIG,
    PATCHES_CONFIG,
    a_picture,
    in_base64,
    write_colours,
    write_patches,
)

pytestmark = pytest.mark.django_db
RED, GREEN, BLUE = (a_picture(tuple(255 * (name == each) for each in COLOURS)) for name in COLOURS)
LABELLED = [(RED, "red"), (GREEN, "green"), (BLUE, "blue")]
CELL = {"label": "red", "box": [16, 16, 32, 32]}
PATCH = (a_picture((0, 0, 0), red=(16, 16, 32, 32)), [CELL])


def check(version):
    run = run_checks(version_id=version.pk, options_for=lambda _: SessionOptions(), by=an_actor())
    return run.lines.get(step="golden")


def put(model, rows, **more):
    lines = [
        json.dumps({"inputs": {"image": in_base64(picture)}, "label": label}).encode()
        for picture, label in rows
    ]
    return fruit.put_golden(model, lines, **more)


def colours(folder, rows=LABELLED, *, model=None, **more):
    return _brought_in(
        write_colours(folder / "c.onnx"), "image-classification", COLOURS_CONFIG, rows, model, more
    )


def patches(folder, rows=(PATCH,), *, model=None, **more):
    more = {"metric": "map50", **more}
    return _brought_in(
        write_patches(folder / "p.onnx"), "object-detection", PATCHES_CONFIG, rows, model, more
    )


def _brought_in(path, task, config, rows, model, more):
    config = {**config, **more.pop("config", {})}
    model = model or a_model("pictures", task=task)
    with path.open("rb") as source:
        file = artifacts.store(artifacts.read_chunks(source))
    version = catalogue.register_version(model=model, file=file, task_config=config, by=an_actor())
    if rows:
        put(model, rows, **more)
    return version


@pytest.mark.parametrize("metric", ["accuracy", "f1"])
def test_labels_are_compared_by_their_names(tmp_path, metric):
    line = check(colours(tmp_path, metric=metric))

    assert (line.state, line.facts["value"], line.facts["done"]) == ("passed", 1.0, 3)


def test_wrong_rows_hold_no_picture(tmp_path):
    line = check(colours(tmp_path, [*LABELLED, (RED, "green")], floor=0.7))

    assert line.facts["wrong"] == [{"row": 4, "expected": "green", "got": "red"}]
    assert GoldenResult.objects.get().wrong == line.facts["wrong"]


@pytest.mark.parametrize("metric", ["map50", "map"])
def test_boxes_are_measured(tmp_path, metric):
    line = check(patches(tmp_path, metric=metric))

    assert (line.state, line.facts["value"], line.facts["done"]) == ("passed", 1.0, 1)


def test_missed_and_false_boxes_are_told(tmp_path):
    moved = (PATCH[0], [{**CELL, "box": [40, 40, 60, 60]}])

    line = check(patches(tmp_path, [PATCH, moved], floor=None))

    assert line.facts["value"] == pytest.approx(51 / 101)
    (wrong,) = line.facts["wrong"]
    assert (wrong["expected"], wrong["got"]) == ("1 red", "1 red; missed: 1 red; not in the set: 1 red")


def test_more_boxes_than_can_be_held(tmp_path, monkeypatch):
    monkeypatch.setattr(average_precision, "MAX_FOUND", 0)

    assert check(patches(tmp_path)).code == "too_many_boxes"


def test_pictures_share_runs_until_they_are_too_large_together(tmp_path, monkeypatch):
    asked, real = [], golden._ItemMeasurement._ask

    def ask(self, rows):
        asked.append(len(rows))
        return real(self, rows)

    version = colours(tmp_path, LABELLED * 30)
    monkeypatch.setattr(golden._ItemMeasurement, "_ask", ask)

    assert check(version).facts["done"] == 90
    assert asked == [64, 26]
    asked.clear()
    monkeypatch.setattr(golden, "_ITEM_BYTES", 3 * (len(in_base64(RED)) + 100))
    assert check(again(version)).facts["done"] == 90
    assert max(asked) == 3 and len(asked) == 30


def test_pictures_with_too_many_pixels_together_are_asked_in_halves(tmp_path, monkeypatch):
    sizes, real = [], Trial.run

    def run(self, inputs, *rest, **more):
        sizes.append(len(inputs["pixels"]))
        return real(self, inputs, *rest, **more)

    large = a_picture((255, 0, 0), size=(5000, 4000))  # 20 million pixels; a request may have 100
    version = colours(tmp_path, [(large, "red")] * 8)
    monkeypatch.setattr(Trial, "run", run)

    assert check(version).facts["value"] == 1.0
    assert sizes[-2:] == [4, 4]


def test_a_picture_that_the_version_refuses_is_named(tmp_path):
    rows = [*LABELLED, (a_picture(size=(100, 100)), "red"), *LABELLED]

    line = check(colours(tmp_path, rows, floor=None, config={"max_pixels": 5_000}))

    assert (line.code, line.facts["row"]) == ("row_unfit", 4)
    assert "iVBOR" not in line.reason


@pytest.mark.parametrize(("most", "known"), [(0.1, 1), (2.5, 2), (100, 3)], ids=["none fits", "two", "all"])
def test_few_large_pictures_are_held_for_the_proof(tmp_path, monkeypatch, most, known):
    row = len(in_base64(RED)) + 40
    monkeypatch.setattr(proofs, "_GOLDEN_BYTES", most * row)

    examples = proofs.known_inputs(colours(tmp_path)).examples

    assert [one["image"] for one in examples] == [in_base64(picture) for picture, _ in LABELLED][:known]


def again(version):
    return Version.objects.select_related("model").get(pk=version.pk)


CHANGES = {
    "mean": {"mean": [0.1, 0, 0]},
    "resampler": {"resampler": "bicubic"},
    "label order": {"labels": ["blue", "green", "red"]},
}


@pytest.mark.parametrize("changed", CHANGES.values(), ids=CHANGES)
def test_other_pre_processing_gains_no_live_share(tmp_path, changed):
    first = colours(tmp_path)
    check(first)
    assert GoldenSet.objects.get().preprocessing == again(first).preprocessing != ""

    second = colours(tmp_path, rows=(), model=first.model, config=changed)
    line = check(second)

    assert (line.state, line.code) == ("failed", "other_preprocessing")
    assert golden_gate(again(second)).passes is False


def test_the_same_pre_processing_may_gain_it(tmp_path):
    """The control."""
    first = colours(tmp_path)
    check(first)

    second = colours(tmp_path, rows=(), model=first.model)

    assert check(second).state == "passed"
    assert golden_gate(again(second)).passes is not False
