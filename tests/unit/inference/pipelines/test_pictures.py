"""Bytes of a picture to pixels, and pixels to a model's inputs. The references are plain loops, or Pillow's own functions."""

import base64
import struct
import subprocess
import sys
import textwrap
import time
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from math import floor, pi, sin

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile, ImageOps, PngImagePlugin

from inference.pipelines.errors import (
    BadTaskConfig,
    InvalidItem,
    InvalidPicture,
    PictureTooLarge,
    UnsupportedPicture,
)
from inference.pipelines.pictures import (
    RESAMPLERS,
    Geometry,
    Limits,
    Padding,
    PictureDefaults,
    PictureFields,
    PictureInputs,
    Placement,
    Resize,
    Rounding,
    decode,
    inspect,
    picture_bytes,
    read_orientation,
    to_rgb,
)
from inference.tensors.signature import Signature, TensorSpec
from tests.support.picture_files import (
    anmf,
    chunk,
    exif,
    gif,
    gif_frame,
    jpeg_segment,
    jpeg_size,
    noise,
    picture,
    png,
    png_with,
    riff,
    saved,
    vp8x,
)

WHITE = (255, 255, 255)


def pixels_of(data, background=WHITE, **limits):
    return np.asarray(decode(inspect(data, Limits(**limits)), background))


# Colours


def over(values, alpha, background):
    """What a plain formula makes of transparent pixels; Pillow rounds within a level of it."""
    share = alpha[..., None] / 255
    return np.rint(values * share + np.array(background) * (1 - share))


def test_opaque_modes():
    grey, colours = noise(5, 4, 1)[..., 0], noise(5, 4)
    wide = (grey.astype(np.uint16) << 8) + 200
    cases = {
        "1": (Image.fromarray(grey > 99), np.where(grey > 99, 255, 0)),
        "L": (Image.fromarray(grey), grey),
        "I;16": (Image.fromarray(wide), grey),
        "I": (Image.fromarray(wide.astype(np.int32)), grey),
        "F": (Image.fromarray(grey.astype(np.float32) + np.float32(0.3)), grey),
    }
    for mode, (image, expected) in cases.items():
        assert image.mode == mode
        assert np.array_equal(to_rgb(image, WHITE), np.stack([expected] * 3, -1)), mode
    assert np.array_equal(to_rgb(Image.fromarray(colours), WHITE), colours)


def test_numbers_beyond_the_range_are_cut():
    whole = Image.fromarray(np.array([[-5, 1 << 20, 65_535, 257]], np.int32))
    floats = Image.fromarray(np.array([[-5, 1e9, np.nan, np.inf]], np.float32))

    assert np.asarray(to_rgb(whole, WHITE))[0, :, 0].tolist() == [0, 255, 255, 1]
    assert np.asarray(to_rgb(floats, WHITE))[0, :, 0].tolist() == [0, 255, 0, 255]


def test_printing_colours():
    """CMYK as 255 minus colour minus black, YCbCr by the formula of JPEG."""
    inks, light = noise(5, 4, 4), noise(5, 4)
    cyan, black = inks[..., :3].astype(float), inks[..., 3:].astype(float)
    y, blue, red = (light[..., channel].astype(float) for channel in range(3))
    colours = [
        y + 1.402 * (red - 128),
        y - 0.344136 * (blue - 128) - 0.714136 * (red - 128),
        y + 1.772 * (blue - 128),
    ]

    printed = np.asarray(to_rgb(Image.fromarray(inks, "CMYK"), WHITE)).astype(float)
    shown = np.asarray(to_rgb(Image.fromarray(light, "YCbCr"), WHITE)).astype(float)

    assert np.abs(printed - (255 - cyan) * (255 - black) / 255).max() <= 1
    assert np.abs(shown - np.clip(np.stack(colours, -1), 0, 255)).max() <= 1


@pytest.mark.parametrize("background", [WHITE, (0, 0, 0), (10, 200, 30)], ids=str)
@pytest.mark.parametrize("mode", ["LA", "RGBA", "PA"])
def test_transparent_modes_lie_on_the_background(mode, background):
    values = noise(6, 5, 4)
    if mode != "RGBA":
        values[..., :3] = values[..., :1]
    image = Image.fromarray(values).convert(mode)

    flat = np.asarray(to_rgb(image, background)).astype(float)

    assert image.mode == mode
    assert np.abs(flat - over(values[..., :3], values[..., 3], background)).max() <= 1


@pytest.mark.parametrize(
    ("image", "colour"),
    [
        (Image.fromarray(np.array([[3, 4]], np.uint8)), 3),
        (Image.fromarray(np.array([[[1, 2, 3], [4, 4, 4]]], np.uint8)), (1, 2, 3)),
        (Image.fromarray(np.array([[1027, 1028]], np.uint16)), 1027),
    ],
    ids=["L", "RGB", "I;16"],
)
def test_a_transparent_colour(image, colour):
    image.info["transparency"] = colour

    assert np.asarray(to_rgb(image, (9, 8, 7))).tolist() == [[[9, 8, 7], [4, 4, 4]]]


def test_large_pictures_are_converted_in_strips(monkeypatch):
    image = Image.fromarray(noise(7, 50, 4))
    whole = np.asarray(to_rgb(image, WHITE))

    monkeypatch.setattr("inference.pipelines.pictures._STRIP", 20)

    assert np.array_equal(to_rgb(image, WHITE), whole)


