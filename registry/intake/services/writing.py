"""Writing parts: one writer at a time, bytes that count once they are on the disk."""

import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

from django.db.models import DateTimeField, DurationField, ExpressionWrapper, Q, QuerySet, Value
from django.db.models.functions import Now

from registry.intake import parts
from registry.intake.digests import digest_at, keep_digest
from registry.intake.errors import (
    InsufficientStorage,
    PartBeyondEnd,
    PartTooLarge,
    UploadEnded,
    UploadInUse,
    WrongOffset,
)
from registry.intake.models import Upload
from registry.intake.policies import check_own
from registry.intake.services.ending import end_upload
from registry.intake.transitions import Status
from registry.kit.actors import Actor

MAX_PART_BYTES = 8 * 2**20
_PIECE = 2**20
_SILENCE = timedelta(seconds=60)  # without a piece for so long, a writer may be overtaken
_BEGIN_AGAIN = "Free some space, then begin again."
_LOST = "Its bytes are no longer on this machine; begin another upload."


def write_part(
    *, upload: Upload, offset: int, length: int, read: Callable[[int], bytes], by: Actor
) -> Upload:
    """Append a part that `read` gives, piece by piece; a part that is there already is answered like the first time.

    1. The writer takes the upload for itself. Before each piece it looks, under the file's lock, whether it still
       has it: one that fell silent was overtaken, and must not write into another's bytes.
    2. What arrived before a cut is kept, and counts when it is on the disk.
    """
    check_own(upload, by)
    if length > MAX_PART_BYTES:
        raise PartTooLarge
    _check_open(upload)
    if offset + length <= upload.received_bytes:
        return upload
    _check_fits(upload, offset, length)
    try:
        with parts.opened(upload.pk, is_new=offset == 0) as file, parts.room(_BEGIN_AGAIN):
            writer = _take(upload, offset, file)
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
        raise _lost(upload) from None
    except InsufficientStorage as error:
        parts.remove(upload.pk)  # first: the database may need the room
        end_upload(upload, Status.FAILED, failure=str(error))
        raise
    if digest is not None:
        keep_digest(upload.pk, position, digest)
    if position < offset + length:
        raise WrongOffset(
            f"The body ended after {position - offset:,} of {length:,} bytes; go on at {position:,}.",
            offset=position,
        )
    return Upload.objects.get(pk=upload.pk)


def _pieces(read: Callable[[int], bytes], length: int) -> Iterator[bytes]:
    """What comes, to the end or to where the sender's line was cut."""
    while length:
        try:
            piece = read(min(_PIECE, length))
        except OSError as error:
            if parts.lacks_room(error):  # the web process found none for what came
                raise
            return
        if not piece:
            return
        length -= len(piece)
        yield piece


def _take(upload: Upload, offset: int, file: int) -> str:
    writer = uuid.uuid4().hex
    free = Q(writer="") | Q(writer_until__lt=Now())
    with parts.locked(file):
        waiting = Upload.objects.filter(free, pk=upload.pk, status=Status.OPEN, received_bytes=offset)
        if not waiting.update(writer=writer, writer_until=_later()):
            present = Upload.objects.get(pk=upload.pk)
            if not present.is_open:
                parts.remove(upload.pk)  # it ended while we opened its file
            _check_open(present)
            _check_fits(present, offset, 0)
            raise UploadInUse
        if not parts.begin_at(file, offset):
            raise FileNotFoundError
    return writer


def _renew(upload: Upload, writer: str) -> None:
    if not _held(upload, writer).update(writer_until=_later()):
        raise UploadInUse("Another request has taken this upload over, or it has ended; ask where it stands.")


def _held(upload: Upload, writer: str) -> "QuerySet[Upload]":
    return Upload.objects.filter(pk=upload.pk, status=Status.OPEN, writer=writer)


def _later() -> "ExpressionWrapper[Any]":
    return ExpressionWrapper(
        Now() + Value(_SILENCE, output_field=DurationField()), output_field=DateTimeField()
    )


def _check_open(upload: Upload) -> None:
    if not upload.is_open:
        why = f": {upload.failure}" if upload.failure else "; begin another."
        raise UploadEnded(f"This upload is {upload.status}{why}")


def _check_fits(upload: Upload, offset: int, length: int) -> None:
    stands_at = upload.received_bytes
    if offset != stands_at:
        raise WrongOffset(
            f"The part begins at {offset:,}, but the upload stands at {stands_at:,}; go on there.",
            offset=stands_at,
        )
    if offset + length > upload.size_bytes:
        raise PartBeyondEnd(
            f"The file was announced with {upload.size_bytes:,} bytes, and this part ends at {offset + length:,}. "
            "Begin another upload with the right size."
        )


def _lost(upload: Upload) -> UploadEnded:
    end_upload(upload, Status.FAILED, failure=_LOST)
    return UploadEnded(f"This upload failed: {_LOST}")
