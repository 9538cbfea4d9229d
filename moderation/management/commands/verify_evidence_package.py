from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from moderation.privacy.evidence_package import verify_evidence_package


class Command(BaseCommand):
    help = (
        "Verify that a package of evidence is as this installation made it; exit with status 1 if it is not."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)

    def handle(self, *_: Any, file: Path, **__: Any) -> None:
        try:
            with file.open("rb") as package:
                faults = verify_evidence_package(package)
        except OSError as error:
            raise CommandError(f"{file} cannot be read: {error.strerror}.") from None
        if faults:
            raise CommandError("\n".join(faults))
        self.stdout.write(f"{file} is intact.")
