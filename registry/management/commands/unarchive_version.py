from typing import Any

from django.core.management.base import CommandParser

from registry.catalogue.models import Model
from registry.catalogue.selectors import version_numbered
from registry.catalogue.services import unarchive_version
from registry.kit.actors import Actor
from registry.management.model_command import ModelCommand


class Command(ModelCommand):
    help = "Bring an archived version back to what its check had found."

    def add_own_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("number", type=int, help="The version.")
        super().add_own_arguments(parser)

    def act(self, model: Model, by: Actor, options: dict[str, Any]) -> str:
        version = unarchive_version(
            version=version_numbered(model, options["number"]), reason=options["reason"], by=by
        )
        return f"{version} is {version.status}."
