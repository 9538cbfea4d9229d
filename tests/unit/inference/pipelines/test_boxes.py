"""Boxes: every layout against a plain reference, suppression against its definition, and what the metadata of files prove."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.pipelines import boxes as library
from inference.pipelines.boxes import (
    Boxes,
    BoxLayout,
    BoxRules,
    InputSize,
    find_boxes,
    find_outputs,
    read_boxes,
    suggest_layout,
    suppress,
    to_picture,
)
from inference.pipelines.errors import BadTaskConfig, UnusableOutput
from inference.pipelines.pictures import Placement
from inference.tensors.signature import Signature, TensorSpec

SIZE = InputSize(640, 480)
AS_IT_IS = Placement(1, 1, 0, 0, *SIZE)
EVERY_BOX = 10**9


# The references are written with Python's own numbers, a box at a time.


def plain_iou(one, other):
    width = max(min(one[2], other[2]) - max(one[0], other[0]), 0.0)
    height = max(min(one[3], other[3]) - max(one[1], other[1]), 0.0)
    areas = [max(box[2] - box[0], 0.0) * max(box[3] - box[1], 0.0) for box in (one, other)]
    union = areas[0] + areas[1] - width * height
    return width * height / union if union > 0 else 0.0


def plain_suppression(corners, scores, classes, overlap, most, iou=plain_iou):
    kept = []
    for row in sorted(range(len(scores)), key=lambda row: (-scores[row], row)):
        if all(
            classes[row] != classes[better] or iou(corners[row], corners[better]) <= overlap
            for better in kept
        ):
            kept.append(row)
    return kept[:most]


def by_moving_classes(corners, scores, classes, overlap, step=7680, kind=np.float64):
    """The usual trick: classes are moved apart, and then all boxes are compared."""
    with np.errstate(all="ignore"):
        moved = corners.astype(kind) + (classes * step).astype(kind)[:, None]
        one_class = [0] * len(scores)
        return plain_suppression(
            moved.astype(np.float64).tolist(), scores.tolist(), one_class, overlap, EVERY_BOX
        )


def plain_rows(layout, outputs, labels, size):
    """Corners, score, class and objectness of every row of one picture."""
    if layout is BoxLayout.YOLOV8:
        outputs = [outputs[0].T]
    rows = []
    for at, row in enumerate(outputs[0].tolist()):
        objectness = 1.0
        if layout is BoxLayout.DETR:
            powers = [np.exp(logit - max(row)) for logit in row]
            scores, box = [power / sum(powers) for power in powers][:-1], outputs[1][at].tolist()
        elif layout in {BoxLayout.YOLOV10, BoxLayout.RTDETR}:
            scores, box = [row[4] if number == row[5] else -1.0 for number in range(labels)], row[:4]
        elif layout is BoxLayout.YOLOV5:
            objectness, box = row[4], row[:4]
            scores = [objectness * score for score in row[5:]]
        else:
            scores, box = row[4:], row[:4]
        if layout is not BoxLayout.YOLOV10:
            x, y, width, height = box
            box = [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
        if layout in {BoxLayout.RTDETR, BoxLayout.RTDETR_SCORES, BoxLayout.DETR}:
            box = [box[0] * size.width, box[1] * size.height, box[2] * size.width, box[3] * size.height]
        rows.append((box, max(scores), scores.index(max(scores)), objectness))
    return rows


def plain_boxes(layout, outputs, placement, labels, size, rules):
    rows = [
        (box, score, label)
        for box, score, label, objectness in plain_rows(layout, outputs, labels, size)
        if score >= rules.threshold and objectness >= rules.threshold
    ]
    kept = sorted(range(len(rows)), key=lambda at: (-rows[at][1], at))[: rules.max_boxes]
    if layout in {BoxLayout.YOLOV5, BoxLayout.YOLOV8}:
        kept = plain_suppression(*zip(*rows, strict=True), rules.overlap, rules.max_boxes) if rows else []
    found = []
    for box, score, label in (rows[at] for at in kept):
        xs = [min(max((x - placement.left) / placement.scale_x, 0), placement.width) for x in box[::2]]
        ys = [min(max((y - placement.top) / placement.scale_y, 0), placement.height) for y in box[1::2]]
        if xs[0] < xs[1] and ys[0] < ys[1]:
            found.append(([xs[0], ys[0], xs[1], ys[1]], score, label))
    return found


def some_outputs(chance, layout, *, pictures, rows, labels, kind=np.float32):
    centres, sizes = chance.random((pictures, rows, 2)), chance.random((pictures, rows, 2)) ** 2
    shares = np.concatenate([centres, sizes], axis=2)
    pixels = shares * [*SIZE, *SIZE]
    scores = chance.random((pictures, rows, labels)) ** 2
    one = chance.random((pictures, rows, 1))
    label = chance.integers(0, labels, (pictures, rows, 1))
    ends = np.concatenate(
        [pixels[..., :2] - pixels[..., 2:] / 2, pixels[..., :2] + pixels[..., 2:] / 2], axis=2
    )
    made = {
        BoxLayout.YOLOV5: lambda: [np.concatenate([pixels, one, scores], axis=2)],
        BoxLayout.YOLOV8: lambda: [np.concatenate([pixels, scores], axis=2).transpose(0, 2, 1)],
        BoxLayout.YOLOV10: lambda: [np.concatenate([ends, one, label], axis=2)],
        BoxLayout.RTDETR: lambda: [np.concatenate([shares, one, label], axis=2)],
        BoxLayout.RTDETR_SCORES: lambda: [np.concatenate([shares, scores], axis=2)],
        BoxLayout.DETR: lambda: [chance.normal(0, 4, (pictures, rows, labels + 1)), shares],
    }[layout]()
    return [np.ascontiguousarray(output, kind) for output in made]


# Layouts


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("layout", BoxLayout)
def test_each_layout_gives_the_boxes_of_a_plain_reference(layout, kind):
    chance = np.random.default_rng(list(BoxLayout).index(layout))
    for labels in (1, 2, 3, 20):
        outputs = some_outputs(chance, layout, pictures=3, rows=60, labels=labels, kind=kind)
        placements = [
            AS_IT_IS,
            Placement(640 / 1000, 450 / 703, 0, 15, 1000, 703),
            Placement(1, 480 / 3000, 319, 0, 1, 3000),
        ]
        rules = BoxRules(threshold=0.3, max_boxes=25)

        found = find_boxes(outputs, layout, placements, size=SIZE, labels=labels, rules=rules)

        assert len(found) == 3
        for number, (boxes, placement) in enumerate(zip(found, placements, strict=True)):
            wanted = plain_boxes(layout, [one[number] for one in outputs], placement, labels, SIZE, rules)
            assert boxes.classes.tolist() == [label for _, _, label in wanted]
            np.testing.assert_allclose(boxes.scores, [score for _, score, _ in wanted], rtol=1e-12)
            np.testing.assert_allclose(
                boxes.corners, np.reshape([box for box, _, _ in wanted], (-1, 4)), rtol=1e-12, atol=1e-9
            )
        assert len(found[0])


def test_thresholds_include_their_own_value():
    """As do objectness and score in rows that have both; numpy alone would also accept .7 of FP32, which is less than .7."""
    rows = np.zeros((1, 5, 7), np.float64)
    rows[0, :, :4] = [[100 * row + 50, 50, 40, 40] for row in range(5)]
    rows[0, :, 4:] = [[0.5, 0.5, 0], [0.25, 1, 0], [0.24999, 1, 1], [1, 0.1, 0.24999], [0.24, 1.1, 1.1]]

    (found,) = read_boxes([rows], BoxLayout.YOLOV5, size=SIZE, labels=2, threshold=0.25)

    assert found.corners[:, 0].tolist() == [30, 130]
    column = np.array([[[50, 50, 40, 40, 0.7]]], np.float32).transpose(0, 2, 1)
    assert (column[0, 4] >= 0.7).all()
    assert len(read_boxes([column], BoxLayout.YOLOV8, size=SIZE, labels=1, threshold=0.7)[0]) == 0
    row = np.array([[[50, 50, 90, 90, 0.7, 0]]], np.float32)
    assert len(read_boxes([row], BoxLayout.YOLOV10, size=SIZE, labels=1, threshold=0.7)[0]) == 0


def test_of_equal_classes_the_first_is_chosen():
    rows = np.array([[[50, 50, 40, 40, 0.1, 0.6, 0.6]]]).transpose(0, 2, 1)

    (found,) = read_boxes([rows], BoxLayout.YOLOV8, size=SIZE, labels=3, threshold=0.25)

    assert found.classes.tolist() == [1]


def test_one_array_means_different_boxes_in_different_layouts():
    """So shapes prove no layout: six rows of six numbers fit four of them."""
    square = np.full((1, 6, 6), 0.5, np.float32)
    square[0, :, 5] = 1

    found = {
        layout: read_boxes([square], layout, size=SIZE, labels=2, threshold=0.25)[0].corners[0].tolist()
        for layout in (BoxLayout.YOLOV8, BoxLayout.YOLOV10, BoxLayout.RTDETR, BoxLayout.RTDETR_SCORES)
    }

    assert (
        found[BoxLayout.YOLOV10] != found[BoxLayout.RTDETR]
        and found[BoxLayout.YOLOV8] != found[BoxLayout.YOLOV10]
    )
    assert len({tuple(corners) for corners in found.values()}) == 3


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("layout", BoxLayout)
def test_outputs_that_are_not_finite_are_an_error(layout, bad):
    """In any place, even in a box whose score is low. Comparisons with NaN are false: nobody would see that boxes are gone."""
    outputs = some_outputs(np.random.default_rng(1), layout, pictures=2, rows=4, labels=3)
    for number in range(len(outputs)):
        for place in ((1, 0, 0), (1, -1, -1)):
            broken = [one.copy() for one in outputs]
            broken[number][place] = bad

            with pytest.raises(UnusableOutput) as refused:
                read_boxes(broken, layout, size=SIZE, labels=3, threshold=0.25)

            assert refused.value.code == "unusable_output"


def test_numbers_too_large_for_areas_are_an_error():
    for centre in (1e101, 1.7e308):
        column = np.array([[[centre, 50, centre, 40, 0.9]]]).transpose(0, 2, 1)

        with pytest.raises(UnusableOutput):
            read_boxes([column], BoxLayout.YOLOV8, size=SIZE, labels=1, threshold=0.25)


@pytest.mark.parametrize(
    ("layout", "outputs", "field"),
    [
        (BoxLayout.YOLOV5, [np.zeros((1, 9, 84))], "box_layout"),
        (BoxLayout.YOLOV8, [np.zeros((1, 9, 84))], "box_layout"),
        (BoxLayout.YOLOV8, [np.zeros((84, 9))], "box_layout"),
        (BoxLayout.YOLOV10, [np.zeros((1, 9, 7))], "box_layout"),
        (BoxLayout.YOLOV10, [np.zeros((1, 9, 6))] * 2, "box_layout"),
        (BoxLayout.DETR, [np.zeros((1, 9, 81)), np.zeros((1, 8, 4))], "box_layout"),
        (BoxLayout.DETR, [np.zeros((1, 9, 80)), np.zeros((1, 9, 4))], "box_layout"),
    ],
    ids=[
        "columns",
        "not transposed",
        "no pictures",
        "seven columns",
        "two outputs",
        "other queries",
        "no last class",
    ],
)
def test_outputs_that_do_not_fit_the_configuration_are_an_error(layout, outputs, field):
    with pytest.raises(BadTaskConfig) as refused:
        read_boxes(outputs, layout, size=SIZE, labels=80, threshold=0.25)

    assert refused.value.field == field


@pytest.mark.parametrize(
    ("score", "kind", "field"),
    [
        (0.9, 0.5, "box_layout"),
        (0.9, 80, "labels"),
        (0.9, -1, "labels"),
        (0.9, 1e30, "box_layout"),
        (3.5, 1, "box_layout"),
    ],
    ids=["half a class", "class 80 of 80", "class -1", "a huge class", "scores that are logits"],
)
def test_numbers_that_no_box_has_are_an_error_of_their_picture(score, kind, field):
    """Of that one alone; the text names the field, since such numbers may also show a wrong configuration."""
    outputs = [np.array([[[0, 0, 9, 9, score, kind]]])]

    with pytest.raises(UnusableOutput, match=f"`{field}`"):
        read_boxes(outputs, BoxLayout.YOLOV10, size=SIZE, labels=80, threshold=0.25)


def test_empty_rows_and_boxes_in_the_padding_are_dropped():
    rows = np.zeros((1, 4, 6), np.float32)
    rows[0, 0] = [10, 200, 60, 300, 0.9, 1]
    rows[0, 1] = [10, 0, 60, 100, 0.8, 1]  # above the picture, which begins at 120
    rows[0, 2] = [60, 300, 10, 200, 0.7, 1]  # turned round

    (found,) = find_boxes(
        [rows],
        BoxLayout.YOLOV10,
        [Placement(0.5, 0.5, 0, 120, 1280, 480)],
        size=SIZE,
        labels=2,
        rules=BoxRules(threshold=0),
    )

    assert found.corners.tolist() == [[20, 160, 120, 360]]


@pytest.mark.parametrize(
    ("rules", "field"),
    [
        ({"threshold": -0.1}, "threshold"),
        ({"threshold": float("nan")}, "threshold"),
        ({"overlap": 1.1}, "overlap"),
        ({"max_boxes": 0}, "max_boxes"),
    ],
)
def test_bad_rules_name_the_field(rules, field):
    with pytest.raises(BadTaskConfig) as refused:
        BoxRules(**rules)

    assert refused.value.field == field


# The way back to the picture


def placed(width, height, size):
    """A letterbox in plain numbers, with its placement."""
    ratio = min(size.width / width, size.height / height)
    wide, high = max(round(width * ratio), 1), max(round(height * ratio), 1)
    left, top = round((size.width - wide) / 2 - 0.1), round((size.height - high) / 2 - 0.1)
    return Placement(wide / width, high / height, left, top, width, height)


@given(
    width=st.integers(1, 20_000),
    height=st.integers(1, 20_000),
    size=st.builds(InputSize, st.integers(32, 1280), st.integers(32, 1280)),
    shares=st.lists(st.floats(0, 1), min_size=4, max_size=4),
)
def test_a_box_comes_back_to_where_it_was(width, height, size, shares):
    box = np.array([[shares[0] * width, shares[1] * height, shares[2] * width, shares[3] * height]])
    place = placed(width, height, size)
    scales, padding = [place.scale_x, place.scale_y] * 2, [place.left, place.top] * 2
    seen = box * scales + padding

    np.testing.assert_allclose(to_picture(seen, place), box, rtol=0, atol=1e-6 * max(width, height))


def test_one_gain_for_both_axes_is_wrong_for_narrow_pictures():
    """1 x 3000 becomes 1 x 640, not .21 x 640: the two axes have different gains."""
    place = placed(1, 3000, InputSize(640, 640))
    whole = np.array([[place.left, 0, place.left + 1, 640.0]])

    assert to_picture(whole, place).tolist() == [[0, 0, 1, 3000]]
    assert (whole[0, 2] - place.left) / place.scale_y > 4


@given(
    corners=st.lists(st.floats(-1e9, 1e9), min_size=4, max_size=4),
    width=st.integers(1, 20_000),
    height=st.integers(1, 20_000),
)
def test_no_box_leaves_the_picture(corners, width, height):
    ((x1, y1, x2, y2),) = to_picture(np.array([corners]), placed(width, height, SIZE))

    assert min(x1, x2) >= 0 and max(x1, x2) <= width
    assert min(y1, y2) >= 0 and max(y1, y2) <= height


# Suppression


def a_set(chance, count):
    """Boxes of one kind of trouble: large pictures, negative places, many classes, equal scores, equal boxes, no area."""
    extent = float(chance.choice([50, 640, 20_000]))
    start = chance.uniform(-extent, extent, (count, 2))
    corners = np.concatenate([start, start + chance.uniform(0, extent, (count, 2))], axis=1)
    if chance.random() < 0.5:
        corners = np.round(corners / extent * 4) * (extent / 4)  # shares are often equal to the limit
    if chance.random() < 0.1:
        corners = corners[:, [2, 1, 0, 3]]
    scores = chance.random(count)
    if chance.random() < 0.5:
        scores = np.round(scores * 2) / 2
    return Boxes(corners, scores, chance.integers(0, chance.choice([1, 2, 80, 1000]), count))


def check_is_the_definition(boxes, overlap, most):
    wanted = plain_suppression(
        boxes.corners.tolist(), boxes.scores.tolist(), boxes.classes.tolist(), overlap, most
    )
    assert suppress(boxes, overlap=overlap, most=most).tolist() == wanted


def test_suppression_is_its_definition_for_ten_thousand_sets(monkeypatch):
    chance = np.random.default_rng(21)
    for number in range(10_000):
        monkeypatch.setattr(library, "_FIRST_STEP", int(chance.choice([1, 4, 64])))
        monkeypatch.setattr(library, "_LARGEST_STEP", int(chance.choice([4, 4_096])))
        monkeypatch.setattr(library, "_LARGEST_BLOCK", int(chance.choice([1, 8, 512])))
        monkeypatch.setattr(library, "_FEW", float(chance.choice([0, 1 / 16, 1])))
        overlap = float(chance.choice([0, 0.25, 1 / 3, 0.45, 0.5, 1]))
        most = int(chance.choice([1, 5, 300]))

        check_is_the_definition(a_set(chance, number % 25), overlap, most)


def test_suppression_of_sets_larger_than_a_block():
    chance = np.random.default_rng(22)
    for count in (63, 64, 65, 192, 193, 500, 900, 1100, 2500):
        for most in (10, 300, EVERY_BOX):
            check_is_the_definition(a_set(chance, count), 0.45, most)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            *[st.integers(-3, 3).map(float) | st.floats(-2e4, 2e4)] * 4,
            st.sampled_from([0.25, 0.5, 0.5, 1.0]),
            st.integers(0, 2),
        ),
        max_size=12,
    ),
    st.sampled_from([0.0, 0.25, 0.45, 0.5]),
)
def test_suppression_is_its_definition_for_any_boxes(rows, overlap):
    table = np.array(rows, np.float64).reshape(-1, 6)

    check_is_the_definition(Boxes(table[:, :4], table[:, 4], table[:, 5].astype(np.intp)), overlap, 300)


def test_a_share_equal_to_the_limit_stays():
    boxes = Boxes(np.array([[0, 0, 2, 1], [0, 0, 1, 1.0]]), np.array([0.9, 0.8]), np.array([0, 0]))

    assert suppress(boxes, overlap=0.5, most=9).tolist() == [0, 1]
    assert suppress(boxes, overlap=0.4999, most=9).tolist() == [0]


def test_equal_scores_are_taken_in_the_order_of_rows():
    boxes = Boxes(np.tile([0.0, 0, 9, 9], (1000, 1)), np.full(1000, 0.5), np.arange(1000) % 500)

    assert suppress(boxes, overlap=0.45, most=300).tolist() == list(range(300))


@pytest.mark.parametrize(
    ("corners", "classes", "kind", "kept", "by_moving"),
    [
        ([[7680, 7680, 7780, 7780], [0, 0, 100, 100]], [0, 1], np.float64, [0, 1], [0]),
        ([[0, 0, 100, 100], [-7680, -7680, -7580, -7580]], [0, 1], np.float64, [0, 1], [0]),
        ([[0, 0, 20, 20], [7, 7, 23, 23]], [3, 3], np.float16, [0, 1], [0]),
        ([[0, 0, 20, 20], [0, 0, 20, 20]], [9, 9], np.float16, [0], [0, 1]),
    ],
    ids=[
        "a large picture",
        "left of the picture",
        "places of FP16 are 16 apart",
        "places of FP16 are infinite",
    ],
)
def test_classes_that_are_moved_apart_meet_again(corners, classes, kind, kept, by_moving):
    """The control of the tests above: what others do loses boxes, or keeps too many, where we do not."""
    boxes = Boxes(np.array(corners, np.float64), np.array([0.9, 0.8]), np.array(classes))

    assert suppress(boxes, overlap=0.45, most=9).tolist() == kept
    assert by_moving_classes(boxes.corners, boxes.scores, boxes.classes, 0.45, kind=kind) == by_moving


def test_moving_classes_is_right_for_small_pictures_only():
    """At the sizes of ordinary pictures the trick is right: the comparison itself is fair."""
    chance = np.random.default_rng(23)
    wrong = {640: 0, 20_000: 0}
    for extent in wrong:
        for _ in range(300):
            start = chance.uniform(0, extent * 0.6, (12, 2))
            corners = np.concatenate([start, start + chance.uniform(0, extent * 0.4, (12, 2))], axis=1)
            scores, classes = chance.random(12), chance.integers(0, 3, 12)
            found = suppress(Boxes(corners, scores, classes), overlap=0.45, most=EVERY_BOX).tolist()
            wrong[extent] += by_moving_classes(corners, scores, classes, 0.45) != found

    assert wrong[640] == 0 < wrong[20_000]


def test_every_picture_of_a_batch_gets_its_boxes():
    """However slow the ones before it were: a batch's last picture gets what it gets alone."""
    chance = np.random.default_rng(24)
    outputs = some_outputs(chance, BoxLayout.YOLOV8, pictures=8, rows=2100, labels=4)
    rules, labels = BoxRules(threshold=0.01, overlap=0.9), 4

    def found(batch):
        return find_boxes(
            [batch], BoxLayout.YOLOV8, [AS_IT_IS] * len(batch), size=SIZE, labels=labels, rules=rules
        )

    together = found(outputs[0])

    assert [len(boxes) for boxes in together] == [300] * 8
    for number, boxes in enumerate(together):
        (alone,) = found(outputs[0][number : number + 1])
        assert (boxes.corners == alone.corners).all() and (boxes.scores == alone.scores).all()


