"""Bodies of the registry's API."""

from collections.abc import Mapping
from typing import IO, Any

import orjson
from django.http import HttpRequest
from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser

from registry.errors import BodyTooLarge

MAX_BODY_BYTES = 2**20


class StrictJSONParser(JSONParser):
    """JSON as the standard has it, of at most 1 MiB: no NaN, no lone surrogates, no depth that ends the interpreter."""

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        if parser_context is not None:
            check_length(parser_context["request"]._request)
        try:
            return orjson.loads(stream.read(MAX_BODY_BYTES + 1))
        except orjson.JSONDecodeError as error:
            raise ParseError(f"The body is not valid JSON: {error}.") from None


def check_length(request: HttpRequest) -> None:
    length = request.META.get("CONTENT_LENGTH") or "0"
    if not length.isdigit() or int(length) > MAX_BODY_BYTES:
        raise BodyTooLarge(f"The body has {length} bytes; at most {MAX_BODY_BYTES:,} are accepted here.")
