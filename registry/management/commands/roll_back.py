from typing import Any

from django.core.management.base import CommandParser

from registry.catalogue.models import Model
from registry.catalogue.selectors import version_numbered
from registry.errors import NotFound
from registry.kit.actors import Actor
from registry.management.base import ModelCommand
from registry.management.splits import outcome, wait_until_settled
from registry.traffic.services import roll_back


class Command(ModelCommand):
    help = (
        "Go back to the previous split, or to the one given with --to. "
        "With --to-version, give all traffic to a version that was live before."
    )

    def add_own_arguments(self, parser: CommandParser) -> None:
        goal = parser.add_mutually_exclusive_group()
        goal.add_argument("--to", type=int, metavar="NUMBER", help="The split to go back to.")
        goal.add_argument("--to-version", type=int, metavar="NUMBER", help="The version to go back to.")
        super().add_own_arguments(parser)

    def act(self, model: Model, by: Actor, options: dict[str, Any]) -> str:
        goal = model.splits.filter(number=options["to"]).first() if options["to"] is not None else None
        if options["to"] is not None and goal is None:
            raise NotFound(f"{model} has no split {options['to']}.")
        number = options["to_version"]
        version = version_numbered(model, number) if number is not None else None
        split = roll_back(model=model, to_split=goal, to_version=version, reason=options["reason"], by=by)
        return outcome(wait_until_settled(split, tell=self.print_now, by=by))
