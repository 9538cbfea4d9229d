"""Thumbnails: small, turned, and with nothing of the file but its pixels."""

import base64
from io import BytesIO

import pytest
from PIL import Image

from inference.pipelines.errors import InvalidItem
from inference.pipelines.thumbnails import MAX_SIDE, make_thumbnail
from tests.support.picture_models import a_picture
from tests.support.polyglots import OTHERS, PICTURES


def opened(thumbnail):
    image = Image.open(BytesIO(thumbnail.content))
    image.load()
    return image


@pytest.mark.parametrize(
    ("kind", "made"), [("PNG", "PNG"), ("GIF", "PNG"), ("JPEG", "JPEG"), ("WEBP", "JPEG")]
)
def test_it_is_small_and_of_its_kind(kind, made):
    image = opened(make_thumbnail(a_picture((0, 0, 255), size=(2000, 1000), kind=kind)))

    assert (image.format, image.size) == (made, (MAX_SIDE, MAX_SIDE // 2))
    assert image.convert("RGB").getpixel((9, 9))[2] > 240


def test_a_small_picture_keeps_its_size_and_base64_is_read():
    assert opened(make_thumbnail(base64.b64encode(a_picture(size=(30, 20))).decode())).size == (30, 20)


def test_it_is_turned():
    file, exif = BytesIO(), Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 20)).save(file, "JPEG", exif=exif)

    image = opened(make_thumbnail(file.getvalue()))

    assert image.size == (20, 40)
    assert not image.getexif()


@pytest.mark.parametrize("picture", PICTURES.values(), ids=PICTURES)
def test_nothing_but_pixels_gets_through(picture):
    thumbnail = make_thumbnail(picture)

    assert b"script" in picture or picture.endswith(b"\0\0")
    assert b"script" not in thumbnail.content and b"html" not in thumbnail.content.lower()
    assert opened(thumbnail).info.keys() <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_what_is_no_picture_is_refused(other):
    with pytest.raises(InvalidItem):
        make_thumbnail(other)
