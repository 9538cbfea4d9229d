from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from registry.catalogue.artifacts import read_chunks
from registry.catalogue.models import Model
from registry.catalogue.selectors import version_numbered
from registry.catalogue.task_kinds import TASK_KINDS
from registry.intake.examples.golden_files import rows_in
from registry.intake.examples.models import Metric
from registry.intake.examples.services import put_golden_set
from registry.kit.actors import Actor
from registry.management.base import ModelCommand


class Command(ModelCommand):
    help = (
        "Add a golden set to a Model: a JSON Lines file of labelled rows, or a zip of labelled pictures, that its versions"
        " are compared on."
    )

    def add_own_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "file",
            type=Path,
            help='One object per line: {"inputs": {"x": [1, 2]}, "label": "cat"}, or with a text as in'
            ' {"inputs": {"text": "Lovely!"}, "label": "positive"}. Pictures: a zip with'
            " labels.jsonl, labels.csv, or a folder for each label.",
        )
        parser.add_argument("--metric", required=True, choices=Metric.values)
        parser.add_argument(
            "--floor", type=float, help="The worst value that passes (for error and log_loss, the largest)."
        )
        parser.add_argument(
            "--for-number",
            type=int,
            metavar="NUMBER",
            help="The version whose pre-processing the set is made for. Default: the live one, or else the newest that is ready.",
        )
        parser.add_argument("--margin", type=float, help="How much worse a version may be than the live one.")
        super().add_own_arguments(parser)

    def act(self, model: Model, by: Actor, options: dict[str, Any]) -> str:
        number = options["for_number"]
        version = version_numbered(model, number) if number is not None else None
        try:
            with options["file"].open("rb") as file:
                golden_set = put_golden_set(
                    model=model,
                    lines=rows_in(read_chunks(file), has_pictures=TASK_KINDS[model.task].has_pictures),
                    metric=options["metric"],
                    floor=options["floor"],
                    margin=options["margin"],
                    reason=options["reason"],
                    version=version,
                    by=by,
                )
        except OSError as error:
            raise CommandError(f"{options['file']} cannot be read: {error.strerror}.") from None
        return f"{golden_set} has {golden_set.rows:,} rows; check a version to measure it."
