from typing import Any

from django.core.management.base import CommandParser

from registry.catalogue.models import Model
from registry.kit.actors import Actor
from registry.management.base import ModelCommand
from registry.traffic.services import set_approval_rule


class Command(ModelCommand):
    help = "Require a second person's approval for changes that give a version live share: on or off."

    def add_own_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "needed", choices=["on", "off"], help="on: a second person approves; off: one person is enough."
        )
        super().add_own_arguments(parser)

    def act(self, model: Model, by: Actor, options: dict[str, Any]) -> str:
        needed = options["needed"] == "on"
        set_approval_rule(model=model, needed=needed, reason=options["reason"], by=by)
        return f"Changes to {model} {'need' if needed else 'do not need'} a second person's approval."
