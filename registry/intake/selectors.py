"""Reads of the intake: whose uploads are whose."""

from collections.abc import Sequence
from uuid import UUID

from django.db.models import F, Q, QuerySet, Sum

from registry.access.policies import Right
from registry.catalogue.models import Model
from registry.catalogue.selectors import model_named
from registry.catalogue.validation import is_plain
from registry.errors import NotFound
from registry.intake.models import Upload
from registry.intake.transitions import Status
from registry.kit.actors import Actor


def uploads_of(by: Actor) -> QuerySet[Upload]:
    """The actor's own: a file belongs to no Model before it is complete, so nobody else's scope reaches it."""
    return Upload.objects.select_related("version__model").filter(_owned(by))


def uploads_with_ids(ids: Sequence[UUID], by: Actor) -> list[Upload]:
    """The actor's own uploads, in this order; raise NotFound naming one that is not theirs."""
    found = uploads_of(by).in_bulk(ids)
    if others := [each for each in ids if each not in found]:
        raise NotFound(f"There is no upload {others[0]} of yours.")
    return [found[each] for each in ids]


def uploads_for(by: Actor) -> QuerySet[Upload]:
    """What the actor may look at: everything for those who may write everywhere, else their own."""
    if by.may(Right.WRITE):
        return Upload.objects.select_related("version__model")
    return uploads_of(by)


def known_model(slug: str, by: Actor) -> Model:
    """Find a Model that the actor may see; raise NotFound, also for what no database takes as a name."""
    if not is_plain(slug):
        raise NotFound("There is no Model of that name.")
    return model_named(slug, by)


def bytes_on_the_way() -> int:
    """What open uploads were promised room for, and have not sent yet."""
    left = Upload.objects.filter(status=Status.OPEN).aggregate(
        left=Sum(F("size_bytes") - F("received_bytes"))
    )
    return left["left"] or 0


def is_owner(upload: Upload, by: Actor) -> bool:
    return (upload.key_id, upload.created_by_id) == (by.key_id, by.user_id)


def _owned(by: Actor) -> Q:
    return Q(key=by.key_id, created_by=by.user_id)
