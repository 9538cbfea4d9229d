"""What becomes of a picture, step by step and pixel by pixel, as it is defined; and thirty pictures to compare with.

Colours over the background, the EXIF turn, the size (a triangle's weights, columns first), the cut or the padding.
"""

from io import BytesIO
from math import ceil, floor
from typing import NamedTuple

import numpy as np
from PIL import Image

from tests.support.picture_files import noise, picture, saved

BACKGROUND, GREY = 255, 114


class PlainPicture(NamedTuple):
    data: bytes
    colours: np.ndarray  # red, green, blue from 0 to 255, as stored
    orientation: int = 1


def thirty_pictures() -> dict[str, PlainPicture]:
    made = {}
    for orientation in range(1, 9):
        tags, values = Image.Exif(), noise(31, 20 + orientation)
        tags[0x0112] = orientation
        file_format = ("PNG", "WEBP")[orientation % 2]
        options = {"lossless": True} if file_format == "WEBP" else {}
        made[f"turn {orientation}"] = PlainPicture(
            saved(Image.fromarray(values), file_format, exif=tags, **options), values, orientation
        )
    for name, width, height in (
        ("1 x 3000", 1, 3_000), ("3000 x 1", 3_000, 1), ("1 x 1", 1, 1), ("odd", 301, 77), ("odd and high", 33, 199),
        ("as the input", 64, 48), ("a pixel more", 65, 49), ("large", 640, 480),
    ):  # fmt: skip
        values = noise(width, height)
        made[name] = PlainPicture(saved(Image.fromarray(values), "PNG"), values)
    grey, alpha = noise(41, 30, 1)[..., 0], noise(41, 30, 1)[..., 0]
    wide = grey.astype(np.uint16) << 8 | 77
    made["grey"] = PlainPicture(saved(Image.fromarray(grey), "PNG"), _grey(grey))
    made["grey of 16 bits"] = PlainPicture(saved(Image.fromarray(wide), "PNG"), _grey(grey))
    made["black and white"] = PlainPicture(
        saved(Image.fromarray(grey > 99), "PNG"), _grey(np.where(grey > 99, 255, 0))
    )
    colours = noise(41, 30)
    for name, values in (("alpha", colours), ("grey and alpha", _grey(grey))):
        image = Image.fromarray(np.dstack([values, alpha])).convert("RGBA" if name == "alpha" else "LA")
        made[name] = PlainPicture(saved(image, "PNG"), _over(values, alpha))
    made["alpha in a WebP"] = PlainPicture(
        saved(Image.fromarray(np.dstack([colours, alpha])), "WEBP", lossless=True, exact=True),
        _over(colours, alpha),
    )
    table, places = noise(16, 1)[0], noise(41, 30, 1)[..., 0] % 16
    indexed = Image.fromarray(places).convert("P")
    indexed.putpalette(table.tobytes())
    made["palette"] = PlainPicture(saved(indexed, "PNG"), table[places])
    shares = bytes(range(0, 256, 17))
    made["palette with transparency"] = PlainPicture(
        saved(indexed, "PNG", transparency=shares),
        _over(table[places], np.frombuffer(shares, np.uint8)[places]),
    )
    made["first frame of a GIF"] = PlainPicture(
        saved(indexed, "GIF", save_all=True, append_images=[Image.new("P", (41, 30))]), table[places]
    )
    lossy = {
        "JPEG": saved(picture(61, 40), "JPEG"),
        "progressive JPEG": saved(picture(61, 40), "JPEG", progressive=True),
        "grey JPEG": saved(picture(61, 40).convert("L"), "JPEG"),
        "CMYK JPEG": saved(Image.fromarray(noise(61, 40, 4), "CMYK"), "JPEG"),
        "lossy WebP": saved(picture(61, 40), "WEBP", quality=60),
    }
    return made | {name: PlainPicture(data, _decoded(data)) for name, data in lossy.items()}


def _grey(values: np.ndarray) -> np.ndarray:
    return np.stack([values] * 3, axis=-1).astype(np.uint8)


