"""Starts, abandons and sweeps uploads, and holds or takes a whole file that is used for something else."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.contrib.auth.models import User
from django.db import OperationalError, transaction
from django.db.models import Count, QuerySet, Sum
from django.db.models.functions import Now

from registry.access.models import ApiKey
from registry.access.policies import Right
from registry.catalogue import artifacts
from registry.catalogue.validation import check_row
from registry.errors import Invalid, StaleState
from registry.intake import parts
from registry.intake.assembly import Sent, check_count
from registry.intake.errors import (
    HashDiffers,
    InsufficientStorage,
    TooManyUploads,
    UploadEnded,
    UploadIncomplete,
    UploadTooLarge,
)
from registry.intake.file_scan.sent_files import SentFile, open_file
from registry.intake.models import MAX_NAME, Status, Upload
from registry.intake.policies import check_may_upload, check_own
from registry.intake.selectors import bytes_on_the_way, known_model, uploads_of
from registry.kit.actors import Actor

MAX_OPEN = 8  # uploads of one person or key
MAX_OPEN_FILES = 4  # their total size, as a multiple of the largest allowed file
SILENT_FOR = timedelta(hours=24)
STRAY_FOR_S = 3600
_MIB = 2**20
_SHA256 = re.compile(r"[0-9a-f]{64}")
_HIDDEN = {"Cc", "Cf", "Cs"}  # control characters, text direction, halves of surrogate pairs
_LOST = "Its bytes are no longer on this machine; start another upload."


@transaction.atomic
def begin_upload(
    *, size_bytes: int, file_name: str = "", sha256: str = "", model: str = "", by: Actor
) -> Upload:
    """Start an upload of this size. Size, quota and space are checked before the first byte is sent.

    The name is shown, and used to match data files; it is never a path. If a Model is given, the caller must be
    able to write to it; the request that completes the upload names it again.
    """
    check_may_upload(by)
    if model:
        by.check(Right.WRITE, model_id=known_model(model, by).pk)
    if sha256 and not _SHA256.fullmatch(sha256):
        raise Invalid("A SHA-256 is 64 lower-case hexadecimal digits.")
    _check_size(size_bytes)
    _lock_owner(by)
    _check_quota(size_bytes, by)
    _check_space(size_bytes)
    upload = Upload(
        file_name=_display_name(file_name),
        size_bytes=size_bytes,
        announced_sha256=sha256,
        created_by_id=by.user_id,
        key_id=by.key_id,
        tenant_id=by.tenant_id,
        made_by=by.name[:200],
    )
    check_row(upload)
    upload.save()
    return upload


def _check_size(size_bytes: int) -> None:
    if size_bytes < 1:
        raise Invalid("The file is empty.")
    if size_bytes > settings.UPLOAD_BYTES:
        raise UploadTooLarge(
            f"The file is {_mib(size_bytes)} MiB; this installation accepts up to {_mib(settings.UPLOAD_BYTES)} MiB "
            "(ROUNDHOUSE_UPLOAD_MB)."
        )


def _lock_owner(by: Actor) -> None:
    """Lock the owner, so that two uploads started at the same time cannot both pass the quota."""
    if by.key_id is not None:
        ApiKey.objects.select_for_update(no_key=True).filter(pk=by.key_id).first()
    elif by.user_id is not None:
        User.objects.select_for_update(no_key=True).filter(pk=by.user_id).first()


def _check_quota(size_bytes: int, by: Actor) -> None:
    held = uploads_of(by).filter(status=Status.OPEN).aggregate(count=Count("pk"), total=Sum("size_bytes"))
    if held["count"] >= MAX_OPEN:
        raise TooManyUploads(
            f"You have {held['count']} open uploads, which is the limit; complete or abandon one first."
        )
    allowed = MAX_OPEN_FILES * settings.UPLOAD_BYTES
    if (held["total"] or 0) + size_bytes > allowed:
        raise TooManyUploads(
            f"With this file, your open uploads would exceed {_mib(allowed)} MiB; "
            "complete or abandon one first."
        )


def _check_space(size_bytes: int) -> None:
    needed = size_bytes + bytes_on_the_way() + parts.RESERVE_BYTES
    if parts.free_bytes() < needed:
        raise InsufficientStorage(
            f"The disk has no room for this file of {_mib(size_bytes)} MiB besides other open uploads and a reserve of "
            f"{_mib(parts.RESERVE_BYTES)} MiB. Free some space, then start again."
        )


def _mib(size: int) -> str:
    return f"{size / _MIB:,.1f}".removesuffix(".0")


def _display_name(file_name: str) -> str:
    """The name as one line that fits the column."""
    letters = (letter for letter in file_name if unicodedata.category(letter) not in _HIDDEN)
    return "".join(letters).strip()[:MAX_NAME]


def abandon_upload(*, upload: Upload, by: Actor) -> None:
    """Abandon an upload and remove its bytes; abandoning it again changes nothing.

    Callers that may write to every Model can also abandon other callers' uploads.
    """
    if not by.may(Right.WRITE):
        check_own(upload, by)
    if not end_upload(upload, Status.ABANDONED):
        present = Upload.objects.get(pk=upload.pk)
        if present.status != Status.ABANDONED:
            raise UploadEnded(f"This upload has ended ({present.status}); there is nothing left to abandon.")


def sweep_uploads() -> None:
    """Abandon uploads without progress, and remove files that belong to no open upload."""
    for upload in _silent():
        end_upload(upload, Status.ABANDONED, among=_silent())
    for upload_id in parts.ids_older_than(STRAY_FOR_S):
        if not Upload.objects.filter(pk=upload_id, status=Status.OPEN).exists():
            parts.remove(upload_id)


def end_upload(
    upload: Upload, status: Status, *, failure: str = "", among: "QuerySet[Upload] | None" = None
) -> bool:
    """End the upload and remove its bytes if it is still open (and still in `among`); return whether it was."""
    rows = (Upload.objects.filter(status=Status.OPEN) if among is None else among).filter(pk=upload.pk)
    changes = {"status": status, "failure": failure, "writer": "", "writer_until": None, "touched_at": Now()}
    try:
        ended = rows.update(**changes)
    except OperationalError as error:
        if not parts.is_full(error) or not rows.exists():
            raise
        parts.remove(upload.pk)  # before the row is updated: the database needs the space
        ended = rows.update(**changes)
    if ended:
        parts.remove(upload.pk)
    return bool(ended)


def _silent() -> "QuerySet[Upload]":
    return Upload.objects.filter(status=Status.OPEN, touched_at__lt=Now() - SILENT_FOR)


def check_whole(upload: Upload) -> None:
    if not upload.is_open:
        raise UploadEnded(f"This upload has ended ({upload.status}); start another.")
    if not upload.is_whole:
        raise UploadIncomplete(
            f"{upload.received_bytes:,} of {upload.size_bytes:,} bytes were received; send the rest, then complete it.",
            offset=upload.received_bytes,
        )


def checked_data(upload: Upload, data_uploads: Sequence[Upload], by: Actor) -> list[Upload]:
    """The other files of a version, which have arrived completely."""
    check_count(len(data_uploads))
    if len({upload.pk, *(each.pk for each in data_uploads)}) <= len(data_uploads):
        raise Invalid("Name each upload once: one for the model, and one for each other file.")
    for each in data_uploads:
        check_own(each, by)
    data = [Upload.objects.get(pk=each.pk) for each in data_uploads]
    for each in data:
        check_whole(each)
    return data


@contextmanager
def held(upload: Upload) -> Iterator[Sent]:
    """Hash the whole file and lock it against other requests; raise HashDiffers if its hash is not the announced one.

    After a crash the file may already be in the store, where files never change.
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
    # The hash is saved before the file moves, so that after a crash the file can be found in the store.
    Upload.objects.filter(pk=upload.pk, status=Status.OPEN).update(sha256=sha256, touched_at=Now())
    return Sent(SentFile(upload.file_name, descriptor, upload.size_bytes), sha256)


