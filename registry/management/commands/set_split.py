from typing import Any

from django.core.management.base import CommandParser

from registry.catalogue.models import Model
from registry.errors import ApprovalNeeded
from registry.kit.actors import Actor
from registry.management.base import ModelCommand
from registry.management.splits import (
    add_share_arguments,
    outcome,
    shares_of,
    wait_until_settled,
)
from registry.traffic.services import set_split


class Command(ModelCommand):
    help = "Set the share of each version of a Model, such as: set_split fraud 3=90 4=10 --reason 'try 4'."

    def add_own_arguments(self, parser: CommandParser) -> None:
        add_share_arguments(parser)
        super().add_own_arguments(parser)

    def act(self, model: Model, by: Actor, options: dict[str, Any]) -> str:
        try:
            split = set_split(model=model, **shares_of(model, options), reason=options["reason"], by=by)
        except ApprovalNeeded as error:
            raise ApprovalNeeded(f"{error} Use manage.py ask_split.") from None
        return outcome(wait_until_settled(split, tell=self.print_now, by=by))
