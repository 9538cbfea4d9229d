"""Bodies: unpacked within limits, split into JSON and tensors, and compressed again."""

import gzip
import zlib
from collections.abc import Sequence
from typing import Any

from inference.doors.errors import BadEncoding, BadHeaderLength
from inference.doors.memory import MemoryHolding
from inference.doors.memory import parsed_bytes as parsed_bytes_of_json
from inference.doors.oip.messages import RequestLimits
from inference.doors.oip.tensors import Buffer
from inference.doors.wire import Environ, content_encoding
from registry.errors import BodyTooLarge

_WINDOW = {"gzip": 31, "deflate": 15}  # deflate on the web is zlib's format
_COMPRESS_FROM = 1024
_PACKED_PIECE, _PIECE = 64 << 10, 1 << 20  # the most that one step of unpacking reads and writes


def longest(environ: Environ, limits: RequestLimits) -> int:
    """How many bytes are accepted; fewer for JSON, which takes more memory than its size."""
    return (
        limits.json_bytes
        if environ.get("HTTP_INFERENCE_HEADER_CONTENT_LENGTH") is None
        else limits.body_bytes
    )


def parsed_bytes(environ: Environ, body: bytes) -> int:
    """An upper bound on the parsed body's memory; 0 for a compressed one, which `parts_of` counts."""
    return 0 if content_encoding(environ) else _parsed_bytes(environ, body)


def parts_of(
    environ: Environ, body: bytes, limits: RequestLimits, holding: MemoryHolding
) -> tuple[bytes, Buffer]:
    """Unpack a body; return its JSON part and the bytes of the binary tensors after it."""
    if encoding := content_encoding(environ):
        body = inflate(body, encoding, longest(environ, limits), holding)
        needed = _parsed_bytes(environ, body)
        holding.memory.check_body(needed)
        holding.add(needed)
    header_length = environ.get("HTTP_INFERENCE_HEADER_CONTENT_LENGTH")
    if header_length is None:
        return body, b""
    at = check_header_length(header_length, len(body), limits)
    return body[:at], body[at:]  # slicing copies, so the tensors start at a new, aligned allocation


def _parsed_bytes(environ: Environ, body: bytes) -> int:
    header = environ.get("HTTP_INFERENCE_HEADER_CONTENT_LENGTH")
    if header is None:
        return parsed_bytes_of_json(body)
    # an invalid length is refused later, where it is read
    at = int(header) if header.isascii() and header.isdigit() and len(header) < 20 else 0
    return len(body) + parsed_bytes_of_json(body[:at])


def check_header_length(header: str, body_length: int, limits: RequestLimits) -> int:
    if not (header.isascii() and header.isdigit() and len(header) < 20):
        raise BadHeaderLength
    length = int(header)
    if length > body_length:
        raise BadHeaderLength(
            f"Inference-Header-Content-Length is {length}, but the body has {body_length} bytes; "
            "send the length of its JSON part."
        )
    if length > limits.json_bytes:
        raise BodyTooLarge(
            f"The JSON part has {length:,} bytes; at most {limits.json_bytes:,} are accepted here."
        )
    return length


def inflate(body: bytes, encoding: str, limit: int, holding: MemoryHolding) -> bytes:
    """Unpack at most `limit` bytes; a longer body is refused as soon as it exceeds that. Until the pieces are joined, each
    counts twice."""
    if encoding not in _WINDOW:
        raise BadEncoding(
            f"The body's Content-Encoding {encoding[:40]!r} is not supported; send gzip, deflate or none."
        )
    unpacker = zlib.decompressobj(_WINDOW[encoding])
    pieces: list[bytes] = []
    size, at = 0, 0
    try:
        while at < len(body) and not unpacker.eof:
            packed = body[at : at + _PACKED_PIECE]
            at += len(packed)
            while packed and size <= limit:
                piece = unpacker.decompress(packed, _PIECE)
                packed = unpacker.unconsumed_tail
                size += len(piece)
                holding.add(2 * len(piece))
                pieces.append(piece)
    except zlib.error:
        raise BadEncoding(f"The body is not valid {encoding}.") from None
    if size > limit:
        raise BodyTooLarge(f"The body unpacks to more than {limit:,} bytes, the maximum accepted here.")
    if not unpacker.eof or unpacker.unused_data or at < len(body):
        raise BadEncoding(
            f"The body is {'longer than its' if unpacker.eof else 'cut off inside its'} {encoding} stream."
        )
    plain = b"".join(pieces)
    holding.give_back(size)
    return plain


def deflate(parts: Sequence[Any], accepted: str) -> tuple[bytes, str | None]:
    """Join an answer and compress it as Accept-Encoding allows; never with br, which stock clients cannot read."""
    body = b"".join(parts)
    encoding = chosen_encoding(accepted) if accepted and len(body) >= _COMPRESS_FROM else None
    if encoding == "gzip":
        return gzip.compress(body, compresslevel=1, mtime=0), encoding
    if encoding == "deflate":
        return zlib.compress(body, level=1), encoding
    return body, None


def chosen_encoding(accepted: str) -> str | None:
    """The first supported encoding that is not refused with q=0."""
    for part in accepted.lower().split(","):
        name, *arguments = (piece.strip() for piece in part.split(";"))
        if name in _WINDOW and not any(argument.replace(" ", "") in _REFUSED for argument in arguments):
            return name
    return None


_REFUSED = {"q=0", "q=0.0", "q=0.00", "q=0.000"}
