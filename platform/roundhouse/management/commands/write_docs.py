from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from roundhouse.env import ROOT
from roundhouse.reference import PAGES


class Command(BaseCommand):
    help = "Write the generated pages of docs/."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--check", action="store_true", help="Write nothing; fail when a page is out of date."
        )

    def handle(self, *_: Any, check: bool, **__: Any) -> None:
        stale = [name for name, make in PAGES.items() if _read(name) != make()]
        if check and stale:
            raise CommandError(f"Out of date: {', '.join(stale)}. Run `make docs`.")
        for name in stale:
            (ROOT / "docs" / name).write_text(PAGES[name]())
            self.stdout.write(f"docs/{name} written")


def _read(name: str) -> str:
    path = ROOT / "docs" / name
    return path.read_text() if path.exists() else ""
