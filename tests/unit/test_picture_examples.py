"""The examples with pictures are right on their golden sets and on what a person would draw, alone and in batches."""

import io
import json
import math
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
from PIL import Image, ImageDraw

from inference.pipelines.boxes import suggest_layout
from inference.pipelines.image_classification import ImageClassification
from inference.pipelines.object_detection import ObjectDetection
from inference.tensors.signature import Signature, TensorSpec

EXAMPLES = Path(__file__).parents[2] / "examples"
TASKS = {task.task: task for task in (ImageClassification, ObjectDetection)}
NAMES = ["figures", "shapes", "contraband"]
LABELS = ["circle", "square", "triangle", "star"]
LOWER_HALF = [(0.42, 0.0)] + [
    (0.42 * math.cos(turn / 12 * math.pi), 0.58 + 0.42 * math.sin(turn / 12 * math.pi)) for turn in range(13)
]
OUTLINES = {
    "weapon": [
        (-1, -0.5),
        (0.85, -0.5),
        (1, 0.65),
        (0.55, 0.65),
        (0.35, 0.1),
        (-0.05, 0.3),
        (-0.1, 0),
        (-1, 0),
    ],
    "drugs": LOWER_HALF + [(-right, -down) for right, down in LOWER_HALF],
}
STYLES = {
    "filled, on white": {"ink": "firebrick", "paper": "white", "width": 400},
    "filled, on black": {"ink": "gold", "paper": "black", "width": 1_600},
    "in black ink": {"ink": "black", "paper": "white", "width": 800, "pen": 9},
    "in chalk": {"ink": "white", "paper": "darkslategray", "width": 1_000, "pen": 16},
    "a bad JPEG": {"ink": "royalblue", "paper": "khaki", "width": 200, "quality": 30},
}


@cache
def example(name: str) -> tuple[Any, onnxruntime.InferenceSession]:
    folder = EXAMPLES / name
    about = json.loads((folder / "about.json").read_text())
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    return TASKS[about["task"]](about["task_config"], {}, signature_of(session)), session


def signature_of(session) -> Signature:
    return Signature(*(tuple(map(_spec, found)) for found in (session.get_inputs(), session.get_outputs())))


def _spec(tensor) -> TensorSpec:
    shape = tuple(size if isinstance(size, int) else None for size in tensor.shape)
    return TensorSpec(tensor.name, "FP32", shape)


def ask(name: str, pictures: list[Any]) -> list[Any]:
    pipeline, session = example(name)

    def run(inputs):
        return dict(zip([one.name for one in session.get_outputs()], session.run(None, inputs), strict=True))

    return pipeline.answer({"images": pictures}, run, most_rows=len(pictures))


def golden_rows(name: str) -> tuple[list[bytes], list[Any]]:
    with zipfile.ZipFile(EXAMPLES / name / "golden.zip") as archive:
        rows = [json.loads(line) for line in archive.read("labels.jsonl").splitlines()]
        return [archive.read(row["image"]) for row in rows], [row["label"] for row in rows]


def corners_of(label: str, x: float, y: float, radius: float) -> list[tuple[float, float]]:
    if label in OUTLINES:
        return [(x + right * radius, y + down * radius) for right, down in OUTLINES[label]]
    rays = {"circle": 90, "square": 4, "triangle": 3, "star": 10}[label]
    return [
        (
            x + reach * math.sin(2 * math.pi * (turn + (label == "square") / 2) / rays),
            y - reach * math.cos(2 * math.pi * (turn + (label == "square") / 2) / rays),
        )
        for turn in range(rays)
        for reach in [radius * 0.42 if label == "star" and turn % 2 else radius]
    ]


