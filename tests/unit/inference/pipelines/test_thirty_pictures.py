"""Thirty pictures of all kinds against an independent reference: inputs to a level of grey, boxes to half a pixel."""

from functools import cache

import numpy as np
import pytest

from inference.pipelines.image_classification import ImageClassification
from inference.pipelines.object_detection import ObjectDetection
from inference.tensors.signature import Signature, TensorSpec
from tests.support.pipelines import decoded, inputs_of
from tests.support.plain_pictures import classified, letterboxed, resized, thirty_pictures, turned

PICTURES = thirty_pictures()
WIDTH, HEIGHT, SHORTER_SIDE = 64, 48, 73
LABELS = ["cat", "dog", "tram"]
PIXELS = TensorSpec("pixels", "FP32", (None, 3, HEIGHT, WIDTH))
each_picture = pytest.mark.parametrize("name", PICTURES)


def test_there_are_thirty():
    assert len(PICTURES) == 30


@each_picture
def test_the_input_of_a_classifier(name):
    plain = PICTURES[name]
    signature = Signature((PIXELS,), (TensorSpec("scores", "FP32", (None, 3)),))
    config = {"labels": LABELS, "shorter_side": SHORTER_SIDE, "mean": [0, 0, 0], "std": [1, 1, 1]}
    pipeline = ImageClassification(config, {}, signature)

    (tensor,) = inputs_of(pipeline, {"image": plain.data}).values()

    expected = classified(plain, WIDTH, HEIGHT, SHORTER_SIDE).transpose(2, 0, 1) / 255
    assert np.abs(tensor[0] - expected).max() <= 1 / 255 + 1e-6


# By name: the layout, and the outputs that hold boxes (in the input's pixels) of three classes.


def rows_of(boxes, classes):
    corners = np.array(boxes)
    sizes = corners[:, 2:] - corners[:, :2]
    scores = np.full((len(boxes), 3), 0.01)
    scores[np.arange(len(boxes)), classes] = 0.9 - 0.05 * np.arange(len(boxes))  # best first
    return corners, np.hstack([corners[:, :2] + sizes / 2, sizes]), scores


def v5(boxes, classes):
    _, centres, scores = rows_of(boxes, classes)
    return [np.hstack([centres, np.full((len(boxes), 1), 0.95), scores])]


def v8(boxes, classes):
    _, centres, scores = rows_of(boxes, classes)
    return [np.hstack([centres, scores]).T]


def v10(boxes, classes):
    corners, _, scores = rows_of(boxes, classes)
    return [np.hstack([corners, scores.max(axis=1, keepdims=True), np.array(classes)[:, None]])]


def rtdetr(boxes, classes):
    _, centres, scores = rows_of(boxes, classes)
    shares = centres / [WIDTH, HEIGHT, WIDTH, HEIGHT]
    return [np.hstack([shares, scores.max(axis=1, keepdims=True), np.array(classes)[:, None]])]


def rtdetr_scores(boxes, classes):
    _, centres, scores = rows_of(boxes, classes)
    return [np.hstack([centres / [WIDTH, HEIGHT, WIDTH, HEIGHT], scores])]


def detr(boxes, classes):
    _, centres, scores = rows_of(boxes, classes)
    logits = np.log(np.hstack([scores, np.full((len(boxes), 1), 0.01)]))
    return [logits, centres / [WIDTH, HEIGHT, WIDTH, HEIGHT]]


LAYOUTS = {
    "YOLOv5": ("yolov5", v5), "YOLOv7": ("yolov5", v5),
    "YOLOv8": ("yolov8", v8), "YOLO11": ("yolov8", v8), "YOLO12": ("yolov8", v8),
    "YOLOv10": ("yolov10", v10), "YOLO26": ("yolov10", v10),
    "RT-DETR": ("rtdetr", rtdetr), "RT-DETR with scores": ("rtdetr_scores", rtdetr_scores), "DETR": ("detr", detr),
}  # fmt: skip
SHARES = [(0.0, 0.0, 1.0, 1.0), (0.1, 0.2, 0.45, 0.5), (0.55, 0.1, 0.95, 0.4), (0.3, 0.6, 0.9, 0.97)]
CLASSES = [2, 0, 1, 0]


@each_picture
@pytest.mark.parametrize("file", LAYOUTS)
def test_the_boxes_of_a_detector(file, name):
    layout, outputs_of = LAYOUTS[file]
    seen = plain_letterbox(name)
    wanted = [[a * seen.width, b * seen.height, c * seen.width, d * seen.height] for a, b, c, d in SHARES]
    outputs = [
        output.astype(np.float32)[None] for output in outputs_of([seen.seen(box) for box in wanted], CLASSES)
    ]
    names = ["logits", "pred_boxes"] if layout == "detr" else ["output0"]
    specs = [TensorSpec(title, "FP32", output.shape) for title, output in zip(names, outputs, strict=True)]
    pipeline = ObjectDetection(
        {"labels": LABELS, "box_layout": layout}, {}, Signature((PIXELS,), tuple(specs))
    )

    encoded = pipeline.encode({"image": PICTURES[name].data})
    (answer,) = decoded(pipeline, dict(zip(names, outputs, strict=True)), encoded)

    found = [[one.box.x1, one.box.y1, one.box.x2, one.box.y2] for one in answer.objects]
    assert [one.label for one in answer.objects] == [LABELS[number] for number in CLASSES]
    assert np.abs(np.array(found) - wanted).max() <= 0.51
    assert (answer.width, answer.height) == (seen.width, seen.height)


@each_picture
def test_the_input_of_a_detector(name):
    signature = Signature((PIXELS,), (TensorSpec("output0", "FP32", (None, 7, 100)),))
    pipeline = ObjectDetection({"labels": LABELS, "box_layout": "yolov8"}, {}, signature)

    (tensor,) = inputs_of(pipeline, {"image": PICTURES[name].data}).values()

    assert np.abs(tensor[0] - plain_letterbox(name).pixels.transpose(2, 0, 1) / 255).max() <= 1 / 255 + 1e-6


@cache
def plain_letterbox(name):
    return letterboxed(PICTURES[name], WIDTH, HEIGHT)


def test_the_reference_sees_a_wrong_turn_and_a_wrong_resampler():
    """Control: either is many levels of grey off."""
    plain = PICTURES["turn 6"]
    right = classified(plain, WIDTH, HEIGHT, SHORTER_SIDE)

    assert np.abs(classified(plain._replace(orientation=8), WIDTH, HEIGHT, SHORTER_SIDE) - right).max() > 50
    values = turned(PICTURES["large"].colours, 1)
    assert np.abs(resized(values, 64, 48, (0, 0, 64, 48)) - values[5::10, 5::10]).max() > 50
