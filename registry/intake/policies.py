"""Who may bring files in, and whose uploads they may touch."""

from registry.access.policies import Right
from registry.errors import NotFound
from registry.intake.models import Upload
from registry.intake.selectors import is_owner
from registry.kit.actors import Actor


def check_may_upload(by: Actor) -> None:
    """A file belongs to no Model yet: the right for any Model is enough. Completing asks about the one that is meant."""
    by.check(Right.WRITE, model_id=next(iter(by.models), None) if by.models else None)


def check_own(upload: Upload, by: Actor) -> None:
    check_may_upload(by)
    if not is_owner(upload, by):
        raise NotFound
