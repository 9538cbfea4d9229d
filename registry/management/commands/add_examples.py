from pathlib import Path
from typing import Any

import orjson
from django.core.management.base import CommandError, CommandParser

from registry.catalogue.models import Model
from registry.catalogue.selectors import version_numbered
from registry.intake.examples.rows import MAX_EXAMPLE_BYTES
from registry.intake.examples.services import add_examples
from registry.kit.actors import Actor
from registry.management.model_command import ModelCommand

_MAX_FILE_BYTES = 4 * MAX_EXAMPLE_BYTES  # white space counts here, and not in what is kept


class Command(ModelCommand):
    help = (
        "Give a version examples that its check must reproduce: a JSON list of inputs and expected outputs."
    )

    def add_own_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("number", type=int, help="The version; it must not be ready yet.")
        parser.add_argument(
            "file", type=Path, help='[{"inputs": {"x": [[1, 2]]}, "expected": {"y": [[0.5]]}}, …]'
        )

    def act(self, model: Model, by: Actor, options: dict[str, Any]) -> str:
        version = version_numbered(model, options["number"])
        made = add_examples(version=version, examples=_read(options["file"]), by=by)
        return f"Examples given to {version}: {len(made)}."


def _read(path: Path) -> list[Any]:
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_FILE_BYTES + 1)
        if len(text) > _MAX_FILE_BYTES:
            raise CommandError(f"{path} is larger than {_MAX_FILE_BYTES:,} bytes.")
        found = orjson.loads(text)
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}.") from None
    except orjson.JSONDecodeError as error:
        raise CommandError(f"{path} is not valid JSON: {error}.") from None
    if not isinstance(found, list):
        raise CommandError(f"{path} must hold a list of examples.")
    return found
