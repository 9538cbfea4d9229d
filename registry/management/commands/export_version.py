from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from registry.catalogue.models import Version
from registry.intake.bundles.services import export_bundle
from registry.kit.actors import Actor
from registry.management.base import VersionCommand


class Command(VersionCommand):
    help = (
        "Write a version to one signed file, with its configuration, examples, golden set and serving settings, for"
        " import_version of another installation."
    )

    def add_own_arguments(self, parser: CommandParser) -> None:
        super().add_own_arguments(parser)
        parser.add_argument("path", type=Path, help="The new file, or a folder to create it in.")

    def act_on(self, version: Version, by: Actor, options: dict[str, Any]) -> str:
        try:
            path = export_bundle(version=version, path=options["path"], by=by)
        except OSError as error:
            raise CommandError(f"{options['path']}: {error.strerror}.") from None
        return f"{path}: {version}, {path.stat().st_size:,} bytes."
