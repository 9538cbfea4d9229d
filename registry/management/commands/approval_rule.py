from typing import Any

from django.core.management.base import CommandParser

from registry.catalogue.models import Model
from registry.kit.actors import Actor
from registry.management.model_command import ModelCommand
from registry.traffic.services import set_approval_rule


class Command(ModelCommand):
    help = "Say whether giving a version of a Model live share takes two people: on, or off."

    def add_own_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("needed", choices=["on", "off"], help="on: two people; off: one is enough.")
        super().add_own_arguments(parser)

    def act(self, model: Model, by: Actor, options: dict[str, Any]) -> str:
        needed = options["needed"] == "on"
        set_approval_rule(model=model, needed=needed, reason=options["reason"], by=by)
        return f"{model} asks for {'two people' if needed else 'one person'}."
