"""Small pictures for people, made anew from pixels: nothing else that was in a file gets through."""

from dataclasses import dataclass
from io import BytesIO

import numpy as np
from PIL import Image

from inference.pipelines.pictures import Limits, decode, decoding_for_people, inspect, picture_bytes

MAX_SIDE = 640
_QUALITY = 85
_AS_PNG = {"PNG", "GIF"}  # drawings; the others are photographs


@dataclass(frozen=True, slots=True)
class Thumbnail:
    content: bytes
    media_type: str

    @property
    def ending(self) -> str:
        return "png" if self.media_type == "image/png" else "jpg"


def make_thumbnail(picture: bytes | str) -> Thumbnail:
    """The first frame of a file, or of one in base64, turned as its EXIF data says. Raises InvalidItem."""
    limits = Limits()
    file = inspect(picture_bytes(picture, limits), limits)
    with decoding_for_people:
        image = decode(file)
        image.thumbnail((MAX_SIDE, MAX_SIDE))
    pixels = Image.fromarray(np.asarray(image))  # without what Pillow knows about the file
    target = BytesIO()
    if file.format in _AS_PNG:
        pixels.save(target, "PNG")
        return Thumbnail(target.getvalue(), "image/png")
    pixels.save(target, "JPEG", quality=_QUALITY)
    return Thumbnail(target.getvalue(), "image/jpeg")
