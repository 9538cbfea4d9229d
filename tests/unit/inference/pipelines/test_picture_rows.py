"""Rows of golden sets of pictures: which are refused."""

import base64

import pytest
from PIL import Image

from inference.pipelines.errors import InvalidItem, InvalidPicture
from inference.pipelines.picture_rows import BOX_ROWS, PICTURE_LABEL_ROWS
from tests.support.picture_files import exif, picture, png_with_nonsense, saved

WIDE = saved(picture(100, 50), "PNG")
TURNED = saved(picture(50, 100), "JPEG", exif=b"Exif\0\0" + exif(6))  # people see 100 x 50


def inputs(file):
    return {"image": base64.b64encode(file).decode()}


def boxes(*corners):
    return [{"label": "car", "box": list(each)} for each in corners]


def test_label_and_boxes_of_whole_pictures_are_fine():
    PICTURE_LABEL_ROWS.check(inputs(WIDE), "car")
    BOX_ROWS.check(inputs(WIDE), [])


@pytest.mark.parametrize(("rows", "label"), [(PICTURE_LABEL_ROWS, "car"), (BOX_ROWS, [])])
def test_a_damaged_picture_is_refused(rows, label):
    """Its structure and checksums are right."""
    with pytest.raises(InvalidPicture, match="damaged"):
        rows.check(inputs(png_with_nonsense()), label)


@pytest.mark.parametrize("file", [WIDE, TURNED], ids=["plain", "turned"])
class TestBoxes:
    @pytest.mark.parametrize(
        "corners",
        [(0, 0, 100, 50), (10, 5, 60.5, 25), (0, 0, 101, 51), (0.2, 0.3, 1.2, 0.9)],
        ids=["all of it", "inside", "a pixel too large", "small"],
    )
    def test_boxes_in_the_picture(self, file, corners):
        BOX_ROWS.check(inputs(file), boxes(corners))

    @pytest.mark.parametrize("corners", [(10, 5, 102, 25), (10, 5, 60, 52), (120, 5, 130, 9)])
    def test_boxes_that_reach_outside(self, file, corners):
        with pytest.raises(InvalidItem, match=r"`label\[1\].box` reaches outside .* 100 × 50 pixels"):
            BOX_ROWS.check(inputs(file), boxes((1, 1, 9, 9), corners))

    def test_shares_are_no_pixels(self, file):
        with pytest.raises(InvalidItem, match=r"`label\[0\].box` .* in pixels, not in shares"):
            BOX_ROWS.check(inputs(file), boxes((0.1, 0.2, 0.6, 0.8)))


def test_the_only_pixel_of_a_picture():
    BOX_ROWS.check(inputs(saved(Image.new("RGB", (1, 1)), "PNG")), boxes((0, 0, 1, 1)))
