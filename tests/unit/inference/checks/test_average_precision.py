"""Mean average precision against its plain definition, and cases that were worked out by hand."""

import random

import pytest

from inference.checks import average_precision
from inference.checks.average_precision import THRESHOLDS
from inference.checks.errors import NotMeasurable
from inference.checks.metrics import MAX_WRONG, TALLIES
from inference.pipelines.picture_rows import GoldenBox
from tests.support.plain_average_precision import plain_mean_precision

CAR = GoldenBox("car", (10.0, 10.0, 30.0, 30.0))
DOG = GoldenBox("dog", (50.0, 50.0, 70.0, 70.0))


def found(box, confidence=0.9, by=0.0, label=None):
    """A box that a version found, moved to the right."""
    x1, y1, x2, y2 = box.corners
    return GoldenBox(label or box.label, (x1 + by, y1, x2 + by, y2), confidence)


def tallied(metric, pictures):
    tally = TALLIES[metric]()
    for row, (expected, got) in enumerate(pictures, start=1):
        tally.add(row, expected, got)
    return tally


def some_pictures(rng, count):
    """Boxes near those of the set, in confidences that tie, and others anywhere."""
    pictures = []
    for _ in range(count):
        expected = [a_box(rng) for _ in range(rng.randrange(5))]
        near = [
            found(box, rng.randrange(11) / 10, rng.choice([0, 1, 3, 8]), rng.choice([None, None, "bird"]))
            for box in expected
            for _ in range(rng.randrange(3))
        ]
        far = [found(a_box(rng), rng.randrange(11) / 10) for _ in range(rng.randrange(3))]
        got = near + far
        rng.shuffle(got)
        pictures.append((expected, got))
    return pictures


def a_box(rng):
    left, top = rng.randrange(60), rng.randrange(60)
    corners = (left, top, left + rng.randrange(4, 40), top + rng.randrange(4, 40))
    return GoldenBox(rng.choice(["car", "dog", "bird"]), tuple(map(float, corners)))


@pytest.mark.parametrize(
    ("pictures", "map50", "mean"),
    [
        ([([CAR], [found(CAR)])], 1, 1),
        ([([], [])], 1, 1),
        ([([], [found(CAR)])], 0, 0),
        ([([CAR], [])], 0, 0),
        ([([CAR], [found(CAR, label="dog")])], 0, 0),
        ([([CAR], [found(CAR, by=5)])], 1, 3 / 10),  # 300 of 500 pixels: right up to an overlap of .60
        ([([CAR], [found(CAR, 0.9), found(CAR, 0.8)])], 1, 1),  # a second one after full recall costs nothing
        ([([CAR], [found(DOG, 0.9, label="car"), found(CAR, 0.8)])], 1 / 2, 1 / 2),
        ([([CAR, DOG], [found(CAR)])], 1 / 2, 1 / 2),  # the mean over labels
        ([([CAR, found(CAR, by=100)], [found(CAR)])], 51 / 101, 51 / 101),  # recalls 0 to .50
        ([([CAR], [found(CAR)]), ([], [found(CAR, 0.95)])], 1 / 2, 1 / 2),  # confidences of all pictures
    ],
    ids=["right", "nothing", "only extra", "missed", "label", "moved", "twice", "wrong first", "labels", "half", "pictures"],
)  # fmt: skip
def test_by_hand(pictures, map50, mean):
    assert tallied("map50", pictures).value() == pytest.approx(map50)
    assert tallied("map", pictures).value() == pytest.approx(mean)


@pytest.mark.parametrize("seed", range(200))
def test_as_defined(seed):
    pictures = some_pictures(random.Random(seed), 6)

    assert tallied("map50", pictures).value() == pytest.approx(plain_mean_precision(pictures, THRESHOLDS[:1]))
    assert tallied("map", pictures).value() == pytest.approx(plain_mean_precision(pictures, THRESHOLDS))


def test_only_the_hundred_most_confident_boxes_of_a_label_count():
    sure = [found(DOG, 0.9, label="car")] * 100

    assert tallied("map50", [([CAR], [*sure, found(CAR, 0.8)])]).value() == 0
    assert tallied("map50", [([CAR], [*sure[1:], found(CAR, 0.8)])]).value() == pytest.approx(1 / 100)


def test_wrong_pictures_say_what_was_missed_and_what_is_not_there():
    tally = tallied(
        "map50", [([CAR], [found(CAR)]), ([CAR, CAR, DOG], [found(CAR), found(DOG, label="bird")])]
    )

    assert tally.wrong() == [
        {"row": 2, "expected": "2 car, 1 dog", "got": "1 bird, 1 car; missed: 1 car, 1 dog; not in the set: 1 bird"}
    ]  # fmt: skip


def test_nothing_found_is_said():
    (wrong,) = tallied("map", [([CAR], [])]).wrong()

    assert wrong["got"] == "nothing; missed: 1 car"


def test_wrong_pictures_are_bounded():
    assert len(tallied("map50", [([CAR], [])] * (MAX_WRONG + 5)).wrong()) == MAX_WRONG


def test_more_boxes_than_can_be_held(monkeypatch):
    monkeypatch.setattr(average_precision, "MAX_FOUND", 3)

    with pytest.raises(NotMeasurable):
        tallied("map50", [([CAR], [found(CAR)] * 2)] * 2)
