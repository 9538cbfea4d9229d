from typing import Any

from django.core.management.base import CommandParser

from registry.catalogue.models import Model
from registry.errors import ApprovalNeeded
from registry.kit.actors import Actor
from registry.management.model_command import ModelCommand
from registry.management.share_words import add_share_words, shares_of
from registry.management.waiting import outcome, wait_until_settled
from registry.traffic.services import set_split


class Command(ModelCommand):
    help = (
        "Set which versions of a Model get which share, such as: set_split fraud 3=90 4=10 --reason 'try 4'."
    )

    def add_own_arguments(self, parser: CommandParser) -> None:
        add_share_words(parser)
        super().add_own_arguments(parser)

    def act(self, model: Model, by: Actor, options: dict[str, Any]) -> str:
        try:
            split = set_split(model=model, **shares_of(model, options), reason=options["reason"], by=by)
        except ApprovalNeeded as error:
            raise ApprovalNeeded(f"{error} Ask with manage.py ask_split.") from None
        return outcome(wait_until_settled(split, tell=self.tell, by=by))
