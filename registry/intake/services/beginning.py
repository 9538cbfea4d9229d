"""Beginning an upload: everything that can be refused is refused before a byte is sent."""

import re
import unicodedata

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Count, Sum

from registry.access.models import ApiKey
from registry.access.policies import Right
from registry.catalogue.validation import check_row
from registry.errors import Invalid
from registry.intake import parts
from registry.intake.errors import FileTooLarge, InsufficientStorage, TooManyUploads
from registry.intake.models import MAX_NAME, Upload
from registry.intake.policies import check_may_upload
from registry.intake.selectors import bytes_on_the_way, known_model, uploads_of
from registry.intake.transitions import Status
from registry.kit.actors import Actor

MOST_OPEN = 8  # uploads of one person or key
MOST_OPEN_FILES = 4  # times the largest file, which their bytes together may be
_MIB = 2**20
_SHA256 = re.compile(r"[0-9a-f]{64}")
_UNSHOWN = {"Cc", "Cf", "Cs"}  # control characters, what turns text around, halves of surrogate pairs


@transaction.atomic
def begin_upload(
    *, size_bytes: int, file_name: str = "", sha256: str = "", model: str = "", by: Actor
) -> Upload:
    """Announce a file of this size; its parts may follow.

    The name is shown to people, and says which of a model's data files it is; it is never a path. A Model that is
    named must be there for the caller; completing names it again.
    """
    check_may_upload(by)
    if model:
        by.check(Right.WRITE, model_id=known_model(model, by).pk)
    if sha256 and not _SHA256.fullmatch(sha256):
        raise Invalid("A SHA-256 is 64 hexadecimal digits in lower case.")
    _check_size(size_bytes)
    _queue_owner(by)
    _check_quota(size_bytes, by)
    _check_space(size_bytes)
    upload = Upload(
        file_name=_shown(file_name),
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
        raise FileTooLarge(
            f"The file has {_mib(size_bytes)} MiB; this installation accepts {_mib(settings.UPLOAD_BYTES)} MiB "
            "(ROUNDHOUSE_UPLOAD_MB)."
        )


def _queue_owner(by: Actor) -> None:
    """Of two that begin at once, the second counts the first's."""
    if by.key_id is not None:
        ApiKey.objects.select_for_update(no_key=True).filter(pk=by.key_id).first()
    elif by.user_id is not None:
        User.objects.select_for_update(no_key=True).filter(pk=by.user_id).first()


def _check_quota(size_bytes: int, by: Actor) -> None:
    held = uploads_of(by).filter(status=Status.OPEN).aggregate(count=Count("pk"), total=Sum("size_bytes"))
    if held["count"] >= MOST_OPEN:
        raise TooManyUploads(
            f"You have {held['count']} uploads open, which is as many as there may be; complete or abandon one first."
        )
    allowed = MOST_OPEN_FILES * settings.UPLOAD_BYTES
    if (held["total"] or 0) + size_bytes > allowed:
        raise TooManyUploads(
            f"With this file your open uploads would hold more than {_mib(allowed)} MiB; "
            "complete or abandon one first."
        )


def _check_space(size_bytes: int) -> None:
    needed = size_bytes + bytes_on_the_way() + parts.RESERVE_BYTES
    if parts.free_bytes() < needed:
        raise InsufficientStorage(
            f"The disk has no room for this file of {_mib(size_bytes)} MiB beside what is on its way and a reserve of "
            f"{_mib(parts.RESERVE_BYTES)} MiB. Free some space, then begin again."
        )


def _mib(size: int) -> str:
    return f"{size / _MIB:,.1f}".removesuffix(".0")


def _shown(file_name: str) -> str:
    """What is left of the name for showing: one line, as long as the column."""
    letters = (letter for letter in file_name if unicodedata.category(letter) not in _UNSHOWN)
    return "".join(letters).strip()[:MAX_NAME]
