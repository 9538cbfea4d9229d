"""Bytes of a picture to pixels, safely, and pixels to a model's inputs.

`inspect` reads a file's structure and refuses what is too large, cut off or no picture, before anything is decoded. It also makes
a plain file: the first frame and what its pixels need, without text, profiles and EXIF data. Pillow sees only that one, so its
readers of metadata never run, nor do their warnings. Settings of Pillow and of `warnings` are shared by all threads, and stay
as they are.

Colours are taken as they are in the file: colour profiles and gamma are ignored, as they are in training.
"""

import base64
import binascii
import re
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from io import BytesIO
from math import isfinite
from threading import BoundedSemaphore
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Importing the readers registers them; otherwise Pillow imports all it has when it first meets a WebP.
from PIL import GifImagePlugin, Image, JpegImagePlugin, PngImagePlugin, WebPImagePlugin  # noqa: F401

from inference.pipelines.errors import (
    BadTaskConfig,
    InvalidItem,
    InvalidPicture,
    PictureTooLarge,
    UnsupportedPicture,
)
from inference.pipelines.pipeline import FieldChoice, Fields
from inference.pipelines.resampling import TAPS, interpolated
from inference.tensors.arrays import Array, Tensors
from inference.tensors.signature import Signature, TensorSpec

Pixels = NDArray[np.uint8]

MAX_BYTES, MAX_PIXELS, MAX_FRAMES = 10 * 1024 * 1024, 25_000_000, 1_000  # of a picture, unless configured
MAX_PICTURES, MAX_REQUEST_PIXELS, MAX_ROW_BYTES = 64, 100_000_000, 128 * 1024 * 1024  # of a request
# Of a configuration. Pillow warns from 89 million pixels.
_MOST_BYTES, _MOST_PIXELS, _MOST_FRAMES = 64 * 1024 * 1024, 80_000_000, 100_000
_LONGEST_SIDE = 65_535  # JPEG's own; a resampler needs memory for each pixel of a side
_MOST_PARTS = 65_536  # chunks or segments of a file
# Of a progressive JPEG: each scan may take time for all pixels, and needs only a few bytes. Usual files have 10 or fewer.
_MOST_SCANS, _MOST_LARGE_SCANS = 64, 12  # of any picture, and of one with as many pixels as are accepted
_MOST_SIDE = 4_096  # of a model's input

# For pages and golden sets, whose pictures wait in no queue: each may need 75 MB for its pixels.
decoding_for_people = BoundedSemaphore(2)


# Files


@dataclass(frozen=True, slots=True)
class Limits:
    max_bytes: int = MAX_BYTES
    max_pixels: int = MAX_PIXELS
    max_frames: int = MAX_FRAMES


@dataclass(frozen=True, slots=True)
class PictureFile:
    """What a file says about itself, and a plain file with its first frame."""

    format: str  # Pillow's name
    width: int  # as stored, before its turn
    height: int
    frames: int
    orientation: int  # EXIF, 1 to 8
    plain: bytes

    @property
    def pixels(self) -> int:
        return self.width * self.height


def inspect(data: bytes, limits: Limits = Limits()) -> PictureFile:
    """Check a file without decoding it. Raises PictureTooLarge, UnsupportedPicture or InvalidPicture."""
    if len(data) > limits.max_bytes:
        raise PictureTooLarge(
            f"The picture has {len(data):,} bytes; at most {limits.max_bytes:,} are accepted."
        )
    read = next((read for starts, read in _READERS if starts.match(data)), None)
    if read is None:
        raise UnsupportedPicture("Send a JPEG, PNG, WebP or GIF.")
    try:
        return read(data, limits)
    except (IndexError, struct.error):
        raise _cut_off() from None


def decode(file: PictureFile, background: tuple[int, int, int] = (255, 255, 255)) -> Image.Image:
    """The first frame as RGB, turned as its EXIF data says. Raises InvalidPicture.

    Not noticed, as by other readers: a JPEG with an end marker before its last pixels (the rest is grey), and a PNG whose
    compressed data are intact but too short (the rest is black).
    """
    try:
        image: Image.Image = Image.open(BytesIO(file.plain), formats=[file.format])
        if image.size != (file.width, file.height):
            raise InvalidPicture("The picture's parts have different sizes.")
        image.load()
        image = to_rgb(image, background)
        turn = _TURNS.get(file.orientation)
        return image if turn is None else image.transpose(turn)
    except (InvalidItem, MemoryError):
        raise
    except Exception:  # noqa: BLE001 - the readers raise errors of many classes for damaged files
        raise InvalidPicture("The picture is damaged or incomplete.") from None