def test_no_pictures_and_no_boxes():
    none = np.zeros((0, 6, 100), np.float32)
    empty = np.zeros((2, 6, 100), np.float32)

    assert find_boxes([none], BoxLayout.YOLOV8, [], size=SIZE, labels=2, rules=BoxRules()) == []
    found = find_boxes([empty], BoxLayout.YOLOV8, [AS_IT_IS] * 2, size=SIZE, labels=2, rules=BoxRules())
    assert [boxes.corners.shape for boxes in found] == [(0, 4), (0, 4)]


# What a file says about itself

COCO = {number: f"label {number}" for number in range(80)}


def signature(*shapes, picture=(1, 3, 640, 640), names=("output0", "output1", "output2", "output3")):
    outputs = [TensorSpec(name, "FP32", shape) for name, shape in zip(names, shapes, strict=False)]
    return Signature((TensorSpec("images", "FP32", picture),), tuple(outputs))


def ultralytics(names=COCO, imgsz=(640, 640), **more):
    """The metadata of a file, as the package writes them: each value as `str()`."""
    fields = {
        "description": "Ultralytics YOLO11n model trained on coco.yaml",
        "author": "Ultralytics",
        "date": "2026-11-30T10:00:00",
        "version": "8.4.60",
        "stride": 32,
        "task": "detect",
        "batch": 1,
        "imgsz": list(imgsz) if isinstance(imgsz, tuple) else imgsz,
        "names": names,
    }
    return {name: str(value) for name, value in (fields | more).items()}


