"""Queries for uploads."""

from collections.abc import Sequence
from uuid import UUID

from django.db.models import F, QuerySet, Sum

from registry.access.policies import Right
from registry.catalogue.models import Model
from registry.catalogue.selectors import model_named
from registry.catalogue.validation import is_plain
from registry.errors import NotFound
from registry.intake.models import Status, Upload
from registry.kit.actors import Actor


def uploads_of(by: Actor) -> QuerySet[Upload]:
    """The actor's own uploads. An open upload has no Model, so other callers' object scopes do not cover it."""
    mine = Upload.objects.filter(key=by.key_id, created_by=by.user_id)
    return mine.select_related("version__model")


def uploads_with_ids(ids: Sequence[UUID], by: Actor) -> list[Upload]:
    """The actor's own uploads, in this order; raise NotFound naming the first that is not theirs."""
    uploads = uploads_of(by).in_bulk(ids)
    if missing := [upload_id for upload_id in ids if upload_id not in uploads]:
        raise NotFound(f"You have no upload {missing[0]}.")
    return [uploads[upload_id] for upload_id in ids]


def uploads_for(by: Actor) -> QuerySet[Upload]:
    """The uploads the actor may see: all of them if it may write to every Model, otherwise its own."""
    if by.may(Right.WRITE):
        return Upload.objects.select_related("version__model")
    return uploads_of(by)


def known_model(slug: str, by: Actor) -> Model:
    """Find a Model the actor may see; raise NotFound, including for names that no database accepts."""
    if not is_plain(slug):
        raise NotFound("There is no Model with that name.")
    return model_named(slug, by)


def bytes_on_the_way() -> int:
    """The bytes that open uploads still have to send."""
    missing = Sum(F("size_bytes") - F("received_bytes"))
    return Upload.objects.filter(status=Status.OPEN).aggregate(missing=missing)["missing"] or 0


def is_owner(upload: Upload, by: Actor) -> bool:
    return (upload.key_id, upload.created_by_id) == (by.key_id, by.user_id)