_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def _cut_off() -> InvalidPicture:
    return InvalidPicture("The picture is cut off.")


def _check_size(width: int, height: int, limits: Limits) -> None:
    if not width or not height:
        raise InvalidPicture("The picture has no pixels.")
    if max(width, height) > _LONGEST_SIDE:
        raise PictureTooLarge(f"The picture's longer side has more than {_LONGEST_SIDE:,} pixels.")
    if width * height > limits.max_pixels:
        raise PictureTooLarge(
            f"The picture has {width:,} × {height:,} pixels; at most {limits.max_pixels:,} are accepted."
        )


def _check_frames(frames: int, limits: Limits) -> None:
    if frames > limits.max_frames:
        raise PictureTooLarge(f"The picture has more than {limits.max_frames:,} frames.")


def _check_scans(scans: int, size: tuple[int, int], limits: Limits) -> None:
    most = min(_MOST_SCANS, _MOST_LARGE_SCANS * limits.max_pixels // (size[0] * size[1]))
    if scans > most:
        raise PictureTooLarge(
            f"The picture has more than {most} scans, too many for its size. Save it as a plain JPEG, not as a progressive one."
        )


def _check_parts(parts: int) -> None:
    if parts > _MOST_PARTS:
        raise PictureTooLarge(f"The picture's file has more than {_MOST_PARTS:,} parts.")


def read_orientation(exif: bytes) -> int:
    """The EXIF orientation, 1 if there is none. Raises InvalidPicture where it cannot be read: a wrong turn is a wrong answer."""
    block = exif.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4])
    try:
        if order is None:
            raise ValueError
        (start,) = struct.unpack_from(f"{order}I", block, 4)
        (entries,) = struct.unpack_from(f"{order}H", block, start)
        for at in range(start + 2, start + 2 + 12 * entries, 12):
            tag, kind, count = struct.unpack_from(f"{order}HHI", block, at)
            if tag == 0x0112:
                value = _exif_number(block, at + 8, order, kind) if count == 1 else 1
                return value if value in _TURNS else 1  # some cameras write 0
    except (struct.error, ValueError):
        raise InvalidPicture("The picture's EXIF data are damaged.") from None
    return 1


def _exif_number(block: bytes, at: int, order: str, kind: int) -> int:
    code = {1: "B", 3: "H", 4: "I"}.get(kind)
    return int(struct.unpack_from(f"{order}{code}", block, at)[0]) if code else 1


_MARKER = re.compile(rb"\xff[\x02-\xcf\xd8-\xfe]")  # restarts are part of the pixels
_FRAME_HEADERS = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_TABLES = {0xC4, 0xCC, 0xDB, 0xDD, 0xE0, 0xEE}  # and JFIF and Adobe, which name the colour space


def _read_jpeg(data: bytes, limits: Limits) -> PictureFile:
    kept, at, parts, scans = [b"\xff\xd8"], 2, 0, 0
    size: tuple[int, int] | None = None
    orientation: int | None = None
    in_scan = False
    while True:
        marker = _MARKER.search(data, at)
        if marker is None:
            raise _cut_off()
        if in_scan:
            kept.append(data[at : marker.start()])
        code = data[marker.start() + 1]
        if code == 0xD9:
            break
        length = int.from_bytes(data[marker.end() : marker.end() + 2], "big")
        at = marker.end() + length
        if code == 0xD8 or length < 2:
            raise InvalidPicture("The picture is damaged.")
        if at > len(data):
            raise _cut_off()
        segment = data[marker.end() + 2 : at]
        in_scan = code == 0xDA
        parts, scans = parts + 1, scans + in_scan
        _check_parts(parts)
        if code in _FRAME_HEADERS:
            if size is not None:
                raise InvalidPicture("The picture is damaged.")
            height, width = struct.unpack_from(">HH", segment, 1)
            _check_size(width, height, limits)
            size = width, height
        elif code == 0xE1 and orientation is None and segment.startswith(b"Exif\0\0"):
            orientation = read_orientation(segment)
        if scans:
            if size is None:
                raise InvalidPicture("The picture is damaged.")
            _check_scans(scans, size, limits)
        if code in _FRAME_HEADERS or code in _TABLES or in_scan:
            kept.append(data[marker.start() : at])
    if size is None or not scans:
        raise _cut_off()
    return PictureFile("JPEG", *size, 1, orientation or 1, b"".join([*kept, b"\xff\xd9"]))