def _over(values: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    share = alpha[..., None] / 255
    return np.rint(values * share + BACKGROUND * (1 - share))


def _decoded(data: bytes) -> np.ndarray:
    """Pillow knows what the compressed pixels are; what they mean is computed here."""
    image = Image.open(BytesIO(data))
    values = np.asarray(image)
    if image.mode == "CMYK":
        inks = values.astype(float)
        return np.rint((255 - inks[..., :3]) * (255 - inks[..., 3:]) / 255)
    return _grey(values) if image.mode == "L" else values


def turned(values: np.ndarray, orientation: int) -> np.ndarray:
    """By the table of EXIF: where the first row and the first column of what is stored are to be seen."""
    height, width = values.shape[:2]
    rows, columns = (width, height) if orientation >= 5 else (height, width)
    made = np.empty((rows, columns, 3))
    for row in range(rows):
        for column in range(columns):
            y, x = {
                1: (row, column), 2: (row, width - 1 - column), 3: (height - 1 - row, width - 1 - column),
                4: (height - 1 - row, column), 5: (column, row), 6: (height - 1 - column, row),
                7: (height - 1 - column, width - 1 - row), 8: (column, width - 1 - row),
            }[orientation]  # fmt: skip
            made[row, column] = values[y, x]
    return made


def resized(values: np.ndarray, width: int, height: int, window: tuple[int, int, int, int]) -> np.ndarray:
    """The part of the resized picture between left, top, right and bottom."""
    left, top, right, bottom = window
    across = _along(values, width, left, right)
    return _along(across.transpose(1, 0, 2), height, top, bottom).transpose(1, 0, 2)


def _along(values: np.ndarray, count: int, begin: int, end: int) -> np.ndarray:
    """One new column after the other: the old ones near its middle, the nearer the more."""
    step = values.shape[1] / count
    reach = max(step, 1.0)
    made = np.zeros((len(values), end - begin, 3))
    for column in range(begin, end):
        middle, total = (column + 0.5) * step, 0.0
        for place in range(max(floor(middle - reach), 0), min(ceil(middle + reach), values.shape[1])):
            weight = max(1 - abs(place + 0.5 - middle) / reach, 0)
            made[:, column - begin] += weight * values[:, place]
            total += weight
        made[:, column - begin] /= total
    return np.floor(made + 0.5 + 1e-9)  # halves up, after each of the two passes


def classified(plain: PlainPicture, width: int, height: int, shorter_side: int) -> np.ndarray:
    """The shorter side to a length, then the centre."""
    values = turned(plain.colours, plain.orientation)
    short = min(values.shape[:2])
    rows, columns = (shorter_side * side // short for side in values.shape[:2])
    left, top = round((columns - width) / 2), round((rows - height) / 2)
    return resized(values, columns, rows, (left, top, left + width, top + height))


class Letterbox(NamedTuple):
    pixels: np.ndarray
    left: int
    top: int
    columns: int
    rows: int
    width: int  # of the picture after its turn
    height: int

    def seen(self, box: list[float]) -> list[float]:
        """A box of the picture, in the input's pixels."""
        x, y = self.columns / self.width, self.rows / self.height
        return [box[0] * x + self.left, box[1] * y + self.top, box[2] * x + self.left, box[3] * y + self.top]


def letterboxed(plain: PlainPicture, width: int, height: int) -> Letterbox:
    values = turned(plain.colours, plain.orientation)
    ratio = min(height / len(values), width / values.shape[1])
    columns, rows = max(round(values.shape[1] * ratio), 1), max(round(len(values) * ratio), 1)
    left, top = round((width - columns) / 2 - 0.1), round((height - rows) / 2 - 0.1)
    made = np.full((height, width, 3), float(GREY))
    made[top : top + rows, left : left + columns] = resized(values, columns, rows, (0, 0, columns, rows))
    return Letterbox(made, left, top, columns, rows, values.shape[1], len(values))
