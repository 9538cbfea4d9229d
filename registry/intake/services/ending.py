"""Ending uploads that become no version."""

from datetime import timedelta

from django.db import OperationalError
from django.db.models import QuerySet
from django.db.models.functions import Now

from registry.access.policies import Right
from registry.intake import parts
from registry.intake.digests import drop_digest
from registry.intake.errors import UploadEnded
from registry.intake.models import Upload
from registry.intake.policies import check_own
from registry.intake.transitions import Status
from registry.kit.actors import Actor

SILENT_FOR = timedelta(hours=24)
STRAY_FOR_S = 3600


def abandon_upload(*, upload: Upload, by: Actor) -> None:
    """Give an upload up and remove its bytes; giving it up again changes nothing.

    Who may write everywhere may end another's: it is their disk.
    """
    if not by.may(Right.WRITE):
        check_own(upload, by)
    if not end_upload(upload, Status.ABANDONED):
        present = Upload.objects.get(pk=upload.pk)
        if present.status != Status.ABANDONED:
            raise UploadEnded(f"This upload is {present.status}; there is nothing left to abandon.")


def sweep_uploads() -> None:
    """Abandon what nobody sends any more, and remove bytes that belong to no open upload."""
    for upload in _silent():
        end_upload(upload, Status.ABANDONED, among=_silent())
    for upload_id in parts.ids_older_than(STRAY_FOR_S):
        if not Upload.objects.filter(pk=upload_id, status=Status.OPEN).exists():
            parts.remove(upload_id)


def end_upload(
    upload: Upload, status: Status, *, failure: str = "", among: "QuerySet[Upload] | None" = None
) -> bool:
    """End the upload and remove its bytes, if it is still open (and still one of those); say whether it was."""
    rows = (Upload.objects.filter(status=Status.OPEN) if among is None else among).filter(pk=upload.pk)
    changes = {"status": status, "failure": failure, "writer": "", "writer_until": None, "touched_at": Now()}
    try:
        ended = rows.update(**changes)
    except OperationalError as error:
        if not parts.is_full(error) or not rows.exists():
            raise
        parts.remove(upload.pk)  # before its row says so: the database needs the room
        ended = rows.update(**changes)
    if not ended:
        return False
    parts.remove(upload.pk)
    drop_digest(upload.pk)
    return True


def _silent() -> "QuerySet[Upload]":
    return Upload.objects.filter(status=Status.OPEN, touched_at__lt=Now() - SILENT_FOR)
