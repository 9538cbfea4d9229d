"""Files of pictures, whole and odd, put together from their parts."""

import struct
import zlib
from io import BytesIO

import numpy as np
from PIL import Image

ROWS = np.random.default_rng(7)


def noise(width, height, channels=3):
    return ROWS.integers(0, 256, (height, width, channels), np.uint8)


def picture(width=9, height=6):
    return Image.fromarray(noise(width, height))


def saved(image, file_format, **options):
    file = BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def chunk(kind, content=b""):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width, height, *, depth=8, colour=2, pixels=b"", more=(), missing=0):
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    compressed = zlib.compress(pixels)
    chunks = [
        chunk(b"IHDR", header),
        *more,
        chunk(b"IDAT", compressed[: len(compressed) - missing]),
        chunk(b"IEND"),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def png_with(*chunks, after=b"IHDR"):
    """A good PNG with chunks more."""
    file = saved(picture(), "PNG")
    at = file.index(after) + 21 if after == b"IHDR" else file.index(after) - 4
    return file[:at] + b"".join(chunks) + file[at:]


def riff(*chunks):
    parts = [
        kind + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)
        for kind, content in chunks
    ]
    body = b"WEBP" + b"".join(parts)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def three_bytes(number):
    return struct.pack("<I", number)[:3]


def vp8x(width, height, flags=0):
    return b"VP8X", bytes([flags, 0, 0, 0]) + three_bytes(width - 1) + three_bytes(height - 1)


def anmf(width=1, height=1):
    return b"ANMF", bytes(6) + three_bytes(width - 1) + three_bytes(height - 1) + bytes(4)


def gif(width, height, *frames):
    return (
        struct.pack("<6sHHBBB", b"GIF89a", width, height, 0x80, 0, 0)
        + b"\0\0\0\xff\xff\xff"
        + b"".join(frames)
        + b";"
    )


def gif_frame(width=1, height=1):
    return struct.pack("<BHHHHB", 0x2C, 0, 0, width, height, 0) + b"\x02\x02\x44\x01\x00"


def jpeg_segment(code, content):
    return bytes([0xFF, code]) + struct.pack(">H", len(content) + 2) + content


def jpeg_size(width, height):
    return jpeg_segment(0xC0, struct.pack(">BHHB", 8, height, width, 1) + b"\1\x11\0")


def exif(orientation, order="<", kind=3):
    head = {"<": b"II*\0", ">": b"MM\0*"}[order]
    value = struct.pack(order + {3: "HH", 4: "I"}[kind], *([orientation, 0] if kind == 3 else [orientation]))
    return head + struct.pack(order + "IHHHI", 8, 1, 0x0112, kind, 1) + value + bytes(4)


def png_with_nonsense():
    """A file whose structure is right and whose compressed pixels are not."""
    header = struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"nonsense") + chunk(b"IEND")
