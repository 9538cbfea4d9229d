"""Files that are a picture to one program and a page with a script to another. Each script sets the page's title to "ran"."""

import struct
import zipfile
from io import BytesIO

from PIL import Image

from tests.support.picture_models import a_picture

SCRIPT = b"<script>document.title='ran'</script>"
PAGE = b"<!DOCTYPE html><html><body>" + SCRIPT + b"</body></html>"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9">' + SCRIPT + b"</svg>"


def _jpeg_with_comment() -> bytes:
    picture = a_picture(kind="JPEG")
    return picture[:2] + b"\xff\xfe" + struct.pack(">H", len(PAGE) + 2) + PAGE + picture[2:]


def _jpeg_with_exif() -> bytes:
    file = BytesIO()
    exif = Image.Exif()
    exif[0x010E] = PAGE.decode()  # the description
    Image.new("RGB", (9, 9)).save(file, "JPEG", exif=exif)
    return file.getvalue()


def _zip_after_a_picture() -> bytes:
    file = BytesIO(a_picture())
    file.seek(0, 2)
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("index.html", PAGE)
    return file.getvalue()


# What is a picture to our reader.
PICTURES = {
    "PNG then HTML": a_picture() + PAGE,
    "GIF with a script in a comment": a_picture(kind="GIF")[:-1]
    + b"\x21\xfe"
    + bytes([len(PAGE)])
    + PAGE
    + b"\0;",
    "JPEG with a comment": _jpeg_with_comment(),
    "JPEG with EXIF": _jpeg_with_exif(),
    "WebP then HTML": a_picture(kind="WEBP") + PAGE,
    "PNG then ZIP": _zip_after_a_picture(),
}
# What is not.
OTHERS = {
    "SVG": SVG,
    "HTML named .png": PAGE,
    "MHTML": b"MIME-Version: 1.0\r\nContent-Type: text/html\r\n\r\n" + PAGE,
    "PNG start then HTML": b"\x89PNG\r\n\x1a\n" + PAGE,
}
