"""Rows of golden sets with pictures: a picture with the name of its label, or with the boxes that are in it."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from inference.pipelines.errors import InvalidItem
from inference.pipelines.golden import LABEL_METRICS, Compared, GoldenRows, check_label
from inference.pipelines.pictures import Limits, decode, decoding_for_people, inspect, picture_bytes

MAX_BOXES = 1_000  # of a picture
_SIDES = 4
_SLACK = 1  # pixels that a box may reach outside: some tools count from 1, or round up


class GoldenBox(NamedTuple):
    """An object in a picture; corners in its pixels, after its EXIF turn. `confidence` is that of an answer, 1 in a set."""

    label: str
    corners: tuple[float, ...]
    confidence: float = 1.0


def check_picture_of(inputs: Mapping[str, Any]) -> tuple[int, int]:
    """Decode the picture, since only that shows whether it is damaged. Returns width and height after its EXIF turn."""
    if set(inputs) != {"image"} or not isinstance(inputs["image"], str):
        raise InvalidItem('`inputs` must be an object with a picture in base64, as in {"image": "…"}.')
    file = inspect(picture_bytes(inputs["image"], Limits()))
    with decoding_for_people:
        return decode(file).size


def check_picture_label(inputs: Mapping[str, Any], label: Any) -> None:
    """A picture with the name of its label."""
    check_label(label)
    check_picture_of(inputs)


def check_picture_boxes(inputs: Mapping[str, Any], label: Any) -> None:
    """A picture with the list of its boxes."""
    if not isinstance(label, list) or len(label) > MAX_BOXES:
        raise InvalidItem(f"`label` must be a list of at most {MAX_BOXES:,} boxes; an empty list means none.")
    for number, box in enumerate(label):
        _check_box(box, f"label[{number}]")
    size = check_picture_of(inputs)
    for number, box in enumerate(label):
        _check_place(box["box"], f"label[{number}].box", size)


def _check_box(box: Any, where: str) -> None:
    if not isinstance(box, dict) or set(box) != {"label", "box"}:
        raise InvalidItem(
            f'`{where}` must be an object like {{"label": "car", "box": [x1, y1, x2, y2]}}, in pixels.'
        )
    check_label(box["label"], f"{where}.label")
    corners = box["box"]
    if (
        not isinstance(corners, list)
        or len(corners) != _SIDES
        or not all(isinstance(value, int | float) and not isinstance(value, bool) for value in corners)
        or not (0 <= corners[0] < corners[2] and 0 <= corners[1] < corners[3])
    ):
        raise InvalidItem(f"`{where}.box` must be [x1, y1, x2, y2] with x1 < x2 and y1 < y2, in pixels.")


def _check_place(corners: Sequence[float], where: str, size: tuple[int, int]) -> None:
    if max(corners) <= 1 < max(size):
        raise InvalidItem(f"`{where}` must be in pixels, not in shares of the picture: no number is above 1.")
    if corners[2] > size[0] + _SLACK or corners[3] > size[1] + _SLACK:
        raise InvalidItem(
            f"`{where}` reaches outside the picture, which has {size[0]:,} × {size[1]:,} pixels."
        )


def _expected_boxes(label: Sequence[Mapping[str, Any]]) -> list[GoldenBox]:
    return [GoldenBox(box["label"], tuple(map(float, box["box"]))) for box in label]


def _found_boxes(answer: Any) -> list[GoldenBox]:
    return [
        GoldenBox(one.label, (one.box.x1, one.box.y1, one.box.x2, one.box.y2), one.confidence)
        for one in answer.objects
    ]


PICTURE_LABEL_ROWS = GoldenRows(
    LABEL_METRICS,
    '{"inputs": {"image": "iVBORw0…"}, "label": "cat"}',
    check_picture_label,
    has_pictures=True,
)
BOX_ROWS = GoldenRows(
    dict.fromkeys(("map50", "map"), Compared(_expected_boxes, _found_boxes)),
    '{"inputs": {"image": "iVBORw0…"}, "label": [{"label": "car", "box": [10, 20, 110, 80]}, …]}',
    check_picture_boxes,
    has_pictures=True,
)
