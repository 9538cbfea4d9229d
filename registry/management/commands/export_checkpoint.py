from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from registry.record.checkpoints import as_checkpoint, to_line, write_checkpoint
from registry.record.models import AuditCheckpoint


class Command(BaseCommand):
    help = "Sign the audit chain and print the newest checkpoint, to be stored elsewhere."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--append", type=Path, metavar="FILE", help="Add the line to this file instead of printing it."
        )

    def handle(self, *_: Any, append: Path | None, **__: Any) -> None:
        write_checkpoint()
        newest = AuditCheckpoint.objects.first()
        if newest is None:
            raise CommandError("There is no audit record yet, so there is nothing to sign.")
        line = to_line(as_checkpoint(newest))
        if append is None:
            self.stdout.write(line)
            return
        with append.open("a") as file:
            file.write(line + "\n")
        self.stdout.write(f"Checkpoint {newest.number}, at record {newest.seq:,}, added to {append}.")
