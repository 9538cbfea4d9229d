"""What whole uploads state of a task's configuration, before they become a version."""

from collections.abc import Sequence
from contextlib import ExitStack

from registry.catalogue.task_kinds import checked_task
from registry.errors import StaleState
from registry.intake import parts
from registry.intake.assembly import suggest
from registry.intake.file_scan.sent_files import SentFile
from registry.intake.models import Upload
from registry.intake.policies import check_own
from registry.intake.services.uploads import check_whole, checked_data
from registry.intake.task_input import TaskSuggestion
from registry.kit.actors import Actor


def suggest_task_config(
    *, upload: Upload, data_uploads: Sequence[Upload] = (), task: str = "", by: Actor
) -> TaskSuggestion:
    """What the files state of this task's configuration, or of the one that the model file names. Changes nothing."""
    check_own(upload, by)
    check_whole(upload)
    uploads = [upload, *checked_data(upload, data_uploads, by)]
    if task:
        checked_task(task)
    with ExitStack() as stack, parts.room("Free some space, then try again."):
        model, *others = [_open(each, stack) for each in uploads]
        return suggest(model, others, task=task)


def _open(upload: Upload, stack: ExitStack) -> SentFile:
    """Without the lock: the bytes of a whole upload do not change, and may be read while it is completed."""
    try:
        descriptor = stack.enter_context(parts.opened(upload.pk))
    except FileNotFoundError:
        raise StaleState("This upload was used or ended at the same moment; reload and try again.") from None
    return SentFile(upload.file_name, descriptor, upload.size_bytes)