def palette_image(transparency=None):
    image = Image.fromarray(np.array([[0, 1, 2]], np.uint8), "L")
    image = image.convert("P")
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    return saved(image, "PNG", **({} if transparency is None else {"transparency": transparency}))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (palette_image(), [[255, 0, 0], [0, 255, 0], [0, 0, 255]]),
        (palette_image(1), [[255, 0, 0], [255, 255, 255], [0, 0, 255]]),
        (palette_image(bytes([0, 255, 51])), [[255, 255, 255], [0, 255, 0], [204, 204, 255]]),
        (png(2, 1, depth=16, colour=0, pixels=b"\0\x12\xff\x80\x00"), [[18] * 3, [128] * 3]),
        (png(1, 1, depth=16, colour=2, pixels=b"\0\x12\xff\x80\x00\xff\xff"), [[18, 128, 255]]),
        (png(1, 1, depth=16, colour=4, pixels=b"\0\x12\xff\0\0"), [[255] * 3]),
        (png(3, 1, depth=2, colour=0, pixels=b"\0\x1b", more=[chunk(b"tRNS", b"\0\1")]), [[0] * 3, [255] * 3, [170] * 3]),
        (png(2, 1, depth=4, colour=0, pixels=b"\0\x3c", more=[chunk(b"tRNS", b"\0\3")]), [[255] * 3, [204] * 3]),
        (png(8, 1, depth=1, colour=0, pixels=b"\0\xf0"), [[255] * 3] * 4 + [[0] * 3] * 4),
        (gif(2, 1, b"!\xf9\4\1\0\0\0\0", gif_frame(1, 1)), [[255] * 3, [255] * 3]),
    ],
    ids=["palette", "palette, one", "palette, some", "grey 16", "colour 16", "grey 16 alpha", "grey 2", "grey 4", "bits", "gif"],
)  # fmt: skip
def test_small_files_made_by_hand(data, expected):
    assert pixels_of(data).tolist() == [expected]


