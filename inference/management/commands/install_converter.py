from subprocess import CalledProcessError
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from inference.convert.environments import State, folder_of, install, size_of, state_of
from inference.convert.formats import ENVIRONMENTS, FORMATS

_WORDS: dict[State, str] = {
    "installed": "installed",
    "outdated": "outdated, install it again",
    "missing": "not installed",
}


class Command(BaseCommand):
    help = (
        "Install what converts models of other formats to ONNX, as an environment of its own with pinned packages."
        " The packages come from the package index that pip is configured for."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "name", nargs="?", choices=ENVIRONMENTS, help="What to install, or to install again."
        )
        parser.add_argument("--list", action="store_true", help="Show what is installed, and change nothing.")

    def handle(self, *_: Any, name: str | None, list: bool, **__: Any) -> None:
        if list:
            self._list()
        elif name is None:
            raise CommandError(f"Name what to install: {', '.join(ENVIRONMENTS)}; or use --list.")
        else:
            self._install(name)

    def _list(self) -> None:
        for name in ENVIRONMENTS:
            state = state_of(name)
            size = "" if state == "missing" else f", {_size(name)}, {folder_of(name)}"
            labels = ", ".join(one.label for one in FORMATS.values() if one.environment == name)
            self.stdout.write(f"{name}: {_WORDS[state]}{size}\n  converts {labels}")

    def _install(self, name: str) -> None:
        try:
            folder = install(name, report=self._report)
        except CalledProcessError as error:
            raise CommandError(
                f"The environment “{name}” was not installed; pip said:\n{error.output.strip()}"
            ) from None
        except OSError as error:
            raise CommandError(f"The environment “{name}” was not installed: {error.strerror}.") from None
        self.stdout.write(f"Installed “{name}” in {folder} ({_size(name)}).")

    def _report(self, line: str) -> None:
        self.stdout.write(f"  {line}")
        self.stdout.flush()


def _size(name: str) -> str:
    return f"{size_of(name) / 1e6:,.0f} MB"
