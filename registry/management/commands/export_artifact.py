from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from registry.catalogue.models import Version
from registry.catalogue.services import export_artifact
from registry.kit.actors import Actor
from registry.management.base import VersionCommand


class Command(VersionCommand):
    help = "Copy a version's file out of the store, verified against its SHA-256."

    def add_own_arguments(self, parser: CommandParser) -> None:
        super().add_own_arguments(parser)
        parser.add_argument("path", type=Path, help="The new file, or a folder to create it in.")

    def act_on(self, version: Version, by: Actor, options: dict[str, Any]) -> str:
        try:
            path = export_artifact(version=version, path=options["path"], by=by)
        except OSError as error:
            raise CommandError(f"{options['path']}: {error.strerror}.") from None
        return f"{path}: {version.artifact.size_bytes:,} bytes, SHA-256 {version.artifact.sha256}"
