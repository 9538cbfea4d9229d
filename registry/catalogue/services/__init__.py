"""Changes to the catalogue."""

from registry.catalogue.services.aliases import guard_alias, move_alias, retire_alias, unguard_alias
from registry.catalogue.services.crashes import CRASHES_TO_BREAK, clear_crashes, record_crash
from registry.catalogue.services.downloads import (
    export_artifact,
    follow_link,
    make_download_link,
    task_file,
)
from registry.catalogue.services.models import ModelChanges, create_model, edit_model, why_not_move
from registry.catalogue.services.versions import (
    archive_version,
    change_serving,
    fail_check,
    pass_check,
    record_conversion,
    register_version,
    start_check,
    unarchive_version,
    update_task_facts,
)

__all__ = [
    "CRASHES_TO_BREAK",
    "ModelChanges",
    "archive_version",
    "change_serving",
    "clear_crashes",
    "create_model",
    "edit_model",
    "export_artifact",
    "fail_check",
    "follow_link",
    "guard_alias",
    "make_download_link",
    "move_alias",
    "pass_check",
    "record_conversion",
    "record_crash",
    "register_version",
    "retire_alias",
    "start_check",
    "task_file",
    "unarchive_version",
    "unguard_alias",
    "update_task_facts",
    "why_not_move",
]