_PNG_STARTS = b"\x89PNG\r\n\x1a\n"


def _png_chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(content, zlib.crc32(kind))
    return b"".join([struct.pack(">I4s", len(content), kind), content, struct.pack(">I", checksum)])


def _read_png(data: bytes, limits: Limits) -> PictureFile:
    found: dict[bytes, list[bytes]] = {}
    at, parts, frames = len(_PNG_STARTS), 0, 1
    kind = b""
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, at)
        if parts == 0:
            if kind != b"IHDR" or length != 13:
                raise InvalidPicture("The picture is damaged.")
            width, height, depth, colour = struct.unpack_from(">IIBB", data, at + 8)
            _check_size(width, height, limits)
        (crc,) = struct.unpack_from(">I", data, at + 8 + length)
        if kind in {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"eXIf", b"acTL"}:
            content = data[at + 8 : at + 8 + length]
            if crc != zlib.crc32(content, zlib.crc32(kind)) or (kind in found and kind != b"IDAT"):
                raise InvalidPicture("The picture is damaged.")
            found.setdefault(kind, []).append(content)
        if kind == b"acTL":
            (frames,) = struct.unpack_from(">I", data, at + 8)
            _check_frames(frames, limits)
        at, parts = at + 12 + length, parts + 1
        _check_parts(parts)
    palette = len(found.get(b"PLTE", [b""])[0])
    if b"IDAT" not in found or (colour == 3 and (not palette or palette % 3 or palette > 768)):
        raise InvalidPicture("The picture is damaged.")
    if b"tRNS" in found and colour == 2 and depth == 16:
        raise UnsupportedPicture("A transparent colour of 16 bits is not supported.")
    if b"tRNS" in found and colour == 0 and depth in {2, 4}:
        # Pillow scales the pixels to 8 bits, but not what it compares them with.
        (grey,) = struct.unpack_from(">H", found[b"tRNS"][0])
        found[b"tRNS"] = [struct.pack(">H", grey * 255 // (2**depth - 1) & 0xFFFF)]
    kinds = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
    kept = [_png_chunk(kind, b"".join(found[kind])) for kind in kinds if kind in found]
    orientation = read_orientation(found[b"eXIf"][0]) if b"eXIf" in found else 1
    return PictureFile("PNG", width, height, max(1, frames), orientation, b"".join([_PNG_STARTS, *kept]))


def _read_webp(data: bytes, limits: Limits) -> PictureFile:
    end = 8 + int.from_bytes(data[4:8], "little")
    if end > len(data):
        raise _cut_off()
    found: dict[bytes, bytes] = {}  # the first of each kind, with its header
    at, parts, frames = 12, 0, 0
    while at + 8 <= end:
        kind, length = struct.unpack_from("<4sI", data, at)
        following = at + 8 + length + length % 2
        if at + 8 + length > end:
            raise _cut_off()
        if kind not in found:
            found[kind] = data[at:following].ljust(8 + length + length % 2, b"\0")
        at, parts, frames = following, parts + 1, frames + (kind == b"ANMF")
        _check_parts(parts)
        _check_frames(frames, limits)
    sizes = [_webp_size(found[kind]) for kind in (b"VP8X", b"VP8 ", b"VP8L") if kind in found]
    if frames:
        sizes.append(_webp_frame_size(found[b"ANMF"]))
    for size in sizes:
        # libwebp's decoder holds two canvases of its own, so the same memory is enough for half of the pixels.
        _check_size(*size, replace(limits, max_pixels=limits.max_pixels // 2))
    if not sizes or not (frames or found.keys() & {b"VP8 ", b"VP8L"}):
        raise _cut_off()
    orientation = read_orientation(found[b"EXIF"][8:]) if b"EXIF" in found else 1
    if b"VP8X" in found:  # no longer with a profile, EXIF or XMP
        found[b"VP8X"] = found[b"VP8X"][:8] + bytes([found[b"VP8X"][8] & 0b00010010]) + found[b"VP8X"][9:]
    order = (b"VP8X", b"ANIM", b"ANMF") if frames else (b"VP8X", b"ALPH", b"VP8 ", b"VP8L")
    body = b"WEBP" + b"".join(found[kind] for kind in order if kind in found)
    return PictureFile(
        "WEBP", *sizes[0], max(1, frames), orientation, b"RIFF" + struct.pack("<I", len(body)) + body
    )


def _webp_size(chunk: bytes) -> tuple[int, int]:
    if chunk.startswith(b"VP8X"):
        return _number24(chunk, 12) + 1, _number24(chunk, 15) + 1
    if chunk.startswith(b"VP8L"):
        (bits,) = struct.unpack_from("<I", chunk, 9)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = struct.unpack_from("<HH", chunk, 14)
    return width & 0x3FFF, height & 0x3FFF


def _webp_frame_size(chunk: bytes) -> tuple[int, int]:
    return _number24(chunk, 14) + 1, _number24(chunk, 17) + 1


def _number24(data: bytes, at: int) -> int:
    low, high = struct.unpack_from("<HB", data, at)
    return int(low | high << 16)


def _read_gif(data: bytes, limits: Limits) -> PictureFile:
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    at = 13 + _gif_palette(flags)
    kept, control, frames, parts = [data[:at]], b"", 0, 0
    while (kind := data[at]) != 0x3B:
        start = at
        if kind == 0x2C:
            frames += 1
            _check_frames(frames, limits)
            left, top, columns, rows, flags = struct.unpack_from("<HHHHB", data, at + 1)
            at = _skip_gif_blocks(data, at + 11 + _gif_palette(flags))
            if frames == 1:
                width, height = max(width, left + columns), max(height, top + rows)  # as Pillow does
                _check_size(width, height, limits)
                if not columns or not rows:
                    raise InvalidPicture("The picture has no pixels.")
                kept += [control, data[start:at]]
        elif kind == 0x21:
            at = _skip_gif_blocks(data, at + 2)
            if data[start + 1] == 0xF9:
                control = data[start:at]
        else:
            raise InvalidPicture("The picture is damaged.")
        parts += 1
        _check_parts(parts - frames)
    if not frames:
        raise InvalidPicture("The picture has no pixels.")
    return PictureFile("GIF", width, height, frames, 1, b"".join([*kept, b";"]))


def _gif_palette(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _skip_gif_blocks(data: bytes, at: int) -> int:
    while length := data[at]:
        at += length + 1
    return at + 1


_READERS: Sequence[tuple["re.Pattern[bytes]", Callable[[bytes, Limits], PictureFile]]] = (
    (re.compile(rb"\xff\xd8\xff"), _read_jpeg),
    (re.compile(re.escape(_PNG_STARTS)), _read_png),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), _read_webp),
    (re.compile(rb"GIF8[79]a"), _read_gif),
)


# Colours

_STRIP = 1 << 20  # pixels


def to_rgb(image: Image.Image, background: tuple[int, int, int]) -> Image.Image:
    """A picture of any mode as RGB.

    1, L, P              black is 0, white 255, a palette's colours as they are
    transparent          (LA, RGBA, PA, RGBa, La, and a transparent colour of the others) over the background
    I;16, I              16 bits: their upper eight, as in colour pictures of 16 bits; I is cut to 0..65535 first
    F                    rounded and cut to 0..255; NaN is 0
    CMYK, YCbCr, others  Pillow's formulas, without colour profiles
    """
    if image.mode == "RGB" and not image.has_transparency_data:
        return image
    flat = Image.new("RGB", image.size, background)
    rows = max(
        1, _STRIP // image.width
    )  # strip by strip, since the steps between need several times the memory
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        if image.mode.startswith("I") or image.mode == "F":
            strip = _to_8_bits(strip)
        is_opaque = not strip.has_transparency_data
        strip = strip.convert("RGB" if is_opaque else "RGBA")
        flat.paste(strip, (0, top), None if is_opaque else strip)
    return flat


def _to_8_bits(image: Image.Image) -> Image.Image:
    values = np.asarray(image)
    if image.mode == "F":
        return Image.fromarray(np.nan_to_num(values).round().clip(0, 255).astype(np.uint8))
    if values.dtype.kind == "i":
        values = values.clip(0, 65_535)
    eight = (values >> 8).astype(np.uint8)
    transparent = image.info.get("transparency")
    if transparent is None:
        return Image.fromarray(eight)
    alpha = (values != transparent).astype(np.uint8) * np.uint8(255)
    return Image.fromarray(np.stack([eight, alpha], axis=-1))


# Geometry


class Resize(StrEnum):
    """How a picture gets the size of the model's input."""

    SHORTER_SIDE = "shorter_side"  # resized to it, then the centre is cut out
    SQUARE = "square"  # stretched to a square of the shorter side, then the centre is cut out
    STRETCH = "stretch"
    LETTERBOX = "letterbox"  # the whole picture, the rest is padding


RESIZES: Mapping[str, FieldChoice] = {
    Resize.LETTERBOX: FieldChoice("fit inside, with a border (letterbox)"),
    Resize.STRETCH: FieldChoice("are stretched"),
    Resize.SHORTER_SIDE: FieldChoice("are resized to their shorter side, then the centre is cut out"),
    Resize.SQUARE: FieldChoice("are stretched to a square, then its centre is cut out"),
}


class Padding(StrEnum):
    """Where a letterbox's padding lies."""

    BOTH_SIDES = "both_sides"
    RIGHT_AND_BOTTOM = "right_and_bottom"


class Rounding(StrEnum):
    """How the longer side and the place of the centre become whole numbers; named after whose way it is."""

    TORCHVISION = "torchvision"  # the side down, the place to the nearest
    TRANSFORMERS = "transformers"  # both down
    PADDLECLAS = "paddleclas"  # the side to the nearest, the place down


RESAMPLERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "area": Image.Resampling.BOX,
}


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a picture lies in the model's input, and the way back from there."""

    scale_x: float  # pixels of the input for one of the picture, of the rounded sizes
    scale_y: float
    left: int  # of the picture in the input: padding; negative where it was cut
    top: int
    width: int  # the picture's own, after its EXIF turn
    height: int

    def to_picture(self, points: Array) -> NDArray[np.float64]:
        """x, y (or x1, y1, x2, y2) along the last axis, from the input's pixels to the picture's. Not clipped."""
        pairs = points.astype(np.float64).reshape(*points.shape[:-1], points.shape[-1] // 2, 2)
        pairs = (pairs - (self.left, self.top)) / (self.scale_x, self.scale_y)
        return np.asarray(pairs.reshape(points.shape))

    def to_input(self, points: Array) -> NDArray[np.float64]:
        """The other way round."""
        pairs = points.astype(np.float64).reshape(*points.shape[:-1], points.shape[-1] // 2, 2)
        pairs = pairs * (self.scale_x, self.scale_y) + (self.left, self.top)
        return np.asarray(pairs.reshape(points.shape))


@dataclass(frozen=True, slots=True)
class Geometry:
    width: int
    height: int
    resize: Resize
    resampler: str
    antialias: bool  # False: from the nearest pixels alone, however much smaller it gets, as OpenCV does
    shorter_side: int
    rounding: Rounding
    as_jpeg: bool
    padding: Padding
    padding_value: int

    def place(self, width: int, height: int) -> tuple[Placement, tuple[int, int]]:
        """Where a picture of this size lies, and the size that it is given."""
        size, left, top = (self.width, self.height), 0, 0
        if self.resize is Resize.LETTERBOX:
            ratio = min(self.height / height, self.width / width)
            size = max(round(width * ratio), 1), max(round(height * ratio), 1)
            if self.padding is Padding.BOTH_SIDES:
                left = round((self.width - size[0]) / 2 - 0.1)
                top = round((self.height - size[1]) / 2 - 0.1)
        elif self.is_cut_out:
            size = self._size_before_cut(width, height)
            left, top = -self._half(size[0] - self.width), -self._half(size[1] - self.height)
        return Placement(size[0] / width, size[1] / height, left, top, width, height), size

    @property
    def is_cut_out(self) -> bool:
        """Whether the picture is made larger than the input, and its centre cut out."""
        return self.resize in {Resize.SHORTER_SIDE, Resize.SQUARE}

    def _size_before_cut(self, width: int, height: int) -> tuple[int, int]:
        if self.resize is Resize.SQUARE:
            return self.shorter_side, self.shorter_side
        short = min(width, height)
        if self.rounding is Rounding.PADDLECLAS:
            return round(self.shorter_side * width / short), round(self.shorter_side * height / short)
        return self.shorter_side * width // short, self.shorter_side * height // short

    def _half(self, length: int) -> int:
        return round(length / 2) if self.rounding is Rounding.TORCHVISION else length // 2

    def fit(self, image: Image.Image) -> tuple[Pixels, Placement]:
        """The picture in the input's size, and where it lies there."""
        placement, size = self.place(*image.size)
        if self.is_cut_out:
            fitted = self._cut_out(image, size, -placement.left, -placement.top)
        elif size == (self.width, self.height):
            fitted = self._resized(image, size, (0, 0, *image.size))
        else:
            fitted = Image.new("RGB", (self.width, self.height), (self.padding_value,) * 3)
            fitted.paste(self._resized(image, size, (0, 0, *image.size)), (placement.left, placement.top))
        return np.asarray(_through_jpeg(fitted) if self.as_jpeg else fitted), placement

    def _cut_out(self, image: Image.Image, size: tuple[int, int], left: int, top: int) -> Image.Image:
        box = (left, top, left + self.width, top + self.height)
        if size[0] * size[1] <= 16 * self.shorter_side**2:
            return self._resized(image, size, (0, 0, *image.size)).crop(box)
        # A long strip would become huge first: 1 × 3,000 pixels 256 × 768,000. Resizing only what is needed may be
        # a few grey levels off, since Pillow then may resize its height before its width.
        x, y = image.width / size[0], image.height / size[1]
        return self._resized(
            image, (self.width, self.height), (box[0] * x, box[1] * y, box[2] * x, box[3] * y)
        )

    def _resized(
        self, image: Image.Image, size: tuple[int, int], box: tuple[float, float, float, float]
    ) -> Image.Image:
        resampler = RESAMPLERS[self.resampler]
        if self.antialias:
            return image.resize(size, resampler, box)
        if self.resampler in TAPS:
            return interpolated(image, size, box, self.resampler)
        x, y = (box[2] - box[0]) / size[0], (box[3] - box[1]) / size[1]
        return image.transform(size, Image.Transform.AFFINE, (x, 0, box[0], 0, y, box[1]), resampler)


def _through_jpeg(image: Image.Image) -> Image.Image:
    """Written with the usual quality and read again, as models were trained whose pictures were resized files."""
    file = BytesIO()
    image.save(file, "JPEG")
    return Image.open(file, formats=["JPEG"])


# Configuration and inputs


class PictureFields(Fields):
    """Reads lists of numbers, too."""

    def numbers(self, name: str, default: Sequence[float], *, least: float, most: float) -> tuple[float, ...]:
        """As many as the default has."""
        values = self._left.pop(name, default)
        if (
            not isinstance(values, list | tuple)
            or len(values) != len(default)
            or not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
            or not all(isfinite(value) and least <= value <= most for value in values)
        ):
            raise BadTaskConfig(
                f"It must be a list of {len(default)} numbers from {least:,} to {most:,}.", field=name
            )
        return tuple(float(value) for value in values)


@dataclass(frozen=True, slots=True)
class PictureDefaults:
    """Of a task: what its models usually expect."""

    resize: Resize
    side: int
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)


class PictureInputs:
    """Turns pictures into rows of pixels, and those into a model's inputs."""

    def __init__(self, fields: PictureFields, signature: Signature, defaults: PictureDefaults) -> None:
        self.input = _find_input(signature)
        self.is_nchw = _is_nchw(self.input, fields.choice("layout", ("", "nchw", "nhwc"), ""))
        self.geometry = self._read_geometry(fields, defaults)
        self.is_bgr = fields.choice("channels", ("rgb", "bgr"), "rgb") == "bgr"
        self._read_scaling(fields, defaults)
        red, green, blue = fields.numbers("background", (255, 255, 255), least=0, most=255)
        self.background = int(red), int(green), int(blue)
        self.limits = Limits(
            fields.number("max_bytes", MAX_BYTES, least=1, most=_MOST_BYTES),
            fields.number("max_pixels", MAX_PIXELS, least=1, most=_MOST_PIXELS),
            fields.number("max_frames", MAX_FRAMES, least=1, most=_MOST_FRAMES),
        )

    def _read_geometry(self, fields: PictureFields, defaults: PictureDefaults) -> Geometry:
        shape = self.input.shape or (None,) * 4
        rows, columns = shape[2:] if self.is_nchw else shape[1:3]
        height = _read_side(fields, "height", rows, defaults.side)
        width = _read_side(fields, "width", columns, defaults.side)
        larger = max(height, width)
        resampler = fields.choice("resampler", list(RESAMPLERS), "bilinear")
        antialias = fields.flag("antialias", default=True)
        if not antialias and resampler == "area":
            raise BadTaskConfig(f"The resampler {resampler} always smooths.", field="antialias")
        return Geometry(
            width,
            height,
            Resize(fields.choice("resize", list(Resize), defaults.resize)),
            resampler,
            antialias,
            fields.number("shorter_side", round(larger * 256 / 224), least=larger, most=2 * _MOST_SIDE),
            Rounding(fields.choice("rounding", list(Rounding), Rounding.TORCHVISION)),
            fields.flag("as_jpeg", default=False),
            Padding(fields.choice("padding", list(Padding), Padding.BOTH_SIDES)),
            fields.number("padding_value", 114, least=0, most=255),
        )

    def _read_scaling(self, fields: PictureFields, defaults: PictureDefaults) -> None:
        whole = self.input.datatype == "UINT8"  # the model scales them itself
        choices = ("none",) if whole else ("1/255", "none")
        scale = fields.choice("scale", choices, choices[0])
        usual = scale == "1/255"
        mean = fields.numbers("mean", defaults.mean if usual else (0, 0, 0), least=-1e4, most=1e4)
        std = fields.numbers("std", defaults.std if usual else (1, 1, 1), least=1e-6, most=1e6)
        for name, values, neutral in (("mean", mean, 0), ("std", std, 1)):
            if whole and any(value != neutral for value in values):
                raise BadTaskConfig("The model takes whole numbers, so it must do this itself.", field=name)
        self._mean, self._std, self._scale = mean, std, scale
        unit = 255 if usual else 1
        self._factors = [np.float32(1 / (unit * one)) for one in std]
        self._offsets = [np.float32(-middle / one) for middle, one in zip(mean, std, strict=True)]

    @property
    def max_pictures(self) -> int:
        """In a request."""
        return max(1, min(MAX_PICTURES, MAX_ROW_BYTES // self.row_bytes))

    @property
    def row_bytes(self) -> int:
        return 3 * self.geometry.width * self.geometry.height

    @property
    def hashed(self) -> Sequence[Any]:
        """All that changes the inputs. Not the limits: they only refuse."""
        g = self.geometry
        used: list[Any] = [g.width, g.height, g.resize, g.resampler, g.antialias]
        if g.is_cut_out:
            used += [g.shorter_side, g.rounding]
        if g.as_jpeg:
            used.append("jpeg")
        if g.resize is Resize.LETTERBOX:
            used += [g.padding, g.padding_value]
        scaling = [self._scale, self._mean, self._std, self.is_bgr]
        return [*used, self.background, *scaling, self.is_nchw, self.input.name, self.input.datatype]

    def encode(self, items: Sequence[Any], *, field: str) -> tuple[Tensors, list["Picture"]]:
        """A row of pixels for each picture, RGB. All files are checked before the first one is decoded."""
        files: list[PictureFile | Pixels] = []
        for number, item in enumerate(items):
            with _errors_of(field, number if len(items) > 1 else None):
                files.append(self._checked(item))
        if sum(map(_pixels_of, files)) > max(MAX_REQUEST_PIXELS, self.limits.max_pixels):
            raise PictureTooLarge(
                f"The pictures of a request may have {MAX_REQUEST_PIXELS:,} pixels together.", field=field
            )
        rows = np.empty((len(files), self.geometry.height, self.geometry.width, 3), np.uint8)
        pictures = []
        for number, file in enumerate(files):
            with _errors_of(field, number if len(items) > 1 else None):
                image, frames = self._opened(file)
                rows[number], placement = self.geometry.fit(image)
            pictures.append(Picture(placement, frames))
        return {"pixels": rows}, pictures

    def _checked(self, item: Any) -> "PictureFile | Pixels":
        """A file that may be decoded, or an array of pixels."""
        if not isinstance(item, np.ndarray):
            return inspect(picture_bytes(item, self.limits), self.limits)
        _check_size(item.shape[1], item.shape[0], self.limits)
        return np.ascontiguousarray(item)

    def _opened(self, file: "PictureFile | Pixels") -> tuple[Image.Image, int]:
        """The picture as RGB, and how many frames it has."""
        if isinstance(file, PictureFile):
            return decode(file, self.background), file.frames
        return Image.fromarray(file), 1

    def prepare(self, rows: Tensors) -> Tensors:
        """Of a whole batch. One pass for each channel is several times faster than passes over all of them."""
        pixels = rows["pixels"]
        shape = (len(pixels), 3, *pixels.shape[1:3]) if self.is_nchw else pixels.shape
        made = np.empty(shape, np.uint8 if self.input.datatype == "UINT8" else np.float32)
        for channel in range(3):
            source = pixels[..., 2 - channel if self.is_bgr else channel]
            target = made[:, channel] if self.is_nchw else made[..., channel]
            if made.dtype == np.uint8:
                target[...] = source
            else:
                np.multiply(source, self._factors[channel], out=target)
                target += self._offsets[channel]
        return {self.input.name: made.astype(self.input.dtype, copy=False)}


@dataclass(frozen=True, slots=True)
class Picture:
    """What is known about a picture of a request once it has become a row."""

    placement: Placement
    frames: int  # only the first one is looked at


@contextmanager
def _errors_of(field: str, number: int | None) -> Iterator[None]:
    """Errors say which picture of the request they are about."""
    try:
        yield
    except InvalidItem as error:
        error.field = field if number is None else f"{field}[{number}]"
        raise


def _pixels_of(file: PictureFile | Pixels) -> int:
    return file.pixels if isinstance(file, PictureFile) else file.size // 3


def picture_bytes(item: Any, limits: Limits) -> bytes:
    """A picture as bytes, or as base64 text, also as a data URL and in lines."""
    if isinstance(item, bytes | bytearray | memoryview):
        return bytes(item)
    if not isinstance(item, str):
        raise InvalidPicture("A picture must be base64 text, or the body of the request.")
    if len(item) > limits.max_bytes * 3 // 2 + 1_000:
        raise PictureTooLarge(f"The picture has more than {limits.max_bytes:,} bytes.")
    text = item.partition(",")[2] if item.startswith("data:") else item
    try:
        return base64.b64decode(text.encode("ascii").translate(None, b"\r\n"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise InvalidPicture("The picture is not base64 text.") from None


def _find_input(signature: Signature) -> TensorSpec:
    inputs = signature.required_inputs
    if len(inputs) != 1 or not (inputs[0].any_rank or len(inputs[0].shape) == 4):
        raise BadTaskConfig("The model must take one input with four dimensions: pictures.", field="inputs")
    if inputs[0].datatype not in {"FP32", "FP16", "UINT8"}:
        raise BadTaskConfig(
            f"Pictures can be given as FP32, FP16 or UINT8; input `{inputs[0].name}` is {inputs[0].datatype}.",
            field="inputs",
        )
    return inputs[0]


def _is_nchw(spec: TensorSpec, stated: str) -> bool:
    """Whether channels come first: as stated, or where only one of the two axes can hold three."""
    shape = spec.shape or (None,) * 4
    fits = {"nchw": shape[1] in {3, None}, "nhwc": shape[3] in {3, None}}
    if stated:
        if not fits[stated]:
            raise BadTaskConfig(f"Input `{spec.name}` has no three channels there.", field="layout")
        return stated == "nchw"
    certain = [name for name, axis in (("nchw", 1), ("nhwc", 3)) if shape[axis] == 3]
    if len(certain) != 1:
        advice = "State nchw or nhwc." if any(fits.values()) else "It must have three channels."
        raise BadTaskConfig(
            f"The shape of input `{spec.name}` does not tell its layout. {advice}", field="layout"
        )
    return certain[0] == "nchw"


def _read_side(fields: PictureFields, name: str, declared: int | None, default: int) -> int:
    side = fields.number(name, declared or default, least=1, most=_MOST_SIDE)
    if declared is not None and side != declared:
        raise BadTaskConfig(f"The model's input has {declared:,} here.", field=name)
    return side
