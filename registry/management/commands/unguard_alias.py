from typing import Any

from django.core.management.base import CommandParser

from registry.catalogue.models import Model
from registry.catalogue.services import unguard_alias
from registry.kit.actors import Actor
from registry.management.base import ModelCommand


class Command(ModelCommand):
    help = "Remove an alias's guard: everyone who may move aliases of the Model can then move it."

    def add_own_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("alias", help="The alias, without @.")
        super().add_own_arguments(parser)

    def act(self, model: Model, by: Actor, options: dict[str, Any]) -> str:
        unguard_alias(model=model, name=options["alias"], reason=options["reason"], by=by)
        return f"{model}@{options['alias']} is no longer guarded."
