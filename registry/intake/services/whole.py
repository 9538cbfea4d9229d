"""Uploads that are whole: their files, hashed and held while somebody works with them."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from django.db.models.functions import Now

from registry.catalogue import artifacts
from registry.intake import parts
from registry.intake.assembly import Sent
from registry.intake.errors import HashDiffers, UploadEnded, UploadIncomplete
from registry.intake.gate.sent_files import SentFile, opened
from registry.intake.models import Upload
from registry.intake.services.ending import end_upload
from registry.intake.transitions import Status

_LOST = "Its bytes are no longer on this machine; begin another upload."


def check_whole(upload: Upload) -> None:
    if not upload.is_open:
        raise UploadEnded(f"This upload is {upload.status}; begin another.")
    if not upload.is_whole:
        raise UploadIncomplete(
            f"{upload.received_bytes:,} of {upload.size_bytes:,} bytes have come; send the others, then complete it.",
            offset=upload.received_bytes,
        )


@contextmanager
def held(upload: Upload) -> Iterator[Sent]:
    """Hash the whole file, and hold it so that nobody else can touch it; raise HashDiffers where it is another one.

    After a crash it may lie in the store already, where nothing is ever changed.
    """
    with ExitStack() as stack:
        try:
            sent = _open(upload, stack)
        except FileNotFoundError:
            sent = _open_stored(upload, stack)
        yield sent


def _open(upload: Upload, stack: ExitStack) -> Sent:
    descriptor = stack.enter_context(parts.opened(upload.pk))
    stack.enter_context(parts.locked(descriptor, at_once=True))
    sha256 = upload.sha256 or parts.hash_of(upload.pk)
    _check_hash(upload, sha256)
    # Known before the file moves: who comes after a crash finds it in the store.
    Upload.objects.filter(pk=upload.pk, status=Status.OPEN).update(sha256=sha256, touched_at=Now())
    return Sent(SentFile(upload.file_name, descriptor, upload.size_bytes), sha256)


def _open_stored(upload: Upload, stack: ExitStack) -> Sent:
    if not upload.sha256 or not artifacts.current_store().has(upload.sha256):
        raise lost(upload)
    path = artifacts.path_of(upload.sha256)
    return Sent(stack.enter_context(opened(path, upload.file_name)), upload.sha256)


def lost(upload: Upload) -> UploadEnded:
    """End an upload whose bytes are not where they should be."""
    end_upload(upload, Status.FAILED, failure=_LOST)
    return UploadEnded(f"This upload failed: {_LOST}")


def _check_hash(upload: Upload, sha256: str) -> None:
    if upload.announced_sha256 in {"", sha256}:
        return
    failure = f"The file has the SHA-256 {sha256}, but {upload.announced_sha256} was announced; begin again."
    end_upload(upload, Status.FAILED, failure=failure)
    raise HashDiffers(failure)
