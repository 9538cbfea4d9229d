import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from registry.errors import Invalid
from registry.record.chain import Checkpoint
from registry.record.checkpoints import from_line
from registry.record.verification import ChainReport, verify


class Command(BaseCommand):
    help = "Verify the audit chain. If a record is wrong, print the first such record and exit with status 1."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--checkpoints",
            type=Path,
            metavar="FILE",
            help="Checkpoints stored elsewhere by export_checkpoint: they reveal a chain that was cut off or rewritten.",
        )
        parser.add_argument("--json", action="store_true", help="Print one JSON object.")

    def handle(self, *_: Any, checkpoints: Path | None, **options: Any) -> None:
        report = verify(_read(checkpoints) if checkpoints else [])
        self.stdout.write(_as_json(report) if options["json"] else _as_text(report))
        if report.fault:
            raise CommandError("The audit chain is broken.")


def _read(path: Path) -> list[Checkpoint]:
    try:
        lines = path.read_text().splitlines()
        return [from_line(line) for line in lines if line.strip()]
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}.") from None
    except Invalid as error:
        raise CommandError(f"{path}: {error}") from None


def _as_text(report: ChainReport) -> str:
    good = f"{report.records:,} records and {report.checkpoints:,} checkpoints are intact"
    return f"{report.fault} Before that, {good}." if report.fault else f"{good[0].upper()}{good[1:]}."


def _as_json(report: ChainReport) -> str:
    fault = report.fault
    return json.dumps({
        "ok": fault is None,
        "records": report.records,
        "checkpoints": report.checkpoints,
        "fault": fault and {
            "kind": fault.finding.name.lower(),
            "of": "checkpoint" if fault.is_of_checkpoint else "record",
            "number": fault.number,
            "sentence": str(fault),
        },
    })  # fmt: skip
