"""Writes of the intake."""

from registry.intake.services.beginning import begin_upload
from registry.intake.services.completing import NewModel, complete_upload
from registry.intake.services.ending import abandon_upload, sweep_uploads
from registry.intake.services.taking import take_upload, whole_file
from registry.intake.services.writing import MAX_PART_BYTES, write_part

__all__ = [
    "MAX_PART_BYTES",
    "NewModel",
    "abandon_upload",
    "begin_upload",
    "complete_upload",
    "sweep_uploads",
    "take_upload",
    "whole_file",
    "write_part",
]
