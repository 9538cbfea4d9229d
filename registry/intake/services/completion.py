"""Completion of uploads: the file is stored, and a version is created from it."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models.functions import Now

from registry.access.policies import Right
from registry.catalogue import services as catalogue
from registry.catalogue.artifacts import StoredFile
from registry.catalogue.models import Model, Version
from registry.catalogue.services.models import name_taken
from registry.catalogue.task_kinds import TENSOR, checked_task
from registry.catalogue.validation import checked_name, checked_shapes, checked_training
from registry.errors import StaleState
from registry.intake import parts
from registry.intake.assembly import Assembled, RequestedTask, Sent, assemble
from registry.intake.checklist.services import ask_check
from registry.intake.errors import FormatNotConverted, TaskFileRefused, TaskTakesNoFiles
from registry.intake.file_scan.errors import ExternalData, FileRefused, ZipMapRefused
from registry.intake.file_scan.sent_files import is_archive
from registry.intake.models import Status, Upload
from registry.intake.policies import check_own
from registry.intake.selectors import known_model
from registry.intake.services.uploads import check_whole, checked_data, end_upload, held, lost, take_upload
from registry.intake.source_formats import AS_RECOGNISED, RequestedFormat, check_shapes_stated
from registry.kit.actors import Actor
from registry.kit.text import MAX_REASON
from registry.record.audit import AuditSubject, record_change

_COMPLETE_AGAIN = "Free some space, then complete the upload again."


@dataclass(frozen=True, slots=True)
class NewModel:
    """A Model to create for the file."""

    title: str = ""
    task: str = TENSOR


@dataclass(frozen=True, slots=True)
class _NewVersion:
    """What the caller requested."""

    slug: str
    new_model: NewModel | None
    task_config: Mapping[str, Any]
    input_shapes: Mapping[str, Any]
    training: Mapping[str, Any]
    notes: str
    drop_zipmap: bool
    source: RequestedFormat


def complete_upload(
    *,
    upload: Upload,
    slug: str,
    new_model: NewModel | None = None,
    data_uploads: Sequence[Upload] = (),
    drop_zipmap: bool = False,
    source: RequestedFormat = AS_RECOGNISED,
    task_config: Mapping[str, Any] | None = None,
    input_shapes: Mapping[str, Any] | None = None,
    training: Mapping[str, Any] | None = None,
    notes: str = "",
    by: Actor,
) -> Version:
    """Make a whole upload the next version of a Model; completing it again returns the same version.

    1. Everything that can be checked without the file is checked before it is read.
    2. The file is hashed (unless this was done on receipt), its format and the task configuration are checked, and it is
       stored with the weights of the data uploads inside, without an open transaction. Data uploads that belong to the
       task, such as tokenizer.json, are stored beside it. If the file is not an ONNX model, the upload fails; after any
       other error it can be completed again.
    3. One transaction writes Model, version and uploads, and requests the check. After a crash before that, the uploads
       are still open and can be completed again, even if the file is already in the store.
    """
    check_own(upload, by)
    upload = Upload.objects.select_related("version__model").get(pk=upload.pk)
    if upload.version is not None and upload.model_slug == slug:
        return upload.version
    check_whole(upload)
    data = checked_data(upload, data_uploads, by)
    new = _NewVersion(
        slug, new_model, task_config or {}, input_shapes or {}, training or {}, notes, drop_zipmap, source
    )
    task = _check_target(new, by)
    with parts.room(_COMPLETE_AGAIN):
        assembled = _assemble(upload, data, RequestedTask(task, new.task_config), new)
        check_shapes_stated(assembled.source_format, new.input_shapes)
        version = _register(upload, data, assembled, new, by)
    parts.remove(upload.pk)  # still there if the store had the file already, or is on another disk
    return version


def _check_target(new: _NewVersion, by: Actor) -> str:
    """Refuse what registering would refuse, and return the Model's task."""
    checked_shapes(new.input_shapes)
    checked_training(new.training)
    if new.new_model is None:
        model = known_model(new.slug, by)
        by.check(Right.WRITE, model_id=model.pk)
        return model.task
    by.check(Right.WRITE)
    return _check_new_model(new.slug, new.new_model)


def _check_new_model(slug: str, new_model: NewModel) -> str:
    checked_name(slug)
    checked_task(new_model.task)
    if Model.objects.filter(slug=slug).exists():
        raise name_taken(slug)
    return new_model.task


def _assemble(upload: Upload, data: Sequence[Upload], task: RequestedTask, new: _NewVersion) -> Assembled:
    with ExitStack() as stack:
        model, *others = [stack.enter_context(held(each)) for each in (upload, *data)]
        try:
            return assemble(
                model,
                others,
                task=task,
                drop_zipmap=new.drop_zipmap,
                source=new.source,
                keep=lambda: _store(upload, model),
            )
        except FileRefused as refusal:
            if not _can_retry(refusal, model):
                end_upload(upload, Status.FAILED, failure=str(refusal)[:MAX_REASON])
            raise


def _can_retry(refusal: FileRefused, model: Sent) -> bool:
    """Whether the same file may become a version, for another task or with other files beside it."""
    if isinstance(refusal, TaskTakesNoFiles | FormatNotConverted):
        return True
    return isinstance(refusal, ExternalData | ZipMapRefused | TaskFileRefused) and not is_archive(model.file)


def _store(upload: Upload, sent: Sent) -> StoredFile:
    file = StoredFile(sent.sha256, upload.size_bytes)
    try:
        parts.store(upload.pk, file)
    except FileNotFoundError:
        raise lost(upload) from None
    return file


@transaction.atomic
def _register(
    upload: Upload,
    data: Sequence[Upload],
    assembled: Assembled,
    new: _NewVersion,
    by: Actor,
) -> Version:
    open_upload = Upload.objects.filter(pk=upload.pk, status=Status.OPEN)
    # The update locks the row: if two callers complete the upload, one waits here.
    if not open_upload.update(touched_at=Now()):
        raise StaleState("This upload was completed or ended at the same moment; reload and try again.")
    slug, new_model = new.slug, new.new_model
    if new_model is None:
        model = known_model(slug, by)
    else:
        model = catalogue.create_model(slug=slug, title=new_model.title, task=new_model.task, by=by)
    version = catalogue.register_version(
        model=model,
        file=assembled.file,
        task_config=assembled.task_config,
        task_files=assembled.task_files,
        input_shapes=new.input_shapes,
        origin=assembled.origin,
        source_format=assembled.source_format,
        source_options=assembled.source_options,
        training=new.training,
        notes=new.notes,
        by=by,
    )
    open_upload.update(status=Status.COMPLETE, version=version, model_slug=slug)
    for each in data:
        take_upload(upload=each, by=by)
    record_change(
        action="complete_upload",
        subject=AuditSubject("upload", str(upload.pk), str(upload), slug),
        before=None,
        after={
            "version": version.number,
            "sha256": assembled.file.sha256,
            "size_bytes": assembled.file.size_bytes,
            **({"data_uploads": [str(each.pk) for each in data]} if data else {}),
        },
        by=by,
    )
    ask_check(version=version, by=by)
    return version