def named(count):
    return {number: f"label {number}" for number in range(count)}


STATED = {"head": "Detect", "end2end": False, "args": {"batch": 1, "nms": False}}
KNOWN = {
    "v8 of 2023": (ultralytics(), signature((1, 84, 8400)), "yolov8"),
    "v11 of 2025": (ultralytics(args={"nms": False}, channels=3), signature((1, 84, 8400)), "yolov8"),
    "v12 of 2026": (ultralytics(**STATED), signature((1, 84, 8400)), "yolov8"),
    "v8 of two classes": (ultralytics(names=named(2)), signature((1, 6, 8400)), "yolov8"),
    "v8, wide": (
        ultralytics(imgsz=(384, 640)),
        signature((1, 84, 5040), picture=(1, 3, 384, 640)),
        "yolov8",
    ),
    "v8 with four grids": (ultralytics(stride=64), signature((1, 84, 8500)), "yolov8"),
    "v8 with free axes": (
        ultralytics(**STATED),
        signature((None, 84, None), picture=(None, 3, None, None)),
        "yolov8",
    ),
    "v10 of 2026": (
        ultralytics(**STATED | {"head": "v10Detect", "end2end": True}),
        signature((1, 300, 6)),
        "yolov10",
    ),
    "YOLO26": (ultralytics(**STATED | {"end2end": True}), signature((1, 300, 6)), "yolov10"),
    "v11 with nms=True": (ultralytics(args={"nms": True}), signature((1, 300, 6)), "yolov10"),
    "RT-DETR": (ultralytics(head="RTDETRDecoder", end2end=False), signature((1, 300, 6)), "rtdetr"),
    "RT-DETR with scores": (
        ultralytics(head="RTDETRDecoder", end2end=False),
        signature((1, 300, 84)),
        "rtdetr_scores",
    ),
    "v5": ({"stride": "32", "names": str(COCO)}, signature((1, 25200, 85)), "yolov5"),
    "v5 with a list of names": (
        {"stride": "32", "names": str(list(COCO.values()))},
        signature((1, 25200, 85)),
        "yolov5",
    ),
    "v5 with its raw outputs": (
        {"stride": "32", "names": str(COCO)},
        signature((1, 25200, 85), (1, 3, 80, 80, 85), (1, 3, 40, 40, 85), (1, 3, 20, 20, 85)),
        "yolov5",
    ),
}


