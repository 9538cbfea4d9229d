"""Thirty pictures, composed here: pages of text that lie in four directions, drawings, and coloured noise."""

from functools import cache
from io import BytesIO

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from tests.real.composed import PLAIN

COUNT = 30
_FORMATS = ("PNG", "JPEG", "WEBP")
_TURNS = (None, Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_270)


@cache
def pictures() -> tuple[bytes, ...]:
    """Of many sizes, larger and smaller than the models' inputs."""
    chance = np.random.default_rng(30)
    makers = (_page, _page, _drawing, _page, _noise)
    return tuple(
        _saved(makers[number % len(makers)](chance, number), _FORMATS[number % 3]) for number in range(COUNT)
    )


def _saved(image: Image.Image, file_format: str) -> bytes:
    file = BytesIO()
    image.save(file, file_format)
    return file.getvalue()


def _size(chance: np.random.Generator) -> tuple[int, int]:
    width, height = chance.integers(120, 1_000, 2).tolist()
    return width, height


def _colour(chance: np.random.Generator) -> tuple[int, ...]:
    return tuple(chance.integers(0, 256, 3).tolist())


def _page(chance: np.random.Generator, number: int) -> Image.Image:
    image = Image.new("RGB", _size(chance), (250, 248, 240))
    draw, height = ImageDraw.Draw(image), int(chance.integers(14, 40))
    for line, top in enumerate(range(10, image.height, height * 3 // 2)):
        draw.text((12, top), PLAIN[(number + line) % len(PLAIN)], fill=(20, 20, 30), font_size=height)
    turn = _TURNS[number % len(_TURNS)]
    return image if turn is None else image.transpose(turn)


def _drawing(chance: np.random.Generator, number: int) -> Image.Image:
    image = Image.new("RGB", _size(chance), _colour(chance))
    draw = ImageDraw.Draw(image)
    for _ in range(10 + number):
        x, y, width, height = chance.integers(0, 400, 4).tolist()
        draw.ellipse((x, y, x + width, y + height), fill=_colour(chance))
    return image


def _noise(chance: np.random.Generator, number: int) -> Image.Image:
    width, height = _size(chance)
    image = Image.fromarray(chance.integers(0, 256, (height, width, 3), np.uint8))
    return image.filter(ImageFilter.GaussianBlur(number % 4))