@pytest.mark.parametrize(
    ("mode", "file_format", "options"),
    [
        *[(mode, "PNG", {}) for mode in ("1", "L", "P", "RGB", "I;16")],
        *[(mode, "JPEG", {"progressive": late}) for mode in ("L", "RGB", "CMYK") for late in (False, True)],
        ("RGB", "JPEG", {"subsampling": 2, "quality": 30, "restart_marker_blocks": 1}),
        ("RGB", "WEBP", {"lossless": True}), ("RGB", "WEBP", {"quality": 50}),
        ("P", "GIF", {}), ("L", "GIF", {}),
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("size", [(1, 1), (31, 17), (1, 300)], ids=str)
def test_a_plain_file_has_the_pixels_of_the_whole_one(mode, file_format, options, size):
    """What `inspect` leaves out changes nothing."""
    image = picture(*size)
    image = (
        Image.fromarray(noise(*size, 2).view(np.uint16)[..., 0]) if mode == "I;16" else image.convert(mode)
    )
    data = saved(image, file_format, **options)

    expected = to_rgb(Image.open(BytesIO(data)), WHITE)

    assert np.array_equal(pixels_of(data), expected)


@pytest.mark.parametrize("lossless", [True, False])
def test_transparent_webp(lossless):
    image = Image.fromarray(noise(31, 17, 4))
    data = saved(image, "WEBP", lossless=lossless, exact=True)

    assert np.array_equal(pixels_of(data, (1, 2, 3)), to_rgb(Image.open(BytesIO(data)), (1, 2, 3)))


@pytest.mark.parametrize("file_format", ["GIF", "WEBP", "PNG"])
def test_the_first_frame_of_several(file_format):
    frames = [Image.new("RGB", (8, 5), colour) for colour in ("red", "green", "blue")]
    data = saved(frames[0], file_format, save_all=True, append_images=frames[1:], lossless=True)

    assert inspect(data).frames == 3
    assert pixels_of(data).reshape(-1, 3).tolist() == [[255, 0, 0]] * 40
    with pytest.raises(PictureTooLarge, match="more than 2 frames"):
        inspect(data, Limits(max_frames=2))


# Turns


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("size", [(30, 20), (1, 301), (17, 33)], ids=str)
def test_the_exif_turn_comes_first(file_format, orientation, size):
    tags = Image.Exif()
    tags[0x0112] = orientation
    options = {"lossless": True} if file_format == "WEBP" else {}
    data = saved(picture(*size), file_format, exif=tags, **options)
    stored = Image.open(BytesIO(data)).convert("RGB")

    pixels = pixels_of(data)

    assert np.array_equal(pixels, ImageOps.exif_transpose(Image.open(BytesIO(data))).convert("RGB"))
    if size != (1, 301):  # control: without the turn it is another picture
        assert np.array_equal(pixels, np.asarray(stored)) == (orientation == 1)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("kind", [3, 4])
@pytest.mark.parametrize("value", range(10))
def test_orientations_in_both_byte_orders(value, kind, order):
    block = exif(value, order, kind)

    assert (
        read_orientation(block) == read_orientation(b"Exif\0\0" + block) == (value if 1 <= value <= 8 else 1)
    )


@pytest.mark.parametrize(
    "block", [b"", b"II", b"XX*\0\x08\0\0\0", exif(6)[:19], b"II*\0\xff\xff\xff\xff"], ids=repr
)
def test_damaged_exif_data_are_refused_since_the_turn_is_unknown(block):
    with pytest.raises(InvalidPicture, match="EXIF"):
        read_orientation(block)
    with pytest.raises(InvalidPicture, match="EXIF"):
        inspect(png_with(chunk(b"eXIf", block)))


# Hostile files

FRAMES = 100_000
HOSTILE = {
    "bomb: PNG": (png(50_000, 50_000), PictureTooLarge),
    "bomb: PNG, one column": (png(1, 2**31 - 1), PictureTooLarge),
    "bomb: PNG, one long row": (png(65_536, 1), PictureTooLarge),
    "bomb: GIF screen": (gif(65_535, 65_535, gif_frame()), PictureTooLarge),
    "bomb: GIF frame": (gif(1, 1, gif_frame(65_535, 65_535)), PictureTooLarge),
    "bomb: JPEG": (b"\xff\xd8" + jpeg_size(65_535, 65_535), PictureTooLarge),
    "bomb: WebP canvas": (riff(vp8x(2**24, 2**24)), PictureTooLarge),
    "bomb: WebP lossless": (riff((b"VP8L", b"\x2f\xff\xff\xff\xff" + bytes(9))), PictureTooLarge),
    "bomb: WebP lossy": (riff((b"VP8 ", bytes(3) + b"\x9d\x01\x2a\xff\x3f\xff\x3f" + bytes(9))), PictureTooLarge),
    "bomb: WebP frame": (riff(vp8x(1, 1, 2), anmf(2**24, 2**24)), PictureTooLarge),
    "frames: GIF": (gif(1, 1, gif_frame() * FRAMES), PictureTooLarge),
    "frames: APNG": (png_with(chunk(b"acTL", struct.pack(">II", FRAMES, 0))), PictureTooLarge),
    "frames: WebP": (riff(vp8x(1, 1, 2), *[anmf()] * FRAMES), PictureTooLarge),
    "parts: PNG": (png_with(chunk(b"tEXt", b"a\0b") * FRAMES), PictureTooLarge),
    "parts: JPEG": (b"\xff\xd8" + jpeg_segment(0xE3, b"") * FRAMES, PictureTooLarge),
    "parts: GIF": (gif(1, 1, b"!\xfe\1a\0" * FRAMES, gif_frame()), PictureTooLarge),
    "parts: WebP": (riff(*[(b"XMP ", b"")] * FRAMES), PictureTooLarge),
    "blocks: GIF": (gif(1, 1, b"!\xfe" + b"\1a" * 5_000_000), InvalidPicture),
    "scans: JPEG": (b"\xff\xd8" + jpeg_size(9, 9) + jpeg_segment(0xDA, b"\1\1\0\0\x3f\0") * 99, PictureTooLarge),
    "too many bytes": (b"\xff\xd8\xff" + bytes(11_000_000), PictureTooLarge),
    "no bytes": (b"", UnsupportedPicture),
    "no pixels: PNG": (png(0, 9), InvalidPicture),
    "no pixels: JPEG": (b"\xff\xd8" + jpeg_size(9, 0), InvalidPicture),
    "no pixels: GIF": (gif(0, 0, gif_frame(0, 0)), InvalidPicture),
    "no frame: GIF": (gif(9, 9), InvalidPicture),
    "no frame: WebP": (riff(vp8x(9, 9)), InvalidPicture),
    "no palette": (png(1, 1, colour=3, pixels=b"\0\0"), InvalidPicture),
    "damaged: PNG checksum": (saved(picture(), "PNG").replace(b"IDATx", b"IDATy"), InvalidPicture),
    "damaged: a second size": (b"\xff\xd8" + jpeg_size(9, 9) * 2, InvalidPicture),
    "transparent colour of 16 bits": (png(1, 1, depth=16, more=[chunk(b"tRNS", bytes(6))]), UnsupportedPicture),
    "SVG": (b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>', UnsupportedPicture),
    "TIFF": (saved(picture(), "TIFF"), UnsupportedPicture),
    "EPS": (saved(picture(), "EPS"), UnsupportedPicture),
    "BMP": (saved(picture(), "BMP"), UnsupportedPicture),
    "JPEG 2000": (saved(picture(), "JPEG2000"), UnsupportedPicture),
    "ICO": (saved(picture(), "ICO"), UnsupportedPicture),
    "AVIF": (saved(picture(), "AVIF"), UnsupportedPicture),
    "PDF": (saved(picture(), "PDF"), UnsupportedPicture),
    "PSD": (b"8BPS\0\1" + bytes(40), UnsupportedPicture),
    "HTML": (b"<!doctype html><img src=x>", UnsupportedPicture),
    "wrong magic": (b"\x89PNG\n\n\x1a\n" + saved(picture(), "PNG")[8:], UnsupportedPicture),
    "late magic": (b"<p>" + saved(picture(), "PNG"), UnsupportedPicture),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_before_anything_is_decoded(name, monkeypatch):
    data, error = HOSTILE[name]
    monkeypatch.setattr(Image, "open", None)
    started = time.monotonic()

    with pytest.raises(error) as refused:
        inspect(data)

    assert time.monotonic() - started < 2
    assert type(refused.value) is error


def test_a_bomb_would_be_decoded_without_the_check():
    """Control: Pillow alone opens a file of 25 KB with 169 million pixels, with no more than a warning."""
    data = png(13_000, 13_000, colour=0, pixels=bytes(10))

    with pytest.warns(Image.DecompressionBombWarning):
        assert Image.open(BytesIO(data)).size == (13_000, 13_000)
    with pytest.raises(PictureTooLarge, match="13,000 × 13,000 pixels; at most 25,000,000"):
        inspect(data)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "GIF"])
def test_a_file_cut_off_anywhere_is_refused(file_format):
    data = saved(picture(20, 20), file_format)
    headers_that_pillow_accepts = 0

    for length in range(len(data)):
        with pytest.raises(InvalidItem):
            pixels_of(data[:length])
        try:
            headers_that_pillow_accepts += Image.open(BytesIO(data[:length])).width == 20
        except (OSError, SyntaxError, ValueError):
            continue

    assert pixels_of(data).shape == (20, 20, 3)
    assert headers_that_pillow_accepts > 20 or file_format == "WEBP"


@pytest.mark.parametrize("part", ["IDAT", "scan"])
def test_pixels_that_are_missing_inside_a_whole_file(part):
    if part == "IDAT":
        data = png(9, 9, pixels=bytes(28 * 9), missing=6)
    else:
        whole = saved(picture(64, 64), "JPEG")
        data = whole[: whole.index(b"\xff\xda")] + b"\xff\xd9"

    with pytest.raises(InvalidPicture):
        pixels_of(data)


@pytest.mark.parametrize(
    "data",
    [
        png_with(chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(50_000_000)))),
        png_with(chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(50_000_000)))),
        png_with(*[chunk(b"tEXt", b"<script>\0" + b"x" * 90_000)] * 100),
    ],
    ids=["compressed text", "compressed profile", "9 MB of text"],
)
def test_text_and_profiles_never_reach_pillow(data):
    started = time.monotonic()

    file = inspect(data)

    assert np.asarray(decode(file)).shape == (6, 9, 3)
    assert len(file.plain) < 500 and b"script" not in file.plain
    assert time.monotonic() - started < 2


