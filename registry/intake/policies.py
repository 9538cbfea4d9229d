"""Who may upload files, and who owns an upload."""

from registry.access.policies import Right
from registry.errors import NotFound
from registry.intake.models import Upload
from registry.intake.selectors import is_owner
from registry.kit.actors import Actor


def check_may_upload(by: Actor) -> None:
    """An upload has no Model yet, so the right for any Model is enough. Its own Model is checked on completion."""
    by.check(Right.WRITE, model_id=next(iter(by.models), None) if by.models else None)


def check_own(upload: Upload, by: Actor) -> None:
    check_may_upload(by)
    if not is_owner(upload, by):
        raise NotFound
