from pathlib import Path
from typing import Any

import orjson
from django.core.management.base import CommandError, CommandParser

from registry.catalogue.models import Version
from registry.intake.examples.rows import MAX_EXAMPLE_BYTES
from registry.intake.examples.services import add_examples
from registry.kit.actors import Actor
from registry.management.base import VersionCommand

_MAX_FILE_BYTES = 4 * MAX_EXAMPLE_BYTES  # white space counts here, but not in what is kept


class Command(VersionCommand):
    help = (
        "Add examples to a version that is not ready yet; its check must reproduce them. "
        "The file is a JSON list of inputs and expected outputs."
    )

    def add_own_arguments(self, parser: CommandParser) -> None:
        super().add_own_arguments(parser)
        parser.add_argument(
            "file", type=Path, help='[{"inputs": {"x": [[1, 2]]}, "expected": {"y": [[0.5]]}}, …]'
        )

    def act_on(self, version: Version, by: Actor, options: dict[str, Any]) -> str:
        examples = add_examples(version=version, examples=_read(options["file"]), by=by)
        return f"Examples added to {version}: {len(examples)}."


def _read(path: Path) -> list[Any]:
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_FILE_BYTES + 1)
        if len(text) > _MAX_FILE_BYTES:
            raise CommandError(f"{path} is larger than {_MAX_FILE_BYTES:,} bytes.")
        examples = orjson.loads(text)
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}.") from None
    except orjson.JSONDecodeError as error:
        raise CommandError(f"{path} is not valid JSON: {error}.") from None
    if not isinstance(examples, list):
        raise CommandError(f"{path} must contain a list of examples.")
    return examples