def test_pillow_alone_would_read_them():
    """Control."""
    with pytest.raises(ValueError, match="too large"):
        Image.open(BytesIO(png_with(chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(50_000_000))))))


SCRIPT = b"<script>alert(1)</script>"


@pytest.mark.parametrize(
    ("file_format", "hide"),
    [
        ("PNG", lambda file: file + SCRIPT),
        ("PNG", lambda file: file[:33] + chunk(b"tEXt", b"a\0" + SCRIPT) + file[33:]),
        ("GIF", lambda file: file + b"/*" + SCRIPT),
        ("GIF", lambda file: file[:-1] + b"!\xfe" + bytes([len(SCRIPT)]) + SCRIPT + b"\0;"),
        ("JPEG", lambda file: file + SCRIPT),
        ("JPEG", lambda file: file[:2] + jpeg_segment(0xFE, SCRIPT) + file[2:]),
        ("JPEG", lambda file: file[:2] + jpeg_segment(0xE2, b"ICC_PROFILE\0\1\1" + SCRIPT) + file[2:]),
        ("WEBP", lambda file: file + SCRIPT),
        ("WEBP", lambda file: riff((b"XMP ", SCRIPT), (file[12:16], file[20:]))),
    ],
)  # fmt: skip
def test_polyglots_give_pixels_and_nothing_else(file_format, hide):
    data = saved(picture(), file_format)

    file = inspect(hide(data))

    assert SCRIPT in hide(data) and SCRIPT not in file.plain
    assert np.array_equal(decode(file), pixels_of(data))


def test_files_that_pillow_warns_about():
    """A broken list of further pictures in a JPEG: the warning would reach whoever has set `warnings` last."""
    data = saved(picture(), "JPEG")
    broken = data[:2] + jpeg_segment(0xE2, b"MPF\0" + b"II*\0\x08\0\0\0\xff\xff") + data[2:]
    with pytest.warns(UserWarning, match="Corrupt EXIF data|malformed MPO"):  # control
        Image.open(BytesIO(broken))

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.array_equal(pixels_of(broken), pixels_of(data))


VALID = [
    saved(picture(), "JPEG"), saved(picture(), "JPEG", progressive=True), saved(picture(), "PNG"),
    saved(picture(), "WEBP"), saved(picture(), "WEBP", lossless=True), saved(picture(), "GIF"), palette_image(b"\0\1"),
    saved(picture(), "GIF", save_all=True, append_images=[picture()]),
    saved(picture(), "WEBP", save_all=True, append_images=[picture()]), png_with(chunk(b"eXIf", exif(6))),
]  # fmt: skip


