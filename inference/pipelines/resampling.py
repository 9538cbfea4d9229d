"""Bicubic and Lanczos without antialiasing, pixel by pixel as OpenCV computes them. Pillow's bicubic is another curve."""

from collections.abc import Iterable
from functools import reduce

import numpy as np
from numpy.typing import NDArray
from PIL import Image

TAPS = {"bicubic": 4, "lanczos": 8}  # pixels that one is made of, in a row and in a column
_WEIGHT_BITS = 11
_CUBIC = -0.75  # the slope
_STRIP = 1 << 18  # new pixels that are made at once


def interpolated(
    image: Image.Image, size: tuple[int, int], box: tuple[float, float, float, float], resampler: str
) -> Image.Image:
    columns, x_weights = _taps(image.width, size[0], box[0], box[2], resampler)
    lines, y_weights = _taps(image.height, size[1], box[1], box[3], resampler)
    pixels, made = np.asarray(image), np.empty((size[1], size[0], 3), np.uint8)
    step, taps = max(1, _STRIP // size[0]), range(TAPS[resampler])
    for top in range(0, size[1], step):
        strip = slice(top, top + step)
        needed, places = np.unique(lines[strip], return_inverse=True)
        wide = pixels[needed]
        across = _blended(wide[:, columns[:, tap]] * x_weights[:, tap, None] for tap in taps)
        places = places.reshape(lines[strip].shape)
        down = _blended(across[places[:, tap]] * y_weights[strip, tap, None, None] for tap in taps)
        made[strip] = np.clip(down + (1 << 2 * _WEIGHT_BITS - 1) >> 2 * _WEIGHT_BITS, 0, 255)
    return Image.fromarray(made)


def _blended(parts: Iterable[NDArray[np.int32]]) -> NDArray[np.int32]:
    return reduce(np.add, parts)


def _taps(
    length: int, count: int, begin: float, end: float, resampler: str
) -> tuple[NDArray[np.intp], NDArray[np.int32]]:
    """For each new pixel, the old ones that it is made of, and their weights."""
    taps = TAPS[resampler]
    at = (begin + (np.arange(count) + 0.5) * ((end - begin) / count) - 0.5).astype(np.float32)
    places = np.floor(at).astype(np.intp)[:, None] + np.arange(taps) - (taps // 2 - 1)
    distances = np.abs(at[:, None] - places)
    weights = _cubic(distances) if resampler == "bicubic" else np.sinc(distances) * np.sinc(distances / 4)
    weights = weights / weights.sum(axis=1, keepdims=True)
    return places.clip(0, length - 1), np.rint(weights * (1 << _WEIGHT_BITS)).astype(np.int32)


def _cubic(t: NDArray[np.float64]) -> NDArray[np.float64]:
    near = ((_CUBIC + 2) * t - (_CUBIC + 3)) * t * t + 1
    far = ((_CUBIC * t - 5 * _CUBIC) * t + 8 * _CUBIC) * t - 4 * _CUBIC
    return np.where(t < 1, near, far)
