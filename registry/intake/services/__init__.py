"""Services of the intake."""

from registry.intake.services.completion import NewModel, complete_upload
from registry.intake.services.part_writes import MAX_PART_BYTES, write_part
from registry.intake.services.suggestions import suggest_task_config
from registry.intake.services.uploads import (
    abandon_upload,
    begin_upload,
    sweep_uploads,
    take_upload,
    whole_file,
)

__all__ = [
    "MAX_PART_BYTES",
    "NewModel",
    "abandon_upload",
    "begin_upload",
    "complete_upload",
    "suggest_task_config",
    "sweep_uploads",
    "take_upload",
    "whole_file",
    "write_part",
]
