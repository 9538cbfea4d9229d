"""Writes parts: one writer at a time; bytes count once they are on the disk."""

import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta

from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from registry.intake import parts
from registry.intake.errors import (
    InsufficientStorage,
    PartBeyondEnd,
    PartTooLarge,
    UploadEnded,
    UploadInUse,
    WrongOffset,
)
from registry.intake.models import Status, Upload
from registry.intake.parts import digest_at, keep_digest
from registry.intake.policies import check_own
from registry.intake.services.uploads import end_upload, lost
from registry.kit.actors import Actor

MAX_PART_BYTES = 8 * 2**20
_PIECE = 2**20
_SILENCE = timedelta(seconds=60)  # after this time without a piece, another writer may take over
_START_AGAIN = "Free some space, then start again."


def write_part(
    *, upload: Upload, offset: int, length: int, read: Callable[[int], bytes], by: Actor
) -> Upload:
    """Append a part, reading it piece by piece; a part that was already written gets the same answer as before.

    1. The writer claims the upload. Before each piece it checks, under the file's lock, that it still has the claim: a
       writer that was silent may have been replaced, and must not overwrite the new writer's bytes.
    2. Bytes received before the connection broke are kept, and count once they are on the disk.
    """
    check_own(upload, by)
    if length > MAX_PART_BYTES:
        raise PartTooLarge
    _check_open(upload)
    if offset + length <= upload.received_bytes:
        return upload
    _check_fits(upload, offset, length)
    try:
        with parts.opened(upload.pk, is_new=offset == 0) as file, parts.room(_START_AGAIN):
            writer = _claim(upload, offset, file)
            digest, position = digest_at(upload.pk, offset), offset
            for piece in _pieces(read, length):
                with parts.locked(file):
                    _renew(upload, writer)
                    parts.write_at(file, piece, position)
                position += len(piece)
                if digest is not None:
                    digest.update(piece)
            parts.flush(file)
            is_last = position == upload.size_bytes
            sha256 = digest.hexdigest() if digest is not None and is_last else ""
            if not _held(upload, writer).update(
                received_bytes=position, sha256=sha256, writer="", writer_until=None, touched_at=Now()
            ):
                raise UploadInUse
    except FileNotFoundError:
        raise lost(upload) from None
    except InsufficientStorage as error:
        parts.remove(upload.pk)  # first: the database may need the space
        end_upload(upload, Status.FAILED, failure=str(error))
        raise
    if digest is not None:
        keep_digest(upload.pk, position, digest)
    if position < offset + length:
        raise WrongOffset(
            f"The body ended after {position - offset:,} of {length:,} bytes; continue at {position:,}.",
            offset=position,
        )
    return Upload.objects.get(pk=upload.pk)


def _pieces(read: Callable[[int], bytes], length: int) -> Iterator[bytes]:
    """The body, up to its end or to where the connection broke."""
    while length:
        try:
            piece = read(min(_PIECE, length))
        except OSError as error:
            if parts.lacks_room(error):  # the web process could not buffer the body
                raise
            return
        if not piece:
            return
        length -= len(piece)
        yield piece


def _claim(upload: Upload, offset: int, file: int) -> str:
    writer = uuid.uuid4().hex
    free = Q(writer="") | Q(writer_until__lt=Now())
    with parts.locked(file):
        waiting = Upload.objects.filter(free, pk=upload.pk, status=Status.OPEN, received_bytes=offset)
        if not waiting.update(writer=writer, writer_until=Now() + _SILENCE):
            present = Upload.objects.get(pk=upload.pk)
            if not present.is_open:
                parts.remove(upload.pk)  # the upload ended while we opened its file
            _check_open(present)
            _check_fits(present, offset, 0)
            raise UploadInUse
        if not parts.begin_at(file, offset):
            raise FileNotFoundError
    return writer


def _renew(upload: Upload, writer: str) -> None:
    if not _held(upload, writer).update(writer_until=Now() + _SILENCE):
        raise UploadInUse("Another request took over this upload, or it ended; check its state.")


def _held(upload: Upload, writer: str) -> "QuerySet[Upload]":
    return Upload.objects.filter(pk=upload.pk, status=Status.OPEN, writer=writer)


def _check_open(upload: Upload) -> None:
    if not upload.is_open:
        why = f": {upload.failure}" if upload.failure else "; start another."
        raise UploadEnded(f"This upload has ended ({upload.status}){why}")


def _check_fits(upload: Upload, offset: int, length: int) -> None:
    received = upload.received_bytes
    if offset != received:
        raise WrongOffset(
            f"The part starts at {offset:,}, but the upload has {received:,} bytes; continue there.",
            offset=received,
        )
    if offset + length > upload.size_bytes:
        raise PartBeyondEnd(
            f"The file was announced as {upload.size_bytes:,} bytes, but this part ends at {offset + length:,}. "
            "Start another upload with the right size."
        )