@settings(max_examples=600, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_damaged_files_are_refused_or_read_within_the_limits(data):
    file = bytearray(data.draw(st.sampled_from(VALID)))
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(file) - 1))
        file[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    if file[:4] == b"\x89PNG" and data.draw(st.booleans()):  # most damage would end at the checksum
        file = repaired(bytes(file))

    try:
        pixels = pixels_of(bytes(file), max_pixels=1_000)
    except InvalidItem as error:
        assert str(error)
    else:
        assert pixels.dtype == np.uint8 and pixels.shape[2] == 3 and pixels.size <= 3_000


def repaired(file):
    """With right checksums."""
    at, parts = 8, [file[:8]]
    while at + 12 <= len(file):
        length, kind = struct.unpack_from(">I4s", file, at)
        parts.append(chunk(kind, file[at + 8 : at + 8 + length]))
        at += 12 + length
    return b"".join(parts)


MEASURE = """
    import re, sys, time
    from inference.pipelines.pictures import Limits, decode, inspect
    def peak():  # of this program alone; what `resource` knows begins with its parent's
        return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
    data = open(sys.argv[1], "rb").read()
    before, started = peak(), time.monotonic()
    assert decode(inspect(data, Limits(max_pixels=int(sys.argv[2])))).mode == "RGB"
    print(peak() - before, time.monotonic() - started)
"""
LARGE = {
    "transparent": lambda: png(5_000, 5_000, colour=6, pixels=bytes(20_001 * 5_000)),
    "16 bits": lambda: png(5_000, 5_000, colour=0, depth=16, pixels=bytes(10_001 * 5_000), more=[chunk(b"tRNS", b"\0\0")]),
    "turned": lambda: saved(Image.new("RGB", (5_000, 5_000)), "JPEG", exif=b"Exif\0\0" + exif(6)),
    "WebP": lambda: saved(Image.new("RGBA", (3_500, 3_500)), "WEBP", lossless=True, method=0),
}  # fmt: skip


def measured(data, path, max_pixels=25_000_000):
    """KiB and seconds that a program needs to decode it."""
    path.write_bytes(data)
    command = [sys.executable, "-c", textwrap.dedent(MEASURE), str(path), str(max_pixels)]
    output = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    return tuple(map(float, output.split()))


on_linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@on_linux
@pytest.mark.parametrize("name", LARGE)
def test_the_largest_pictures_need_little_memory_and_time(name, tmp_path):
    kib, seconds = measured(LARGE[name](), tmp_path / "file")

    assert kib <= 300 * 1024
    assert seconds < 10


@on_linux
def test_a_webp_needs_twice_the_memory(tmp_path):
    """Control: without its own limit it would need too much."""
    data = saved(Image.new("RGBA", (5_000, 5_000)), "WEBP", lossless=True, method=0)

    kib, _ = measured(data, tmp_path / "file", max_pixels=50_000_000)

    assert kib > 300 * 1024
    with pytest.raises(PictureTooLarge, match="at most 12,500,000"):
        inspect(data)


def test_several_threads_get_the_same_pixels_and_no_setting_changes():
    files = [*VALID, *[saved(picture(200, 150), "JPEG") for _ in range(20)]]
    alone = [pixels_of(data) for data in files]
    before = shared_settings()

    with ThreadPoolExecutor(8) as threads:
        together = list(threads.map(pixels_of, files * 10))

    assert all(np.array_equal(one, other) for one, other in zip(together, alone * 10, strict=True))
    assert shared_settings() == before


def shared_settings():
    limits = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, PngImagePlugin.MAX_TEXT_CHUNK
    return *limits, list(warnings.filters)


# Geometry


def geometry(width=64, height=48, resize=Resize.LETTERBOX, **changes):
    usual = {
        "resampler": "bilinear",
        "antialias": True,
        "shorter_side": 73,
        "rounding": Rounding.TORCHVISION,
        "as_jpeg": False,
        "padding": Padding.BOTH_SIDES,
        "padding_value": 114,
    }
    return Geometry(width, height, resize, **{**usual, **changes})


SIZES = [(64, 48), (65, 49), (1, 3_000), (3_000, 1), (1, 1), (333, 77), (30, 301), (640, 480)]


def letterboxed(image, width, height, *, centred):
    """As it is told: a ratio, rounded sizes, halves of the padding, a grey of 114."""
    ratio = min(height / image.height, width / image.width)
    columns, rows = max(round(image.width * ratio), 1), max(round(image.height * ratio), 1)
    right, below = width - columns, height - rows
    left, top = (round(right / 2 - 0.1), round(below / 2 - 0.1)) if centred else (0, 0)
    if centred:
        assert (left + columns + round(right / 2 + 0.1), top + rows + round(below / 2 + 0.1)) == (
            width,
            height,
        )
    canvas = np.full((height, width, 3), 114, np.uint8)
    small = np.asarray(image.resize((columns, rows), Image.Resampling.BILINEAR))
    for y in range(rows):
        for x in range(columns):
            canvas[top + y, left + x] = small[y, x]
    return canvas, (columns, rows, left, top)


@pytest.mark.parametrize("padding", Padding)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_letterbox(size, padding):
    image = picture(*size)
    expected, (columns, rows, left, top) = letterboxed(image, 64, 48, centred=padding is Padding.BOTH_SIDES)

    fitted, placement = geometry(padding=padding).fit(image)

    assert np.array_equal(fitted, expected)
    assert placement == Placement(columns / size[0], rows / size[1], left, top, *size)


@given(st.integers(1, 9_000), st.integers(1, 9_000), st.sampled_from([(640, 640), (640, 384), (31, 1_280)]))
def test_a_letterbox_holds_the_whole_picture(width, height, side):
    placement, size = geometry(*side).place(width, height)

    right, below = side[0] - size[0] - placement.left, side[1] - size[1] - placement.top
    assert min(placement.left, placement.top, right, below) >= 0
    assert 0 <= right - placement.left <= 1 and 0 <= below - placement.top <= 1
    assert min(right + placement.left, below + placement.top) == 0


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_stretch(size):
    image = picture(*size)

    fitted, placement = geometry(resize=Resize.STRETCH).fit(image)

    assert np.array_equal(fitted, image.resize((64, 48), Image.Resampling.BILINEAR))
    assert placement == Placement(64 / size[0], 48 / size[1], 0, 0, *size)


@pytest.mark.parametrize("resampler", RESAMPLERS)
@pytest.mark.parametrize("size", [size for size in SIZES if max(size) < 3_000], ids=str)
def test_shorter_side_and_centre(size, resampler):
    """As torchvision's Resize and CenterCrop do it."""
    image = picture(*size)
    short = min(size)
    columns, rows = int(73 * size[0] / short), int(73 * size[1] / short)
    left, top = round((columns - 64) / 2), round((rows - 48) / 2)
    whole = image.resize((columns, rows), RESAMPLERS[resampler])

    fitted, placement = geometry(resize=Resize.SHORTER_SIDE, resampler=resampler).fit(image)

    assert np.array_equal(fitted, whole.crop((left, top, left + 64, top + 48)))
    assert (placement.left, placement.top) == (-left, -top)


@pytest.mark.parametrize(
    ("rounding", "width", "columns", "left"),
    [
        (Rounding.TORCHVISION, 190, 138, 37), (Rounding.TRANSFORMERS, 190, 138, 37), (Rounding.PADDLECLAS, 190, 139, 37),
        (Rounding.TORCHVISION, 191, 139, 38), (Rounding.TRANSFORMERS, 191, 139, 37), (Rounding.PADDLECLAS, 191, 139, 37),
    ],
)  # fmt: skip
def test_what_is_rounded_which_way(rounding, width, columns, left):
    """190 pixels become 138.7, 191 become 139.43; of 139, 37.5 lie left of the 64 that are cut out."""
    placement, size = geometry(resize=Resize.SHORTER_SIDE, rounding=rounding).place(width, 100)

    assert (size, -placement.left) == ((columns, 73), left)


@pytest.mark.parametrize("rounding", Rounding)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_a_square_is_cut_out_of_a_square(size, rounding):
    image = picture(*size)
    left, top = (5, 13) if rounding is not Rounding.TORCHVISION else (round(11 / 2), round(27 / 2))
    whole = image.resize((75, 75), Image.Resampling.BILINEAR)

    fitted, placement = geometry(resize=Resize.SQUARE, shorter_side=75, rounding=rounding).fit(image)

    assert np.array_equal(fitted, whole.crop((left, top, left + 64, top + 48)))
    assert placement == Placement(75 / size[0], 75 / size[1], -left, -top, *size)


@pytest.mark.parametrize("resize", Resize)
def test_the_input_as_a_file(resize):
    image = picture(200, 130)
    usual, _ = geometry(resize=resize).fit(image)

    fitted, _ = geometry(resize=resize, as_jpeg=True).fit(image)

    assert np.array_equal(fitted, Image.open(BytesIO(saved(Image.fromarray(usual), "JPEG"))))
    assert not np.array_equal(fitted, usual)


@pytest.mark.parametrize("resampler", ["bilinear", "bicubic", "lanczos"])
@pytest.mark.parametrize("size", [(3, 300), (400, 5), (2, 41)], ids=str)
def test_long_strips_are_not_made_huge_first(size, resampler):
    image = picture(*size)
    columns, rows = (73 * side // min(size) for side in size)
    left, top = round((columns - 64) / 2), round((rows - 48) / 2)
    whole = image.resize((columns, rows), RESAMPLERS[resampler]).crop((left, top, left + 64, top + 48))

    fitted, _ = geometry(resize=Resize.SHORTER_SIDE, resampler=resampler).fit(image)

    assert columns * rows > 16 * 73**2
    difference = np.abs(fitted.astype(int) - np.asarray(whole).astype(int))
    assert difference.mean() < 2 and (difference.max() <= 1 or resampler != "bilinear")


@pytest.mark.parametrize("resize", Resize)
@pytest.mark.parametrize("size", [(1, 65_535), (65_535, 1)], ids=str)
def test_the_longest_strips(size, resize):
    started = time.monotonic()
    data = saved(Image.new("RGB", size, (114, 114, 114)), "PNG")

    fitted, _ = geometry(640, 640, resize, shorter_side=700, resampler="lanczos").fit(decode(inspect(data)))

    assert fitted.shape == (640, 640, 3) and (fitted == 114).all()
    assert time.monotonic() - started < 5


def linear(t):
    return max(1 - abs(t), 0)


def cubic(t):
    """With OpenCV's slope."""
    t = abs(t)
    if t < 1:
        return 1.25 * t**3 - 2.25 * t**2 + 1
    return -0.75 * (t**3 - 5 * t**2 + 8 * t - 4) if t < 2 else 0


def lanczos(t):
    if t == 0 or abs(t) >= 4:
        return float(t == 0)
    return 4 * sin(pi * t) * sin(pi * t / 4) / (pi * t) ** 2


def interpolated(values, width, height, kernel, reach):
    """As OpenCV does: from the nearest pixels, however much smaller the picture gets; beyond the edge its pixels are repeated."""

    def taps(length, count, number):
        at = (number + 0.5) * length / count - 0.5
        near = range(floor(at) - reach + 1, floor(at) + reach + 1)
        total = sum(kernel(at - place) for place in near)
        return [(min(max(place, 0), length - 1), kernel(at - place) / total) for place in near]

    made = np.empty((height, width, 3))
    for row in range(height):
        down = taps(values.shape[0], height, row)
        for column in range(width):
            across = taps(values.shape[1], width, column)
            made[row, column] = sum(
                one * other * values[y, x].astype(float) for y, one in down for x, other in across
            )
    return made.clip(0, 255)


@pytest.mark.parametrize(
    ("resampler", "kernel", "reach"),
    [("bilinear", linear, 1), ("bicubic", cubic, 2), ("lanczos", lanczos, 4)],
)
@pytest.mark.parametrize("size", [(7, 5), (200, 130), (64, 48), (1, 90)], ids=str)
def test_without_antialiasing(size, resampler, kernel, reach, monkeypatch):
    monkeypatch.setattr("inference.pipelines.resampling._STRIP", 300)
    image = picture(*size)

    fitted, _ = geometry(32, 24, resize=Resize.STRETCH, antialias=False, resampler=resampler).fit(image)
    smooth, _ = geometry(32, 24, resize=Resize.STRETCH, resampler=resampler).fit(image)

    # A level of rounding, and the weights' own rounding to 11 bits
    assert np.abs(fitted - interpolated(np.asarray(image), 32, 24, kernel, reach)).max() < 2
    if size == (200, 130):  # control: the other way is many grey levels off
        assert np.abs(fitted.astype(int) - smooth.astype(int)).max() > 20


@settings(max_examples=300)
@given(
    st.sampled_from(Resize), st.sampled_from(Padding), st.integers(1, 5_000), st.integers(1, 5_000),
    st.lists(st.floats(0, 1), min_size=4, max_size=4),
)  # fmt: skip
def test_boxes_come_back(resize, padding, width, height, shares):
    placement, _ = geometry(640, 416, resize, shorter_side=640, padding=padding).place(width, height)
    boxes = np.array([shares]) * [width, height, width, height]

    there = placement.to_input(boxes)

    assert np.abs(placement.to_picture(there) - boxes).max() <= 1e-6
    scales = np.array([placement.scale_x, placement.scale_y] * 2)
    assert (np.abs(placement.to_picture(np.rint(there)) - boxes) * scales).max() <= 0.51


@pytest.mark.parametrize("size", [(640, 480), (481, 639), (301, 23), (1_000, 7), (97, 211)], ids=str)
@pytest.mark.parametrize("resize", [Resize.LETTERBOX, Resize.STRETCH])
@pytest.mark.parametrize("axis", [0, 1])
def test_an_edge_in_the_pixels_lies_where_the_placement_says(size, resize, axis):
    """Dark before the edge, light after it: how much is dark in the input tells where the edge is, to a part of a pixel."""
    edge = size[axis] * 2 // 5
    values = np.zeros((size[1], size[0], 3), np.uint8)
    values[(slice(None), slice(edge, None)) if axis == 0 else slice(edge, None)] = 255

    fitted, placement = geometry(320, 256, resize, resampler="area").fit(Image.fromarray(values))

    x, y = (size[0] // 2, edge) if axis else (edge, size[1] // 2)
    at = placement.to_input(np.array([x, y]))
    column, row = min(int(at[0]), 319), min(int(at[1]), 255)
    line = fitted[:, column, 0] if axis else fitted[row, :, 0]
    start = placement.top if axis else placement.left
    length = round(size[axis] * (placement.scale_y if axis else placement.scale_x))
    seen = start + (255 - line[start : start + length].astype(float)).sum() / 255
    assert abs(seen - at[axis]) <= 0.51


def test_the_scale_is_that_of_the_rounded_size():
    """Control: with the ratio alone, a box in a flat picture would be two pixels off."""
    placement, _ = geometry(640, 640).place(3_000, 7)
    ratio = 640 / 3_000

    bottom = placement.to_input(np.array([[0, 7]]))

    assert placement.to_picture(bottom)[0, 1] == pytest.approx(7)
    assert abs((bottom[0, 1] - placement.top) / ratio - 7) > 2


# Inputs


def inputs(shape=(None, 3, 8, 10), datatype="FP32", defaults=None, any_rank=False, **config):
    fields = PictureFields(config)
    signature = Signature((TensorSpec("pixels", datatype, shape, any_rank=any_rank),), ())
    made = PictureInputs(fields, signature, defaults or PictureDefaults(Resize.LETTERBOX, 16))
    fields.end()
    return made


@pytest.mark.parametrize("channels", ["rgb", "bgr"])
@pytest.mark.parametrize("datatype", ["FP32", "FP16"])
@pytest.mark.parametrize("shape", [(None, 3, 8, 10), (None, 8, 10, 3)], ids=["nchw", "nhwc"])
@pytest.mark.parametrize("scale", ["1/255", "none"])
def test_inputs(shape, datatype, channels, scale):
    mean, std = [0.1, 0.2, 0.3], [0.5, 2.0, 4.0]
    made = inputs(shape, datatype, channels=channels, scale=scale, mean=mean, std=std)
    rows = noise(10, 16).reshape(2, 8, 10, 3)
    expected = np.empty((2, 8, 10, 3))
    for place in np.ndindex(expected.shape):
        channel = place[3] if channels == "rgb" else 2 - place[3]
        value = rows[(*place[:3], channel)] / (255 if scale == "1/255" else 1)
        expected[place] = (value - mean[place[3]]) / std[place[3]]

    (tensor,) = made.prepare({"pixels": rows}).values()

    expected = expected.transpose(0, 3, 1, 2) if shape[1] == 3 else expected
    assert tensor.dtype == made.input.dtype and tensor.flags.c_contiguous
    assert np.allclose(
        tensor, expected, rtol=1e-3 if datatype == "FP16" else 1e-6, atol=1e-3 if datatype == "FP16" else 1e-6
    )


@pytest.mark.parametrize("channels", ["rgb", "bgr"])
def test_whole_numbers_go_in_as_they_are(channels):
    rows = noise(10, 8)[None]

    (tensor,) = inputs(datatype="UINT8", channels=channels).prepare({"pixels": rows}).values()

    assert tensor.dtype == np.uint8
    assert np.array_equal(tensor, (rows if channels == "rgb" else rows[..., ::-1]).transpose(0, 3, 1, 2))


def test_requests_merge():
    made = inputs()
    files = [saved(picture(*size), "PNG") for size in SIZES]

    together, placements = made.encode(files, field="images")
    alone = [made.encode([file], field="image")[0]["pixels"] for file in files]

    assert (together["pixels"].dtype, together["pixels"].shape) == (np.uint8, (len(SIZES), 8, 10, 3))
    assert np.array_equal(together["pixels"], np.concatenate(alone))
    assert [(one.placement.width, one.placement.height) for one in placements] == SIZES


@pytest.mark.parametrize(
    ("shape", "config", "is_nchw", "size"),
    [
        ((None, 3, 8, 10), {}, True, (10, 8)),
        ((1, 8, 10, 3), {}, False, (10, 8)),
        ((None, 3, None, None), {}, True, (16, 16)),
        ((None, 3, None, None), {"width": 32, "height": 9}, True, (32, 9)),
        ((None, None, None, None), {"layout": "nhwc"}, False, (16, 16)),
        ((None, 3, 3, 3), {"layout": "nhwc"}, False, (3, 3)),
        ((), {"layout": "nchw", "any_rank": True}, True, (16, 16)),
    ],
)
def test_layouts_and_sizes(shape, config, is_nchw, size):
    made = inputs(shape, **config)

    assert (made.is_nchw, (made.geometry.width, made.geometry.height)) == (is_nchw, size)


@pytest.mark.parametrize(
    ("shape", "datatype", "config", "field"),
    [
        ((None, 3, 8), "FP32", {}, "inputs"),
        ((None, 3, 8, 8), "INT64", {}, "inputs"),
        ((None, 1, 8, 8), "FP32", {}, "layout"),
        ((None, 3, 8, 3), "FP32", {}, "layout"),
        ((None, None, None, None), "FP32", {}, "layout"),
        ((None, 3, 8, 8), "FP32", {"layout": "nhwc"}, "layout"),
        ((None, 8, 8, 3), "FP32", {"layout": "nchw"}, "layout"),
        ((None, 3, 8, 8), "FP32", {"layout": "hwc"}, "layout"),
        ((None, 3, 8, 8), "FP32", {"width": 9}, "width"),
        ((None, 3, 8, 8), "FP32", {"height": 9}, "height"),
        ((None, 3, None, None), "FP32", {"height": 100_000}, "height"),
        ((None, 3, 8, 8), "FP32", {"shorter_side": 7}, "shorter_side"),
        ((None, 3, 8, 8), "FP32", {"resampler": "magic"}, "resampler"),
        ((None, 3, 8, 8), "FP32", {"resampler": "area", "antialias": False}, "antialias"),
        ((None, 3, 8, 8), "FP32", {"resize": "tile"}, "resize"),
        ((None, 3, 8, 8), "FP32", {"rounding": "keras"}, "rounding"),
        ((None, 3, 8, 8), "FP32", {"as_jpeg": 75}, "as_jpeg"),
        ((None, 3, 8, 8), "FP32", {"padding": "left"}, "padding"),
        ((None, 3, 8, 8), "FP32", {"padding_value": 256}, "padding_value"),
        ((None, 3, 8, 8), "FP32", {"mean": [1, 2]}, "mean"),
        ((None, 3, 8, 8), "FP32", {"mean": "0.5"}, "mean"),
        ((None, 3, 8, 8), "FP32", {"mean": [1, 2, True]}, "mean"),
        ((None, 3, 8, 8), "FP32", {"mean": [1, 2, float("nan")]}, "mean"),
        ((None, 3, 8, 8), "FP32", {"std": [1, 1, 0]}, "std"),
        ((None, 3, 8, 8), "UINT8", {"mean": [1, 1, 1]}, "mean"),
        ((None, 3, 8, 8), "UINT8", {"scale": "1/255"}, "scale"),
        ((None, 3, 8, 8), "FP32", {"background": [0, 0, 256]}, "background"),
        ((None, 3, 8, 8), "FP32", {"channels": "grey"}, "channels"),
        ((None, 3, 8, 8), "FP32", {"max_pixels": 100_000_000}, "max_pixels"),
        ((None, 3, 8, 8), "FP32", {"max_bytes": 0}, "max_bytes"),
        ((None, 3, 8, 8), "FP32", {"max_frames": 0}, "max_frames"),
    ],
    ids=str,
)
def test_a_bad_configuration_names_the_field(shape, datatype, config, field):
    with pytest.raises(BadTaskConfig) as refused:
        inputs(shape, datatype, **config)

    assert refused.value.field == field


def test_all_pictures_of_a_request_are_checked_before_one_is_decoded(monkeypatch):
    monkeypatch.setattr(Image, "open", None)
    good = png(5_000, 5_000)

    with pytest.raises(UnsupportedPicture) as refused:
        inputs().encode([good, b"<svg/>"], field="images")
    with pytest.raises(PictureTooLarge, match="100,000,000 pixels together"):
        inputs().encode([good] * 5, field="images")

    assert refused.value.field == "images[1]"


def test_large_inputs_mean_few_pictures():
    assert inputs().max_pictures == 64
    assert inputs((None, 3, None, None), width=4_096, height=4_096).max_pictures == 2


def test_base64():
    data = bytes(range(256))
    text = base64.b64encode(data).decode()

    for item in (
        data,
        bytearray(data),
        memoryview(data),
        text,
        f"data:image/png;base64,{text}",
        base64.encodebytes(data).decode(),
    ):
        assert picture_bytes(item, Limits()) == data
    for item in (None, 5, [1], "é", "abc", "a b=", text[:-1] + "!", {"url": "x"}):
        with pytest.raises(InvalidPicture):
            picture_bytes(item, Limits())
    with pytest.raises(PictureTooLarge):
        picture_bytes("A" * 16_000_000, Limits())
