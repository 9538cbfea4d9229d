"""Taking an upload's file for something else than a version."""

from pathlib import Path

from django.db import transaction
from django.db.models.functions import Now

from registry.errors import StaleState
from registry.intake import parts
from registry.intake.digests import drop_digest
from registry.intake.models import Upload
from registry.intake.policies import check_own
from registry.intake.services.whole import check_whole, held, lost
from registry.intake.transitions import Status
from registry.kit.actors import Actor


def whole_file(*, upload: Upload, by: Actor) -> Path:
    """Where the bytes of a whole upload lie, once they are what was announced; link or copy them, then `take_upload`."""
    check_own(upload, by)
    upload = Upload.objects.get(pk=upload.pk)
    check_whole(upload)
    with held(upload):
        path = parts.path_of(upload.pk)
        if not path.exists():
            raise lost(upload)
    return path


def take_upload(*, upload: Upload, by: Actor) -> None:
    """End an upload whose file has another home now. Call it in the transaction that writes down which.

    The bytes here go when that is committed: until then the upload could still be completed.
    """
    check_own(upload, by)
    open_still = Upload.objects.filter(pk=upload.pk, status=Status.OPEN)
    if not open_still.update(status=Status.TAKEN, touched_at=Now()):
        raise StaleState("This upload was used or ended at the same moment; look again.")
    transaction.on_commit(lambda: _forget(upload))


def _forget(upload: Upload) -> None:
    parts.remove(upload.pk)
    drop_digest(upload.pk)
