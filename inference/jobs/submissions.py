"""Incoming jobs: rows in JSON, the name of a file that is already on the server, or the file itself as the body."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from types import TracebackType
from typing import IO, Any

import orjson
from django.http import HttpRequest
from rest_framework.parsers import BaseParser
from rest_framework.serializers import Serializer

from inference.errors import BadBody
from inference.jobs import files
from inference.jobs.errors import BadJob, UnsupportedInput
from inference.jobs.kinds import kind_named
from inference.jobs.models import Format, InputSource, Job
from inference.jobs.serializers import FileQuerySerializer, NewJobSerializer
from inference.jobs.services import SubmittedJob
from inference.jobs.storage import make_reference
from registry.errors import BodyTooLarge, NotFound, StaleState
from registry.intake.errors import LengthMissing, UploadEnded
from registry.intake.examples.rows import pieces_of
from registry.intake.models import Upload
from registry.intake.selectors import uploads_of
from registry.intake.services import take_upload, whole_file
from registry.kit.actors import Actor

MAX_JSON_BYTES = 8 * 2**20
MAX_FILE_BYTES = 64 * 2**20
FORMAT_OF = {
    "text/csv": Format.CSV,
    "application/x-ndjson": Format.JSONL,
    "application/jsonl": Format.JSONL,
    "application/octet-stream": Format.NPZ,
    "application/vnd.apache.parquet": Format.PARQUET,
    "application/zip": Format.ZIP,
}
MEDIA_TYPE_OF = {
    Format.CSV: "text/csv; charset=utf-8",
    Format.JSONL: "application/x-ndjson",
    Format.NPZ: "application/octet-stream",
    Format.PARQUET: "application/vnd.apache.parquet",
}


@dataclass(slots=True)
class IncomingJob:
    """A submitted job with the digest of its body.

    As a context manager it removes the received file at the end, unless a job was `accepted` for it.
    """

    submitted: SubmittedJob
    digest: str = ""
    received: str = ""  # the reference to a file that belongs to no job yet
    upload: Upload | None = None

    def take_upload(self, by: Actor) -> None:
        """Take the file of the upload and end the upload, in the transaction that writes the job."""
        if self.upload is None:
            return
        try:
            self.received = files.adopt_input(whole_file(upload=self.upload, by=by))
        except FileNotFoundError:
            raise StaleState("This upload was just used or ended by someone else; reload it.") from None
        self.submitted = replace(self.submitted, input_ref=self.received)
        take_upload(upload=self.upload, by=by)

    def accepted(self, job: Job) -> Job:
        """Leave the received file to the job, unless the job existed before and has a file of its own."""
        if job.input_ref == self.received:
            self.received = ""
        return job

    def __enter__(self) -> "IncomingJob":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.received:
            files.drop_input(self.received)


def from_json(request: HttpRequest, by: Actor) -> IncomingJob:
    """Rows in the request, or the name of a file."""
    data, digest = read_json(request)
    return from_data(data, by, digest)


def from_data(data: Any, by: Actor, digest: str = "") -> IncomingJob:
    """Like `from_json`, for a parsed body."""
    fields = _validated(NewJobSerializer(data=data))
    output = fields["output"] or {"format": None, "store": "", "path": ""}
    job = {
        **_target(fields),
        "output_format": output["format"] and Format(output["format"]),
        "output_ref": _store_reference(output, by, writing=True) if output["store"] else "",
        "contract": fields["contract"],
        "on_done": fields["on_done"],
    }
    if fields["input"] is None:
        return IncomingJob(SubmittedJob(**job, rows=_rows(fields)), digest)
    check_may_submit(SubmittedJob(**_target(fields)), by)
    job |= {"input_format": Format(fields["format"]), "is_gzipped": fields["gzip"]}
    if fields["input"]["store"]:
        ref = _store_reference(fields["input"], by)
        return IncomingJob(SubmittedJob(**job, source=InputSource.STORE, input_ref=ref), digest)
    upload = uploads_of(by).filter(pk=fields["input"]["upload"]).first()
    if upload is None:
        raise NotFound("You have no such upload.")
    with suppress(UploadEnded):  # reported later, unless this is a repeated request
        whole_file(upload=upload, by=by)  # may take a while, and no transaction is open here
    submitted = SubmittedJob(**job, source=InputSource.FILE, input_bytes=upload.size_bytes)
    return IncomingJob(submitted, digest, upload=upload)


def from_body(request: HttpRequest, by: Actor) -> IncomingJob:
    """The file itself; everything else is in the query string."""
    fields = _validated(FileQuerySerializer(data=request.GET.dict()))
    target = _target(fields)
    check_may_submit(SubmittedJob(**target), by)
    input_format = Format(fields["format"]) if fields["format"] else format_of(request)
    return from_pieces(
        body_pieces(request, MAX_FILE_BYTES),
        **target,
        input_format=input_format,
        is_gzipped=is_gzipped(request),
        output_format=fields["output_format"] and Format(fields["output_format"]),
        contract=fields["contract"],
    )


def from_pieces(pieces: Iterable[bytes], **job: Any) -> IncomingJob:
    """The bytes of a file, written to disk as they arrive."""
    ref, size, sha256 = files.save_input(pieces)
    if not size:
        files.drop_input(ref)
        raise BadJob("The file is empty.")
    job |= {"source": InputSource.FILE, "input_ref": ref, "input_bytes": size, "input_sha256": sha256}
    return IncomingJob(SubmittedJob(**job), sha256, received=ref)


def check_may_submit(submitted: SubmittedJob, by: Actor) -> None:
    """Check the right before a large file is read."""
    kind_named(submitted.kind).check_may_submit(submitted, by)


def _target(fields: Mapping[str, Any]) -> dict[str, Any]:
    """What the job is to do, as fields of a submitted job."""
    return {
        "kind": fields["kind"],
        "model": fields["model"],
        "version": fields["version"],
        "alias": fields["alias"] or None,
        "options": fields["options"],
    }


def _rows(fields: Mapping[str, Any]) -> list[Any]:
    """Rows as objects, from any of the three forms."""
    if fields["rows"] is not None:
        rows: list[Any] = fields["rows"]
        return rows
    if fields["instances"] is not None:
        # A model's only input may be sent under the name `features`.
        return [row if isinstance(row, Mapping) else {"features": row} for row in fields["instances"]]
    columns = fields["inputs"]
    sizes = {len(values) if isinstance(values, list) else 0 for values in columns.values()}
    if len(sizes) != 1:
        raise BadJob("Each of `inputs` must be a list with one entry per row, all of the same length.")
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _store_reference(file: Mapping[str, Any], by: Actor, *, writing: bool = False) -> str:
    return make_reference(store=file["store"], path=file["path"], writing=writing, by=by)


def _validated(serializer: Serializer[Any]) -> dict[str, Any]:
    serializer.is_valid(raise_exception=True)
    fields: dict[str, Any] = serializer.validated_data
    return fields


class UnreadBodyParser(BaseParser):
    """Leaves the body unread for the view; even the lookup of a CSRF token must not read it."""

    media_type = "*/*"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        return {}


def body_pieces(request: HttpRequest, limit: int) -> Iterator[bytes]:
    """The body piece by piece; a wrong length raises immediately."""
    return pieces_of(request.read, content_length(request, limit))


def is_json(request: HttpRequest) -> bool:
    """Whether the body describes the job rather than being the file itself."""
    return request.content_type in {"", "application/json"}


def read_json(request: HttpRequest) -> tuple[Any, str]:
    """The JSON body and its digest."""
    if request.headers.get("Content-Encoding", "identity") != "identity":
        raise UnsupportedInput("Send JSON uncompressed; a file may be compressed with gzip.")
    body = b"".join(body_pieces(request, MAX_JSON_BYTES))
    try:
        return orjson.loads(body), hashlib.sha256(body).hexdigest()
    except orjson.JSONDecodeError as error:
        raise BadBody(f"The body is not valid JSON: {error}.") from None


def format_of(request: HttpRequest) -> Format:
    """The format for the media type of the body."""
    input_format = FORMAT_OF.get(request.content_type or "")
    if input_format is None:
        raise UnsupportedInput(
            f"{request.content_type!r} is not supported; send application/json, or a file as one of "
            f"{', '.join(FORMAT_OF)}."
        )
    return input_format


def is_gzipped(request: HttpRequest) -> bool:
    coding = request.headers.get("Content-Encoding", "identity").lower()
    if coding not in {"identity", "gzip"}:
        raise UnsupportedInput(
            f"Content-Encoding {coding!r} is not supported; send the file uncompressed or with gzip."
        )
    return coding == "gzip"


def content_length(request: HttpRequest, limit: int) -> int:
    header = request.META.get("CONTENT_LENGTH") or ""
    if not (header.isascii() and header.isdigit() and len(header) < 20):
        raise LengthMissing
    if int(header) > limit:
        raise BodyTooLarge(
            f"The body has {int(header):,} bytes; the limit is {limit:,}. Upload larger files in parts, or "
            "refer to one in a store."
        )
    return int(header)
