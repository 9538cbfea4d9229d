from typing import Any

from django.core.management.base import CommandError, CommandParser

from registry.access.limits import NO_LIMITS
from registry.catalogue.models import Model
from registry.catalogue.services import edit_model
from registry.kit.actors import Actor
from registry.management.base import ModelCommand, add_limit_flags, limits_of


class Command(ModelCommand):
    help = "Set all limits of a Model together; any limit you leave out is removed."

    def add_own_arguments(self, parser: CommandParser) -> None:
        add_limit_flags(parser)
        parser.add_argument("--none", action="store_true", help="Remove all limits.")
        parser.add_argument("--reason", default="", help="The reason; recorded with the change.")

    def act(self, model: Model, by: Actor, options: dict[str, Any]) -> str:
        limits = limits_of(options)
        if (limits == NO_LIMITS) != options["none"]:
            raise CommandError("Give a limit, or --none to remove all of them.")
        edit_model(model=model, changes={"limits": limits}, reason=options["reason"], by=by)
        return f"Limits of {model}: {limits}."
