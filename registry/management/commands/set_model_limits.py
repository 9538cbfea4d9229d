from typing import Any

from django.core.management.base import CommandError, CommandParser

from registry.access.limits import NO_LIMITS
from registry.catalogue.models import Model
from registry.catalogue.services import edit_model
from registry.kit.actors import Actor
from registry.management.limit_flags import add_limit_flags, limits_of
from registry.management.model_command import ModelCommand


class Command(ModelCommand):
    help = "Set a Model's limits, all of them at once; what is not named is no limit."

    def add_own_arguments(self, parser: CommandParser) -> None:
        add_limit_flags(parser)
        parser.add_argument("--none", action="store_true", help="Take all limits away.")
        parser.add_argument("--reason", default="", help="Why; kept with the change.")

    def act(self, model: Model, by: Actor, options: dict[str, Any]) -> str:
        limits = limits_of(options)
        if (limits == NO_LIMITS) != options["none"]:
            raise CommandError("Name a limit, or say --none to take all of them away.")
        edit_model(model=model, changes={"limits": limits}, reason=options["reason"], by=by)
        return f"Limits of {model}: {limits}."
