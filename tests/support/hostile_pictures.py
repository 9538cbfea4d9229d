"""Pictures made to harm whoever opens them, and odd ones that are fine; and a program that measures what each costs.

`python -m tests.support.hostile_pictures FOLDER` reads each file of a folder in a child of its own, and writes a line of JSON for
each. With `--pillow` it reads them as many programs do: with Pillow alone, its guard switched off.
"""

import argparse
import json
import os
import re
import struct
import sys
import time
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageFile

from inference.pipelines.errors import InvalidItem, InvalidPicture, PictureTooLarge, UnsupportedPicture
from inference.pipelines.pictures import decode, inspect
from tests.support.picture_files import (
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

SCRIPT = b"<script>alert(1)</script>"


def bomb(side: int) -> bytes:
    """A small PNG with all of its many grey pixels."""
    packer = zlib.compressobj(1)
    row = bytes(side + 1)
    pixels = b"".join([*(packer.compress(row) for _ in range(side)), packer.flush()])
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND")


def many_scans(side: int, count: int, mode: str = "L") -> bytes:
    """A progressive JPEG whose last scan comes again and again: a few bytes, and time for all pixels."""
    file = saved(Image.new(mode, (side, side)), "JPEG", progressive=True, subsampling=0)
    last = file.rindex(b"\xff\xda")
    return file[:last] + file[last:-2] * count + file[-2:]


def tiff_chain() -> bytes:
    """Ten thousand directories, each of which names the next one."""
    parts = [struct.pack("<HI", 0, 8 + 6 * (number + 1)) for number in range(10_000)]
    return b"II*\0" + struct.pack("<I", 8) + b"".join(parts)


def with_profile(file: bytes, size: int) -> bytes:
    """A JPEG with a colour profile of many segments."""
    part = b"ICC_PROFILE\0\1\1" + bytes(60_000)
    return file[:2] + jpeg_segment(0xE2, part) * (size // 60_000) + file[2:]


def with_position(orientation: int) -> bytes:
    tags = Image.Exif()
    tags[0x0112] = orientation
    tags.get_ifd(0x8825).update({1: "N", 2: (52.0, 31.0, 12.0), 3: "E", 4: (13.0, 24.0, 18.0)})
    return saved(picture(), "JPEG", exif=tags)


def hostile_files() -> dict[str, tuple[Callable[[], bytes], type[InvalidItem] | None]]:
    """What makes each, and its refusal; None for those that give pixels."""
    jpeg, whole_png = saved(picture(90, 60), "JPEG", quality=90), saved(picture(), "PNG")
    scan = jpeg.index(b"\xff\xda")
    return {
        "png-50000x50000": (lambda: png(50_000, 50_000), PictureTooLarge),
        "png-400-million-pixels": (lambda: bomb(20_000), PictureTooLarge),
        "png-compressed-text": (lambda: png_with(chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(200_000_000)))), None),
        "png-compressed-profile": (lambda: png_with(chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(200_000_000)))), None),
        "png-1x65535": (lambda: saved(Image.new("RGB", (1, 65_535)), "PNG"), None),
        "png-1x65536": (lambda: png(1, 65_536), PictureTooLarge),
        "png-too-many-pixels-packed": (lambda: png(9, 9, pixels=bytes(200_000_000)), None),
        "png-100000-parts": (lambda: png_with(chunk(b"tEXt", b"a\0b") * 100_000), PictureTooLarge),
        "apng-100000-frames": (lambda: png_with(chunk(b"acTL", struct.pack(">II", 100_000, 0))), PictureTooLarge),
        "gif-10000-frames": (lambda: gif(1, 1, gif_frame() * 10_000), PictureTooLarge),
        "gif-frame-beyond-its-screen": (lambda: gif(1, 1, gif_frame(65_535, 65_535)), PictureTooLarge),
        "gif-5-million-blocks": (lambda: gif(1, 1, b"!\xfe" + b"\1a" * 4_900_000), InvalidPicture),
        "gif-with-script": (lambda: saved(picture(), "GIF") + b"/*" + SCRIPT, None),
        "webp-animated": (
            lambda: saved(picture(), "WEBP", save_all=True, append_images=[picture() for _ in range(900)]), None,
        ),
        "webp-large-canvas": (lambda: riff(vp8x(2**24, 2**24)), PictureTooLarge),
        "tiff-10000-directories": (lambda: tiff_chain(), UnsupportedPicture),
        "eps": (lambda: saved(picture(), "EPS"), UnsupportedPicture),
        "psd": (lambda: b"8BPS\0\1" + bytes(40), UnsupportedPicture),
        "jpeg-2000": (lambda: saved(picture(), "JPEG2000"), UnsupportedPicture),
        "fits": (lambda: b"SIMPLE  =                    T".ljust(2880), UnsupportedPicture),
        "ico": (lambda: saved(picture(), "ICO"), UnsupportedPicture),
        "avif": (lambda: saved(picture(), "AVIF"), UnsupportedPicture),
        "pdf": (lambda: saved(picture(), "PDF"), UnsupportedPicture),
        "svg-with-script": (lambda: b'<svg xmlns="http://www.w3.org/2000/svg">' + SCRIPT + b"</svg>", UnsupportedPicture),
        "jpeg-65535x65535": (lambda: b"\xff\xd8" + jpeg_size(65_535, 65_535), PictureTooLarge),
        "jpeg-cmyk": (lambda: saved(picture().convert("CMYK"), "JPEG"), None),
        "png-16-bits": (lambda: png(1, 1, depth=16, colour=2, pixels=b"\0\x12\xff\x80\x00\xff\xff"), None),
        "jpeg-cut-in-its-header": (lambda: jpeg[: scan // 2], InvalidPicture),
        "jpeg-cut-before-its-pixels": (lambda: jpeg[: scan + 4], InvalidPicture),
        "jpeg-cut-in-its-pixels": (lambda: jpeg[: (scan + len(jpeg)) // 2], InvalidPicture),
        "jpeg-turned-with-position": (lambda: with_position(6), None),
        "jpeg-damaged-exif": (lambda: jpeg[:2] + jpeg_segment(0xE1, b"Exif\0\0" + exif(6)[:19]) + jpeg[2:], InvalidPicture),
        "jpeg-9-mb-profile": (lambda: with_profile(jpeg, 9_000_000), None),
        "jpeg-400-scans": (lambda: many_scans(3_000, 400), PictureTooLarge),
        "jpeg-64-scans-25-million-pixels": (lambda: many_scans(5_000, 55, "RGB"), PictureTooLarge),
        "jpeg-13-scans-25-million-pixels": (lambda: many_scans(5_000, 4, "RGB"), PictureTooLarge),
        "jpeg-12-scans-25-million-pixels": (lambda: many_scans(5_000, 3, "RGB"), None),
        "jpeg-64-scans-4-million-pixels": (lambda: many_scans(2_000, 55, "RGB"), None),
        "jpeg-noise-9-mb": (lambda: saved(Image.fromarray(noise(2_400, 2_400)), "JPEG", quality=95), None),
        "png-with-html": (lambda: b"".join([whole_png, b"<html>", SCRIPT, b"</html>"]), None),
        "html": (lambda: b"<!doctype html>" + SCRIPT, UnsupportedPicture),
        "no-bytes": (lambda: b"", UnsupportedPicture),
        "11-mb": (lambda: b"\xff\xd8\xff" + bytes(11_000_000), PictureTooLarge),
        "png-1x1": (lambda: saved(picture(1, 1), "PNG"), None),
        "png-25-million-pixels": (lambda: png(5_000, 5_000, colour=6, pixels=bytes(20_001 * 5_000)), None),
    }  # fmt: skip


def measure(data: bytes, with_pillow: bool) -> dict[str, object]:
    """The name of the error, or of the mode; seconds of a core, and the growth of memory in KiB."""
    before, started = _peak(), time.process_time()
    try:
        result = (_decode_with_pillow(data) if with_pillow else decode(inspect(data))).mode
    except InvalidItem as error:
        result = type(error).__name__
    return {"result": result, "seconds": time.process_time() - started, "kib": _peak() - before}


def _decode_with_pillow(data: bytes) -> Image.Image:
    Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = None, True
    image = Image.open(BytesIO(data))
    image.load()
    return image


def _peak() -> int:
    """Of this process alone; what `resource` knows begins with its parent's."""
    return int(re.findall(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pillow", action="store_true")
    asked = parser.parse_args()
    for path in sorted(asked.folder.iterdir()):
        sys.stdout.write(json.dumps({"name": path.name} | _in_a_child(path, asked.pillow)) + "\n")
        sys.stdout.flush()


def _in_a_child(path: Path, with_pillow: bool) -> dict[str, object]:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, json.dumps(measure(path.read_bytes(), with_pillow)).encode())
        os._exit(0)
    os.close(writing)
    with open(reading, "rb") as pipe:
        answer = pipe.read()
    _, status = os.waitpid(child, 0)
    return (
        json.loads(answer)
        if status == 0
        else {"result": f"ended with status {status}", "seconds": 0, "kib": 0}
    )


if __name__ == "__main__":
    main()
