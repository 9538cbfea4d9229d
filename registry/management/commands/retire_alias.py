from typing import Any

from django.core.management.base import CommandParser

from registry.catalogue.models import Model
from registry.catalogue.services import retire_alias
from registry.errors import NotFound
from registry.kit.actors import Actor
from registry.management.base import ModelCommand


class Command(ModelCommand):
    help = "Retire an alias of a Model: afterwards it points to no version."

    def add_own_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("alias", help="The alias, without @.")
        super().add_own_arguments(parser)

    def act(self, model: Model, by: Actor, options: dict[str, Any]) -> str:
        alias = model.aliases.select_related("model").filter(name=options["alias"]).first()
        if alias is None:
            raise NotFound(f"{model} has no alias {options['alias']!r}.")
        retire_alias(alias=alias, reason=options["reason"], by=by)
        return f"{alias} is retired."
