"""Completing an upload: the file goes into the store, and a version is made of it."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models.functions import Now

from registry.access.policies import Right
from registry.catalogue import services as catalogue
from registry.catalogue.artifacts import StoredFile
from registry.catalogue.models import Model, Task, Version
from registry.catalogue.validation import checked_config, checked_name, checked_shapes
from registry.errors import Invalid, NameTaken, StaleState
from registry.intake import parts
from registry.intake.assembly import Assembled, Sent, assemble, check_count, with_labels
from registry.intake.checklist.services import ask_check
from registry.intake.digests import drop_digest
from registry.intake.gate.archives import is_archive
from registry.intake.gate.errors import ExternalData, GateRefused, ZipMapRefused
from registry.intake.models import Upload
from registry.intake.policies import check_own
from registry.intake.selectors import known_model
from registry.intake.services.ending import end_upload
from registry.intake.services.taking import take_upload
from registry.intake.services.whole import check_whole, held, lost
from registry.intake.transitions import Status
from registry.kit.actors import Actor
from registry.kit.text import MAX_REASON
from registry.record.audit import Subject, record_change

_COMPLETE_AGAIN = "Free some space, then complete the upload again."


@dataclass(frozen=True, slots=True)
class NewModel:
    """A Model that is to be made for the file."""

    title: str = ""
    task: str = Task.TENSOR


@dataclass(frozen=True, slots=True)
class _Wish:
    """What the version is to be."""

    slug: str
    new_model: NewModel | None
    task_config: Mapping[str, Any]
    input_shapes: Mapping[str, Any]
    notes: str
    drop_zipmap: bool


def complete_upload(
    *,
    upload: Upload,
    slug: str,
    new_model: NewModel | None = None,
    data_uploads: Sequence[Upload] = (),
    drop_zipmap: bool = False,
    task_config: Mapping[str, Any] | None = None,
    input_shapes: Mapping[str, Any] | None = None,
    notes: str = "",
    by: Actor,
) -> Version:
    """Make a whole upload the next version of a Model; completing it again gives the same version.

    1. What can be refused is refused before the file is read.
    2. The file is hashed, unless it was while it came in, looked at and stored, with the weights of the data uploads
       inside: no transaction is open meanwhile. One that is no ONNX model ends as failed; whatever else is refused may
       be completed again.
    3. Model, version and uploads are written in one transaction, which asks for the check. Whoever dies before that
       leaves the uploads open: they can be completed again, even when the file lies in the store already.
    """
    check_own(upload, by)
    upload = Upload.objects.select_related("version__model").get(pk=upload.pk)
    if upload.version is not None and upload.model_slug == slug:
        return upload.version
    check_whole(upload)
    data = _checked_data(upload, data_uploads, by)
    wish = _Wish(slug, new_model, task_config or {}, input_shapes or {}, notes, drop_zipmap)
    task = _check_target(wish, by)
    with parts.room(_COMPLETE_AGAIN):
        made = _assembled(upload, data, drop_zipmap)
        version = _registered(upload, data, made, wish, with_labels(task, wish.task_config, made.labels), by)
    parts.remove(upload.pk)  # there when the store knew the file, or lies elsewhere
    drop_digest(upload.pk)
    return version


def _checked_data(upload: Upload, data_uploads: Sequence[Upload], by: Actor) -> list[Upload]:
    check_count(len(data_uploads))
    if len({upload.pk, *(each.pk for each in data_uploads)}) <= len(data_uploads):
        raise Invalid("Name each upload once: the model's own, and others for its data files.")
    for each in data_uploads:
        check_own(each, by)
    data = [Upload.objects.get(pk=each.pk) for each in data_uploads]
    for each in data:
        check_whole(each)
    return data


def _check_target(wish: _Wish, by: Actor) -> str:
    """Refuse what would be refused anyway, and give the Model's task."""
    checked_shapes(wish.input_shapes)
    if wish.new_model is None:
        model = known_model(wish.slug, by)
        by.check(Right.WRITE, model_id=model.pk)
        task = model.task
    else:
        by.check(Right.WRITE)
        task = _checked_new(wish.slug, wish.new_model)
    if not _takes_labels(task, wish):
        checked_config(task, wish.task_config)
    return task


def _checked_new(slug: str, new_model: NewModel) -> str:
    checked_name(slug)
    if new_model.task not in Task.values:
        raise Invalid(f"{new_model.task!r} is no task; there are {', '.join(Task.values)}.")
    if Model.objects.filter(slug=slug).exists():
        raise NameTaken(f"A Model named {slug} exists already; add a version to it, or choose another name.")
    return new_model.task


def _takes_labels(task: str, wish: _Wish) -> bool:
    """Whether the file may bring the labels itself."""
    return wish.drop_zipmap and task == Task.CLASSIFICATION and not wish.task_config.get("labels")


def _assembled(upload: Upload, data: Sequence[Upload], drop_zipmap: bool) -> Assembled:
    with ExitStack() as stack:
        model, *others = [stack.enter_context(held(each)) for each in (upload, *data)]
        try:
            return assemble(model, others, drop_zipmap=drop_zipmap, keep=lambda: _kept(upload, model))
        except GateRefused as refusal:
            may_go_on = isinstance(refusal, ExternalData | ZipMapRefused) and not is_archive(model.file)
            if not may_go_on:
                end_upload(upload, Status.FAILED, failure=str(refusal)[:MAX_REASON])
            raise


def _kept(upload: Upload, sent: Sent) -> StoredFile:
    file = StoredFile(sent.sha256, upload.size_bytes)
    try:
        parts.store(upload.pk, file)
    except FileNotFoundError:
        raise lost(upload) from None
    return file


@transaction.atomic
def _registered(
    upload: Upload,
    data: Sequence[Upload],
    made: Assembled,
    wish: _Wish,
    task_config: Mapping[str, Any],
    by: Actor,
) -> Version:
    mine = Upload.objects.filter(pk=upload.pk, status=Status.OPEN)
    if not mine.update(
        touched_at=Now()
    ):  # holds the row from here on: of two that complete it, one waits here
        raise StaleState("This upload was completed or ended at the same moment; look again.")
    slug, new_model = wish.slug, wish.new_model
    if new_model is None:
        model = known_model(slug, by)
    else:
        model = catalogue.create_model(slug=slug, title=new_model.title, task=new_model.task, by=by)
    version = catalogue.register_version(
        model=model,
        file=made.file,
        task_config=task_config,
        input_shapes=wish.input_shapes,
        origin=made.origin,
        notes=wish.notes,
        by=by,
    )
    mine.update(status=Status.COMPLETE, version=version, model_slug=slug)
    for each in data:
        take_upload(upload=each, by=by)
    record_change(
        action="complete_upload",
        subject=Subject("upload", str(upload.pk), str(upload), slug),
        before=None,
        after={
            "version": version.number,
            "sha256": made.file.sha256,
            "size_bytes": made.file.size_bytes,
            **({"data_uploads": [str(each.pk) for each in data]} if data else {}),
        },
        by=by,
    )
    ask_check(version=version, by=by)
    return version