@pytest.mark.parametrize("file", KNOWN)
def test_a_file_that_proves_enough_is_configured(file):
    metadata, shapes, layout = KNOWN[file]

    suggestion = suggest_layout(metadata, shapes)

    assert suggestion.missing == ()
    config = suggestion.config
    assert config["box_layout"] == layout and config["output"] == "output0"
    assert config["resize"] == ("stretch" if layout.startswith("rtdetr") else "letterbox")
    assert (config["height"], config["width"]) in {(640, 640), (384, 640)}
    assert config["labels"][:2] == ["label 0", "label 1"]
    assert find_outputs(shapes, BoxLayout(layout), len(config["labels"]), name=config["output"])


UNKNOWN = {
    "nothing": ({}, signature((1, 84, 8400))),
    "two classes, or transposed": ({}, signature((1, 6, 8400))),
    "v7, without metadata": ({}, signature((1, 25200, 85))),
    "DETR, or RT-DETR of Hugging Face": (
        {},
        signature((1, 300, 81), (1, 300, 4), names=("logits", "pred_boxes")),
    ),
    "v10 before 2026": (ultralytics(args={"nms": False}), signature((1, 300, 6))),
    "YOLO26 before files named their head": (ultralytics(end2end=True), signature((1, 300, 6))),
    "RT-DETR of two classes, either kind": (
        ultralytics(names=named(2), head="RTDETRDecoder"),
        signature((1, 300, 6)),
    ),
    "RT-DETR of 2024": (ultralytics(), signature((1, 300, 84))),
    "RT-DETR with free axes": (ultralytics(head="RTDETRDecoder"), signature((None, 300, None))),
    "end2end is wrong": (
        ultralytics(names=named(2), **STATED | {"end2end": True}),
        signature((1, 6, 8400)),
    ),
    "names for more classes than there are": (
        ultralytics(names=named(999), **STATED),
        signature((1, 84, 8400)),
    ),
    "names that are missing": (ultralytics(names={}), signature((1, 84, 8400))),
    "names with a gap": (ultralytics(names={0: "a", 2: "b"}), signature((1, 6, 8400))),
    "rows and columns look alike": (
        ultralytics(imgsz=(64, 64)),
        signature((1, 84, 84), picture=(1, 3, 64, 64)),
    ),
    "free axes of 2024": (ultralytics(), signature((None, 84, None), picture=(None, 3, None, None))),
    "a head that nobody knows": (ultralytics(**STATED | {"head": "MyDetect"}), signature((1, 84, 8400))),
    "another number of boxes": (ultralytics(), signature((1, 84, 300))),
    "end2end is wrong, and no head is named": (ultralytics(end2end=True), signature((1, 84, 8400))),
    "RT-DETR with nms=True": (
        ultralytics(head="RTDETRDecoder", args={"nms": True}),
        signature((1, 300, 6)),
    ),
    "a head that nobody knows, with nms=True": (
        ultralytics(head="MyDetect", args={"nms": True}),
        signature((1, 300, 6)),
    ),
    "another task with as many columns": (ultralytics(task="pose"), signature((1, 84, 8400))),
    "segments": (ultralytics(task="segment"), signature((1, 116, 8400), (1, 32, 160, 160))),
    "segments that call themselves boxes": (ultralytics(), signature((1, 116, 8400), (1, 32, 160, 160))),
    "turned boxes": (ultralytics(task="obb"), signature((1, 85, 8400))),
    "another author": (ultralytics(author="me"), signature((1, 84, 8400))),
    "v5 of another size": ({"stride": "32", "names": str(COCO)}, signature((1, 6300, 85))),
    "v5 with segments": ({"stride": "32", "names": str(COCO)}, signature((1, 25200, 117))),
    "two outputs of three axes": (ultralytics(), signature((1, 84, 8400), (1, 84, 8400))),
}