def _open_stored(upload: Upload, stack: ExitStack) -> Sent:
    if not upload.sha256 or not artifacts.current_store().has(upload.sha256):
        raise lost(upload)
    path = artifacts.path_of(upload.sha256)
    return Sent(stack.enter_context(open_file(path, upload.file_name)), upload.sha256)


def lost(upload: Upload) -> UploadEnded:
    """End an upload whose bytes are missing."""
    end_upload(upload, Status.FAILED, failure=_LOST)
    return UploadEnded(f"This upload failed: {_LOST}")


def _check_hash(upload: Upload, sha256: str) -> None:
    if upload.announced_sha256 in {"", sha256}:
        return
    failure = f"The file has the SHA-256 {sha256}, but {upload.announced_sha256} was announced; start again."
    end_upload(upload, Status.FAILED, failure=failure)
    raise HashDiffers(failure)


def whole_file(*, upload: Upload, by: Actor) -> Path:
    """The path of a whole upload with the announced hash; link or copy the file, then call `take_upload`."""
    check_own(upload, by)
    upload = Upload.objects.get(pk=upload.pk)
    check_whole(upload)
    with held(upload):
        path = parts.path_of(upload.pk)
        if not path.exists():
            raise lost(upload)
    return path


def take_upload(*, upload: Upload, by: Actor) -> None:
    """End an upload whose file is now stored elsewhere. Call it in the transaction that records where the file is.

    The bytes are removed on commit: until then the upload could still be completed.
    """
    check_own(upload, by)
    open_still = Upload.objects.filter(pk=upload.pk, status=Status.OPEN)
    if not open_still.update(status=Status.TAKEN, touched_at=Now()):
        raise StaleState("This upload was used or ended at the same moment; reload and try again.")
    transaction.on_commit(lambda: parts.remove(upload.pk))
