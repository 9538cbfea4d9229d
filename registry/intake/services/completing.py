"""Completing an upload: the file goes into the store, and a version is made of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models.functions import Now

from registry.access.policies import Right
from registry.catalogue import artifacts
from registry.catalogue import services as catalogue
from registry.catalogue.artifacts import StoredFile
from registry.catalogue.models import Model, Task, Version
from registry.catalogue.selectors import model_named
from registry.catalogue.task_config import checked_config
from registry.errors import Invalid, NameTaken, StaleState
from registry.intake import parts
from registry.intake.checklist.services import ask_check
from registry.intake.digests import drop_digest
from registry.intake.errors import HashDiffers, UploadEnded, UploadIncomplete
from registry.intake.models import Upload
from registry.intake.policies import check_own
from registry.intake.services.ending import end_upload
from registry.intake.transitions import Status
from registry.record.actors import Actor
from registry.record.audit import Subject, record_change

_COMPLETE_AGAIN = "Free some space, then complete the upload again."
_LOST = "Its bytes are no longer on this machine; begin another upload."


@dataclass(frozen=True, slots=True)
class NewModel:
    """A Model that is to be made for the file."""

    title: str = ""
    task: str = Task.TENSOR


def complete_upload(
    *,
    upload: Upload,
    slug: str,
    new_model: NewModel | None = None,
    task_config: Mapping[str, Any] | None = None,
    notes: str = "",
    by: Actor,
) -> Version:
    """Make a whole upload the next version of a Model; completing it again gives the same version.

    1. What can be refused is refused before the file is read.
    2. The file is hashed, unless it was while it came in, and stored: no transaction is open meanwhile.
    3. Model, version and upload are written in one transaction, which asks for the check. Whoever dies before that
       leaves the upload open: it can be completed again, even when the file lies in the store already.
    """
    check_own(upload, by)
    upload = Upload.objects.select_related("version__model").get(pk=upload.pk)
    if upload.version is not None and upload.model_slug == slug:
        return upload.version
    check_whole(upload)
    _check_target(slug, new_model, task_config or {}, by)
    with parts.room(_COMPLETE_AGAIN):
        file = _stored(upload)
        version = _registered(upload, file, slug, new_model, task_config, notes, by)
    parts.remove(upload.pk)  # there when the store knew the file, or lies elsewhere
    drop_digest(upload.pk)
    return version


def check_whole(upload: Upload) -> None:
    if not upload.is_open:
        raise UploadEnded(f"This upload is {upload.status}; begin another.")
    if not upload.is_whole:
        raise UploadIncomplete(
            f"{upload.received_bytes:,} of {upload.size_bytes:,} bytes have come; send the others, then complete it.",
            offset=upload.received_bytes,
        )


def _check_target(slug: str, new_model: NewModel | None, config: Mapping[str, Any], by: Actor) -> None:
    if new_model is None:
        model = model_named(slug, by)
        by.check(Right.WRITE, model_id=model.pk)
        checked_config(model.task, config)
        return
    by.check(Right.WRITE)
    if new_model.task not in Task.values:
        raise Invalid(f"{new_model.task!r} is no task; there are {', '.join(Task.values)}.")
    checked_config(new_model.task, config)
    if Model.objects.filter(slug=slug).exists():
        raise NameTaken(f"A Model named {slug} exists already; add a version to it, or choose another name.")


def checked_file(upload: Upload, keep: Callable[[StoredFile], None] = lambda _: None) -> StoredFile:
    """Hash the whole file, and `keep` it while nobody else can touch it; raise HashDiffers where it is another one."""
    with parts.opened(upload.pk) as descriptor, parts.locked(descriptor, at_once=True):
        file = StoredFile(upload.sha256 or parts.hash_of(upload.pk), upload.size_bytes)
        _check_hash(upload, file)
        # Known before the file moves: who comes after a crash finds it in the store.
        Upload.objects.filter(pk=upload.pk, status=Status.OPEN).update(sha256=file.sha256, touched_at=Now())
        keep(file)
    return file


def lost(upload: Upload) -> UploadEnded:
    """End an upload whose bytes are not where they should be."""
    end_upload(upload, Status.FAILED, failure=_LOST)
    return UploadEnded(f"This upload failed: {_LOST}")


def _stored(upload: Upload) -> StoredFile:
    try:
        return checked_file(upload, lambda file: parts.store(upload.pk, file))
    except FileNotFoundError:
        if not upload.sha256 or not artifacts.current_store().has(upload.sha256):
            raise lost(upload) from None
        return StoredFile(upload.sha256, upload.size_bytes)


def _check_hash(upload: Upload, file: StoredFile) -> None:
    if upload.announced_sha256 in {"", file.sha256}:
        return
    failure = (
        f"The file has the SHA-256 {file.sha256}, but {upload.announced_sha256} was announced; begin again."
    )
    end_upload(upload, Status.FAILED, failure=failure)
    raise HashDiffers(failure)


@transaction.atomic
def _registered(
    upload: Upload,
    file: StoredFile,
    slug: str,
    new_model: NewModel | None,
    task_config: Mapping[str, Any] | None,
    notes: str,
    by: Actor,
) -> Version:
    mine = Upload.objects.filter(pk=upload.pk, status=Status.OPEN)
    if not mine.update(
        touched_at=Now()
    ):  # holds the row from here on: of two that complete it, one waits here
        raise StaleState("This upload was completed or ended at the same moment; look again.")
    if new_model is None:
        model = model_named(slug, by)
    else:
        model = catalogue.create_model(slug=slug, title=new_model.title, task=new_model.task, by=by)
    version = catalogue.register_version(model=model, file=file, task_config=task_config, notes=notes, by=by)
    mine.update(status=Status.COMPLETE, sha256=file.sha256, version=version, model_slug=slug)
    record_change(
        action="complete_upload",
        subject=Subject("upload", str(upload.pk), str(upload), slug),
        before=None,
        after={"version": version.number, "sha256": file.sha256, "size_bytes": file.size_bytes},
        by=by,
    )
    ask_check(version=version, by=by)
    return version