@pytest.mark.parametrize("file", UNKNOWN)
def test_what_a_file_does_not_prove_is_asked(file):
    suggestion = suggest_layout(*UNKNOWN[file])

    assert {"box_layout", "resize"} <= {*suggestion.missing} and "box_layout" not in suggestion.config
    assert not {*suggestion.missing} & suggestion.config.keys()


def test_what_is_sure_is_filled_in_beside_what_is_asked():
    suggestion = suggest_layout(*UNKNOWN["v10 before 2026"])

    assert suggestion.missing == ("box_layout", "resize")
    assert (suggestion.config["width"], suggestion.config["height"]) == (640, 640)
    assert len(suggestion.config["labels"]) == 80


def test_names_that_the_exporter_made_up_are_asked():
    made_up = {number: f"class{number}" for number in range(999)}
    metadata = ultralytics(names=made_up, **STATED | {"end2end": True})

    assert suggest_layout(metadata, signature((1, 300, 6))).missing == ("labels",)


@pytest.mark.parametrize(
    ("imgsz", "picture", "found"),
    [
        ("[480, 640]", (1, 3, 480, 640), (640, 480)),
        ("[480, 640]", (None, 3, None, None), (640, 480)),
        ("[480, 640]", (1, 3, 640, 480), None),
        ("[480, 640]", (1, 480, 640, 3), (640, 480)),
        ("640", (1, 3, None, None), None),
        ("[True, 640]", (1, 3, None, None), None),
        ("[[], {}]", (1, 3, None, None), None),
        ("[[], {}]", (1, 3, 640, 640), None),
        ("[-1, 640]", (1, 3, None, None), None),
        ("[10**9, 640]", (1, 3, None, None), None),
        ("[480, 640]", (1, 3), None),
        ("[480, 640]", (1, 3, 640, 3), None),
    ],
)
def test_the_input_size_is_known_or_asked(imgsz, picture, found):
    suggestion = suggest_layout({"imgsz": imgsz}, signature((1, 84, 8400), picture=picture))

    assert (suggestion.config.get("width"), suggestion.config.get("height")) == (found or (None, None))
    assert ("width" in suggestion.missing) == (found is None)