def drawn(shapes, *, ink, paper, width, pen=0, quality=0) -> bytes:
    """A file with shapes, whose places are given for a picture of 100 × 80."""
    image = Image.new("RGB", (width, width * 4 // 5), paper)
    brush = ImageDraw.Draw(image)
    for label, *place in shapes:
        corners = corners_of(label, *(value * width / 100 for value in place))
        if pen:
            brush.line([*corners, *corners[:2]], fill=ink, width=pen, joint="curve")
        else:
            brush.polygon(corners, fill=ink)
        if label == "drugs":  # its other half, or the line between them
            half = corners[: len(corners) // 2 + 1]
            brush.line([half[0], half[-1]], fill=ink, width=pen) if pen else brush.polygon(
                half, fill="seagreen"
            )
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality) if quality else image.save(file, "PNG")
    return file.getvalue()


def overlap(one, other) -> float:
    sides = [min(one[at + 2], other[at + 2]) - max(one[at], other[at]) for at in (0, 1)]
    common = max(0, sides[0]) * max(0, sides[1])
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return common / (sum(areas) - common)


def unmatched(answer, wanted) -> list[Any]:
    """Shapes that were not found, and objects that are none of them."""
    left, wrong = list(wanted), []
    for found in answer.objects:
        corners = (found.box.x1, found.box.y1, found.box.x2, found.box.y2)
        fitting = [one for one in left if one["label"] == found.label and overlap(one["box"], corners) >= 0.5]
        if fitting:
            left.remove(fitting[0])
        else:
            wrong.append(found)
    return left + wrong


def test_figures_of_the_golden_set():
    pictures, labels = golden_rows("figures")

    answers = ask("figures", pictures)

    assert len(pictures) == 12
    assert set(labels) == set(LABELS)
    assert [answer.labels[0].label for answer in answers] == labels


def test_shapes_of_the_golden_set():
    pictures, labels = golden_rows("shapes")

    answers = ask("shapes", pictures)

    assert len(pictures) == 12
    assert {box["label"] for boxes in labels for box in boxes} == set(LABELS)
    assert [unmatched(answer, wanted) for answer, wanted in zip(answers, labels, strict=True)] == [[]] * 12


@pytest.mark.parametrize("style", STYLES.values(), ids=list(STYLES))
def test_figures_as_people_draw_them(style):
    pictures = [drawn([(label, 45, 42, 30)], **style) for label in LABELS]

    answers = ask("figures", pictures)

    assert [answer.labels[0].label for answer in answers] == LABELS
    assert min(answer.labels[0].score for answer in answers) > 0.6


@pytest.mark.parametrize("style", STYLES.values(), ids=list(STYLES))
def test_shapes_as_people_draw_them(style):
    places = [("circle", 20, 20, 15), ("square", 75, 22, 18), ("triangle", 28, 60, 17), ("star", 76, 58, 20)]
    scale = style["width"] / 100
    wanted = []
    for label, *place in places:
        xs, ys = zip(*corners_of(label, *(value * scale for value in place)), strict=True)
        wanted.append({"label": label, "box": [min(xs), min(ys), max(xs), max(ys)]})

    (answer,) = ask("shapes", [drawn(places, **style)])

    assert unmatched(answer, wanted) == []


def test_contraband_of_the_golden_set():
    pictures, labels = golden_rows("contraband")

    answers = ask("contraband", pictures)

    assert len(pictures) == 12
    assert sorted({tuple(sorted({box["label"] for box in boxes})) for boxes in labels}) == [
        (), ("drugs",), ("drugs", "weapon"), ("weapon",),
    ]  # fmt: skip
    missed = [
        one for answer, wanted in zip(answers, labels, strict=True) for one in unmatched(answer, wanted)
    ]
    assert [one["label"] for one in missed] == ["weapon", "weapon"]  # of 16 figures; no box is false


@pytest.mark.parametrize("style", STYLES.values(), ids=list(STYLES))
def test_contraband_as_people_draw_it_among_plain_shapes(style):
    places = [("weapon", 24, 22, 18), ("circle", 75, 22, 15), ("star", 28, 60, 16), ("drugs", 76, 58, 18)]
    scale = style["width"] / 100
    wanted = []
    for label, *place in [places[0], places[3]]:
        xs, ys = zip(*corners_of(label, *(value * scale for value in place)), strict=True)
        wanted.append({"label": label, "box": [min(xs), min(ys), max(xs), max(ys)]})

    (answer,) = ask("contraband", [drawn(places, **style)])

    assert unmatched(answer, wanted) == []


def test_screenshots_have_no_contraband():
    pictures = sorted((EXAMPLES.parent / "docs" / "pictures").glob("*.png"))

    found = {path.name: ask("contraband", [path.read_bytes()])[0].objects for path in pictures}

    assert len(found) > 5
    assert {name: objects for name, objects in found.items() if objects} == {}


@pytest.mark.parametrize("name", ["shapes", "contraband"])
@pytest.mark.parametrize("paper", ["white", "black", "olive"])
def test_an_empty_picture_has_no_shapes(name, paper):
    (answer,) = ask(name, [drawn([], ink="red", paper=paper, width=300)])

    assert answer.objects == []


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_is_answered_like_its_pictures_alone(name):
    pictures, _ = golden_rows(name)

    assert ask(name, pictures) == [ask(name, [picture])[0] for picture in pictures]


@pytest.mark.parametrize("name", NAMES)
def test_its_notes_are_honest_and_its_sample_is_answered(name):
    folder = EXAMPLES / name
    about, sample = (json.loads((folder / file).read_text()) for file in ("about.json", "sample.json"))

    assert "a script drew" in about["notes"]
    assert "not for real use" in about["notes"]
    assert len(ask(name, [sample["image"]])) == 1
    assert len(sample["image"]) < 4_000
    assert (folder / "golden.zip").stat().st_size < 60_000


def test_the_files_metadata_state_labels_and_size():
    _, session = example("shapes")
    metadata = session.get_modelmeta().custom_metadata_map

    suggestion = suggest_layout(metadata, signature_of(session))

    assert suggestion.config == {"labels": LABELS, "width": 160, "height": 160}
    assert suggestion.missing == ("box_layout", "resize")
