"""Bodies of REST requests: JSON, tensors in binary, a picture as it is, or the parts of an HTML form."""

from collections.abc import Mapping
from contextlib import suppress
from enum import Enum
from functools import lru_cache
from io import BytesIO
from typing import Any
from urllib.parse import parse_qsl

import orjson
from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.core.files.uploadhandler import FileUploadHandler, UploadFileException
from django.http.multipartparser import MultiPartParser, MultiPartParserError

from inference.doors.errors import UnsupportedBody
from inference.doors.wire import Environ
from inference.errors import BadBody
from inference.pipelines.tasks import ITEM_OPTIONS, ITEM_TASKS

# The last is curl's default.
_JSON = frozenset({"", "application/json", "application/x-www-form-urlencoded"})
_FILE_TASK = next(task for task in ITEM_TASKS if task.reads_files)
# The fields that hold items, and whether they hold several.
_ITEM_FIELDS = {name: several for task in ITEM_TASKS for name, several in task.request_fields().items()}
_MOST_OPTIONS = 20  # of an address


class BodyKind(Enum):
    JSON = "application/json"
    BINARY = "application/octet-stream"
    PICTURE = "image/*"
    PARTS = "multipart/form-data"


def kind_of(environ: Environ) -> BodyKind:
    """Raises UnsupportedBody for everything else."""
    return _kind(environ.get("CONTENT_TYPE", ""), environ.get("HTTP_CONTENT_ENCODING", ""))


@lru_cache(maxsize=256)
def _kind(content_type: str, encoding: str) -> BodyKind:
    """Cached, because a request is asked several times."""
    refuse_encoding(encoding)
    media_type = media_type_of(content_type)
    if media_type in _JSON:
        return BodyKind.JSON
    if media_type in {BodyKind.BINARY.value, BodyKind.PARTS.value}:
        return BodyKind(media_type)
    if media_type.startswith("image/"):
        return BodyKind.PICTURE
    raise UnsupportedBody(
        f"{media_type[:60]!r} is not supported; send {', '.join(kind.value for kind in BodyKind)}."
    )


def refuse_encoding(encoding: str) -> None:
    """Raise UnsupportedBody for a body with this Content-Encoding, if it has one."""
    if encoding and encoding.lower() != "identity":
        raise UnsupportedBody(
            f"Content-Encoding {encoding[:40]!r} is not supported; send the body without it."
        )


def media_type_of(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def read_fields(kind: BodyKind, environ: Environ, body: bytes) -> Any:
    """The fields of a body, whatever its kind; those of a picture are in the address. Raises BadBody."""
    match kind:
        case BodyKind.PICTURE:
            return {**_options(environ.get("QUERY_STRING", "")), _FILE_TASK.one: body}
        case BodyKind.PARTS:
            return _read_parts(environ, body)
        case _:
            return _read_json(body)


def _read_json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadBody(f"The body is not valid JSON: {error}.") from None


def _options(query: str) -> dict[str, Any]:
    """The options of a picture that is the body itself."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=_MOST_OPTIONS)
    except ValueError:
        raise BadBody("The address has too many options.") from None
    options: dict[str, Any] = {}
    for name, text in pairs:
        if name in options or name in _ITEM_FIELDS:
            why = "twice" if name in options else "although the picture is the body"
            raise BadBody(f"The address has {name[:80]!r} {why}; remove it.")
        options[name] = _value(name, text)
    options.pop("dry_run", None)
    return options


def _value(name: str, text: str) -> Any:
    """A number where the option is one and it can be read; the text itself otherwise."""
    if ITEM_OPTIONS.get(name) in {int, float}:
        with suppress(orjson.JSONDecodeError):
            return orjson.loads(text)
    return text


def _read_parts(environ: Environ, body: bytes) -> Mapping[str, Any]:
    """A field for each name; that of several items is a list."""
    meta = {"CONTENT_TYPE": environ.get("CONTENT_TYPE", ""), "CONTENT_LENGTH": str(len(body))}
    try:
        values, files = MultiPartParser(meta, BytesIO(body), [_Kept()]).parse()
    except RequestDataTooBig:
        raise BadBody("A field of the form is too long; send the picture as a file.") from None
    except SuspiciousOperation:
        raise BadBody("The form has too many fields or files; send fewer at once.") from None
    except (MultiPartParserError, UploadFileException) as error:
        raise BadBody(f"The form cannot be read: {error}") from None
    fields: dict[str, Any] = {}
    for name, found in [*values.lists(), *files.lists()]:
        read = [one.getvalue() if isinstance(one, BytesIO) else _value(name, str(one)) for one in found]
        is_list = _ITEM_FIELDS.get(name, False)
        if name in fields or (not is_list and len(read) > 1):
            raise BadBody(
                f"The form has the field {name[:80]!r} twice; several pictures go into `{_FILE_TASK.several}`."
            )
        fields[name] = read if is_list else read[0]
    return fields


class _Kept(FileUploadHandler):
    """Keeps files in memory: the whole body is there already."""

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        super().new_file(*args, **kwargs)
        self._parts: list[bytes] = []

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        self._parts.append(raw_data)

    def file_complete(self, file_size: int) -> Any:
        return BytesIO(b"".join(self._parts))
