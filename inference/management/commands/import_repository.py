from collections.abc import Iterable
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from inference.pipelines.plain import SCORES
from inference.serving.plans import session_options
from inference.sources.services import ImportLine, ImportPlan, import_model_of_repository, plan_import
from inference.sources.triton import FoundModel, read_repository
from registry.access.policies import command_actor
from registry.errors import RoundhouseError


class Command(BaseCommand):
    help = (
        "Import a Triton model repository: each ONNX model becomes a Model, and each of its versions a version, with the settings"
        " of config.pbtxt that have an equal. The exit status is 1 if anything was refused."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "folder", type=Path, help="The repository: a folder with a folder for each model."
        )
        parser.add_argument("--only", default="", metavar="NAME", help="Import only this folder of it.")
        parser.add_argument(
            "--scores",
            choices=SCORES,
            default="",
            help="What models with labels return. With it, new ones become classifications.",
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="Print what would be done, and change nothing."
        )

    def handle(self, *_: Any, folder: Path, only: str, scores: str, dry_run: bool, **__: Any) -> None:
        lines: list[ImportLine] = []
        for found in self._read(folder, only):
            plan = plan_import(found, scores=scores)
            self._print(_described(plan))
            if dry_run:
                lines += plan.preview()
                continue
            lines += import_model_of_repository(
                plan=plan, options_of=session_options, by=command_actor("import_repository")
            )
        self._print(["", *_table(lines)])
        refused = sum(line.is_refused for line in lines)
        if refused:
            raise CommandError(
                f"{refused} of {len(lines)} {'was' if refused == 1 else 'were'} refused; the table says why. Correct that, then"
                " run the command again: what was imported is skipped."
            )

    def _read(self, folder: Path, only: str) -> list[FoundModel]:
        try:
            return read_repository(folder, only)
        except OSError as error:
            raise CommandError(f"{error.filename or folder} cannot be read: {error.strerror}.") from None
        except RoundhouseError as error:
            raise CommandError(str(error)) from None

    def _print(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.stdout.write(line)
        self.stdout.flush()


def _described(plan: ImportPlan) -> list[str]:
    found = plan.found
    if found.refused:
        return [f"{found.name}: refused"]
    numbers = ", ".join(str(version.number) for version in found.versions)
    return [
        f"{found.name}: {'the new Model' if plan.is_new else 'the Model'} {found.slug}, task {plan.task}",
        f"  versions in the repository: {numbers}",
        *(f"  serving setting {name}: {_shown(value)}" for name, value in found.serving.items()),
        *([f"  labels: {len(found.labels):,}"] if "labels" in plan.task_config and found.labels else []),
        *(f"  not carried over: {sentence}" for sentence in plan.lost),
    ]


def _shown(value: Any) -> str:
    return ", ".join(value) if isinstance(value, tuple) else str(value)


def _table(lines: list[ImportLine]) -> list[str]:
    rows = [("Model", "Version", "Result")]
    for line in lines:
        result = f"refused: {line.result}" if line.is_refused else line.result
        rows.append((line.name, str(line.number or ""), result))
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    return [f"{name:<{widths[0]}}  {number:<{widths[1]}}  {result}" for name, number, result in rows]
