"""Bodies that bring a job: an order as JSON, or the file itself, which goes to the disk piece by piece."""

import hashlib
from collections.abc import Iterator, Mapping
from typing import IO, Any

import orjson
from django.http import HttpRequest
from rest_framework.parsers import BaseParser

from inference.errors import BadBody
from inference.jobs.errors import UnsupportedInput
from inference.jobs.models import Format
from registry.errors import BodyTooLarge
from registry.intake.errors import LengthMissing
from registry.intake.examples.rows import pieces_of

MAX_JSON_BYTES = 8 * 2**20
MAX_FILE_BYTES = 64 * 2**20
FORMAT_OF = {
    "text/csv": Format.CSV,
    "application/x-ndjson": Format.JSONL,
    "application/jsonl": Format.JSONL,
    "application/octet-stream": Format.NPZ,
    "application/vnd.apache.parquet": Format.PARQUET,
}
MEDIA_TYPE_OF = {
    Format.CSV: "text/csv; charset=utf-8",
    Format.JSONL: "application/x-ndjson",
    Format.NPZ: "application/octet-stream",
    Format.PARQUET: "application/vnd.apache.parquet",
}


class LeaveUnread(BaseParser):
    """Nobody reads the body before the view does, not even the look for a CSRF token in a form."""

    media_type = "*/*"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        return {}


def pieces(request: HttpRequest, limit: int) -> Iterator[bytes]:
    """The body piece by piece; what is wrong with its length is said at once."""
    return pieces_of(request.read, checked_length(request, limit))


def is_order(request: HttpRequest) -> bool:
    """Whether the body says what is wanted, and is not the rows themselves."""
    return request.content_type in {"", "application/json"}


def read_order(request: HttpRequest) -> tuple[Any, str]:
    """The JSON body and its digest."""
    if request.headers.get("Content-Encoding", "identity") != "identity":
        raise UnsupportedInput("Send JSON uncompressed; a file may be compressed with gzip.")
    body = b"".join(pieces(request, MAX_JSON_BYTES))
    try:
        return orjson.loads(body), hashlib.sha256(body).hexdigest()
    except orjson.JSONDecodeError as error:
        raise BadBody(f"The body is not valid JSON: {error}.") from None


def format_of(request: HttpRequest) -> Format:
    """The format that the media type names."""
    found = FORMAT_OF.get(request.content_type or "")
    if found is None:
        raise UnsupportedInput(
            f"{request.content_type!r} is not read here; send application/json, or a file as one of "
            f"{', '.join(FORMAT_OF)}."
        )
    return found


def is_gzipped(request: HttpRequest) -> bool:
    coding = request.headers.get("Content-Encoding", "identity").lower()
    if coding not in {"identity", "gzip"}:
        raise UnsupportedInput(
            f"Content-Encoding {coding!r} is not read here; send the file as it is, or gzip."
        )
    return coding == "gzip"


def checked_length(request: HttpRequest, limit: int) -> int:
    given = request.META.get("CONTENT_LENGTH") or ""
    if not (given.isascii() and given.isdigit() and len(given) < 20):
        raise LengthMissing
    if int(given) > limit:
        raise BodyTooLarge(
            f"The body has {int(given):,} bytes; at most {limit:,} are accepted here. Send larger files as an upload "
            "in parts, or name one in a store."
        )
    return int(given)