N = 200_000
HOSTILE = {
    "minus signs": "-" * N + "1",
    "parentheses": "(" * N,
    "lists": "[" * (N // 2) + "]" * (N // 2),
    "a sum": "1+" * (N // 2) + "1",
    "attributes": "a" + ".a" * (N // 2),
    "many numbers": "[" + "1," * (N // 2) + "]",
    "a long number": "9" * N,
    "a list as a key": "{[]: 1}",
    "a call": "__import__('os').getpid()",
    "a zero byte": "\0",
    "half of a pair": "\ud800",
    "a gigabyte to be": "'a' * 10**9",
    "too long": "{0: '" + "a" * 10**6 + "'}",
    "a name and much white space": "{0: 'a'}" + " " * 300_000,
    "too many names": str(named(10_001)),
    "names that are numbers": "{0: 1}",
    "names of other keys": "{'0': 'a'}",
    "true as a key": "{0: 'a', True: 'b'}",
    "an empty name": "{0: ''}",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_metadata_are_not_believed(text):
    """On a thread, whose stack is smaller. Nothing of it runs, and nothing raises."""
    metadata = ultralytics() | dict.fromkeys(("names", "imgsz", "args", "stride", "end2end"), text)
    found = []
    thread = threading.Thread(
        target=lambda: found.append(
            suggest_layout(metadata, signature((1, 84, 8400), picture=(1, 3, None, None)))
        )
    )

    thread.start()
    thread.join(10)

    (suggestion,) = found
    assert suggestion.config == {} and len(suggestion.missing) == 5


@given(
    st.dictionaries(
        st.sampled_from(["names", "imgsz", "args", "stride", "end2end", "task", "head", "author"]), st.text()
    )
)
def test_any_metadata_are_read_without_an_error(metadata):
    assert "box_layout" in suggest_layout(metadata, signature((1, 84, 8400))).missing


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.integers(0, 3) | st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(
    more=st.fixed_dictionaries(dict.fromkeys(("names", "imgsz", "args", "stride", "end2end"), values)),
    picture=st.sampled_from([(1, 3, 640, 640), (1, 3, None, 640), (None,) * 4]),
)
def test_values_of_other_types_are_read_without_an_error(more, picture):
    suggestion = suggest_layout(ultralytics(**more), signature((1, 84, 8400), picture=picture))

    assert not {*suggestion.missing} & suggestion.config.keys()


# Which outputs a layout reads


def test_outputs_are_found_by_name_and_shape():
    detr = signature((None, 100, 4), (None, 100, 4), (1, 100, 9), names=("pred_boxes", "logits", "else"))
    assert [spec.name for spec in find_outputs(detr, BoxLayout.DETR, 3)] == ["logits", "pred_boxes"]

    twice = signature((1, 84, 8400), (1, 84, 2100))
    assert [spec.name for spec in find_outputs(twice, BoxLayout.YOLOV8, 80, name="output1")] == ["output1"]
    for layout, labels, name in [
        (BoxLayout.YOLOV8, 80, ""),
        (BoxLayout.YOLOV8, 79, "output1"),
        (BoxLayout.DETR, 80, ""),
    ]:
        with pytest.raises(
            BadTaskConfig, match=r"needs one output \(any, .*the model has `output0` \(1, 84, 8400\)"
        ):
            find_outputs(twice, layout, labels, name=name)
