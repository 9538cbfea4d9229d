from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from inference.checks.services import import_checked_bundle
from inference.serving.plans import session_options
from registry.access.policies import command_actor
from registry.catalogue.models import Version
from registry.errors import RoundhouseError
from registry.intake.checklist.selectors import the_newest_run


class Command(BaseCommand):
    help = (
        "Register a bundle, which export_version of another installation wrote, as the next version of a Model, and check it."
        " The bundle must be signed with a key in ROUNDHOUSE_TRUSTED_BUNDLE_KEYS. The version does not go live."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="The bundle, such as demand-v3.roundhouse.")
        parser.add_argument(
            "--model",
            metavar="NAME",
            help="The Model that gets the version, created if it does not exist. Default: the one that the bundle names.",
        )
        parser.add_argument(
            "--replace-golden-set",
            action="store_true",
            help="Use the bundle's golden set even if the Model has another.",
        )

    def handle(
        self, *_: Any, file: Path, model: str | None, replace_golden_set: bool, **options: Any
    ) -> None:
        try:
            imported = import_checked_bundle(
                path=file,
                slug=model,
                replace_golden_set=replace_golden_set,
                options=session_options(),
                by=command_actor("import_version"),
            )
        except OSError as error:
            raise CommandError(f"{error.filename or file} cannot be read: {error.strerror}.") from None
        except RoundhouseError as error:
            raise CommandError(str(error)) from None
        for remark in imported.remarks:
            self.stdout.write(remark)
        version = imported.version
        if not imported.is_new:
            self.stdout.write(
                f"{file.name} is {version}, which has the same files and configuration and is {version.status};"
                " nothing was registered."
            )
            return
        self._show_check(version)
        self.stdout.write(
            f"{version} is registered and {version.status}, but not live; give it traffic with a split."
        )

    def _show_check(self, version: Version) -> None:
        for line in the_newest_run(version).lines.all():
            reason = f": {line.reason}" if line.reason else ""
            self.stdout.write(f"  {line.get_step_display()} {line.state}{reason}")
