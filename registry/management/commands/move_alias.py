from typing import Any

from django.core.management.base import CommandParser

from registry.catalogue.models import Model
from registry.catalogue.selectors import version_numbered
from registry.catalogue.services import move_alias
from registry.kit.actors import Actor
from registry.management.base import ModelCommand


class Command(ModelCommand):
    help = "Point an alias of a Model at a version; creates the alias if needed."

    def add_own_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("alias", help="The alias, without @.")
        parser.add_argument("number", type=int, help="The version.")
        super().add_own_arguments(parser)

    def act(self, model: Model, by: Actor, options: dict[str, Any]) -> str:
        version = version_numbered(model, options["number"])
        alias = move_alias(
            model=model, name=options["alias"], version=version, reason=options["reason"], by=by
        )
        return f"{alias} now points to version {version.number}."
