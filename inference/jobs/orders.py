"""What somebody brought, as an order: rows in JSON, a file that is here already, or the bytes of one."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any

from django.http import HttpRequest
from rest_framework.serializers import Serializer

from inference.jobs import bodies, incoming
from inference.jobs.errors import BadOrder
from inference.jobs.models import Format, Job, Source
from inference.jobs.serializers import FileQuerySerializer, NewJobSerializer
from inference.jobs.services import Order
from inference.jobs.stores import reference
from inference.serving.routes import read_route
from registry.access.policies import Right
from registry.errors import NotFound, StaleState
from registry.intake.errors import UploadEnded
from registry.intake.models import Upload
from registry.intake.selectors import uploads_of
from registry.intake.services import take_upload, whole_file
from registry.kit.actors import Actor


@dataclass(slots=True)
class Came:
    """An order, with the digest of the body that it came in.

    Used as a context: a file that was brought is thrown away at its end, unless a job was `accepted` for it.
    """

    order: Order
    digest: str = ""
    brought: str = ""  # the reference of a file that belongs to no job yet
    upload: Upload | None = None

    def take_upload(self, by: Actor) -> None:
        """Get the upload's file and end the upload; in the transaction that writes the job."""
        if self.upload is None:
            return
        try:
            self.brought = incoming.adopt(whole_file(upload=self.upload, by=by))
        except FileNotFoundError:
            raise StaleState("This upload was used or ended at the same moment; look again.") from None
        self.order = replace(self.order, input_ref=self.brought)
        take_upload(upload=self.upload, by=by)

    def accepted(self, job: Job) -> Job:
        """The job has the file now, unless it was there before and has the one that came first."""
        if job.input_ref == self.brought:
            self.brought = ""
        return job

    def __enter__(self) -> "Came":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.brought:
            incoming.drop(self.brought)


def from_json(request: HttpRequest, by: Actor) -> Came:
    """Rows in the request, or the name of a file."""
    data, digest = bodies.read_order(request)
    return from_data(data, by, digest)


def from_data(data: Any, by: Actor, digest: str = "") -> Came:
    """The same, once it has been read."""
    given = _valid(NewJobSerializer(data=data))
    output = given["output"] or {"format": None, "store": "", "path": ""}
    order = {
        "model": given["model"],
        "version": given["version"],
        "alias": given["alias"] or None,
        "output_format": output["format"] and Format(output["format"]),
        "output_ref": _in_store(output, by, writing=True) if output["store"] else "",
        "contract": given["contract"],
        "on_done": given["on_done"],
    }
    if given["input"] is None:
        return Came(Order(**order, rows=_rows(given)), digest)
    check_may_ask(given["model"], by)
    file = {"input_format": Format(given["format"]), "is_gzipped": given["gzip"]}
    if given["input"]["store"]:
        ref = _in_store(given["input"], by)
        return Came(Order(**order, **file, source=Source.STORE, input_ref=ref), digest)
    upload = uploads_of(by).filter(pk=given["input"]["upload"]).first()
    if upload is None:
        raise NotFound("There is no such upload of yours.")
    with suppress(UploadEnded):  # said later, unless this is a request that was answered before
        whole_file(upload=upload, by=by)  # may take a while, and no transaction is open here
    return Came(
        Order(**order, **file, source=Source.FILE, input_bytes=upload.size_bytes), digest, upload=upload
    )


def from_body(request: HttpRequest, by: Actor) -> Came:
    """The file itself; its address says the rest."""
    given = _valid(FileQuerySerializer(data=request.GET.dict()))
    check_may_ask(given["model"], by)
    input_format = Format(given["format"]) if given["format"] else bodies.format_of(request)
    return from_pieces(
        bodies.pieces(request, bodies.MAX_FILE_BYTES),
        model=given["model"],
        version=given["version"],
        alias=given["alias"] or None,
        input_format=input_format,
        is_gzipped=bodies.is_gzipped(request),
        output_format=given["output_format"] and Format(given["output_format"]),
        contract=given["contract"],
    )


def from_pieces(pieces: Iterable[bytes], **order: Any) -> Came:
    """Bytes of a file, which go to the disk as they come."""
    counted = Counted(pieces)
    ref = incoming.keep(counted)
    if not counted.size_bytes:
        incoming.drop(ref)
        raise BadOrder("The file is empty.")
    made = Order(
        **order,
        source=Source.FILE,
        input_ref=ref,
        input_bytes=counted.size_bytes,
        input_sha256=counted.sha256,
    )
    return Came(made, counted.sha256, brought=ref)


def check_may_ask(model: str, by: Actor) -> None:
    """Refuse before a file is read what would be refused after."""
    by.check(Right.PREDICT, model_id=read_route(model, within=by.models).model_id)


class Counted:
    """Pieces, with their size and digest once they have gone by."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = pieces
        self._digest = hashlib.sha256()
        self.size_bytes = 0

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            self._digest.update(piece)
            self.size_bytes += len(piece)
            yield piece

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()


def _rows(given: Mapping[str, Any]) -> list[Any]:
    """Rows as columns by name, from any of the three forms."""
    if given["rows"] is not None:
        rows: list[Any] = given["rows"]
        return rows
    if given["instances"] is not None:
        # `features` is where a model's only input is looked for.
        return [row if isinstance(row, Mapping) else {"features": row} for row in given["instances"]]
    columns = given["inputs"]
    sizes = {len(values) if isinstance(values, list) else 0 for values in columns.values()}
    if len(sizes) != 1:
        raise BadOrder("Each of `inputs` must be a list with one entry for each row, all of the same length.")
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _in_store(named: Mapping[str, Any], by: Actor, *, writing: bool = False) -> str:
    return reference(store=named["store"], path=named["path"], writing=writing, by=by)


def _valid(serializer: Serializer[Any]) -> dict[str, Any]:
    serializer.is_valid(raise_exception=True)
    given: dict[str, Any] = serializer.validated_data
    return given
