from typing import Any

from django.core.management.base import CommandParser

from registry.catalogue.models import Model
from registry.errors import NotFound
from registry.management.model_command import ModelCommand
from registry.management.waiting import outcome, wait_until_settled
from registry.record.actors import Actor
from registry.traffic.services import roll_back


class Command(ModelCommand):
    help = "Set the shares of an earlier split again; the one before the current unless --to names another."

    def add_own_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--to", type=int, metavar="NUMBER", help="The split to go back to.")
        super().add_own_arguments(parser)

    def act(self, model: Model, by: Actor, options: dict[str, Any]) -> str:
        goal = model.splits.filter(number=options["to"]).first() if options["to"] is not None else None
        if options["to"] is not None and goal is None:
            raise NotFound(f"{model} has no split {options['to']}.")
        split = roll_back(model=model, to_split=goal, reason=options["reason"], by=by)
        return outcome(wait_until_settled(split, tell=self.tell, by=by))
