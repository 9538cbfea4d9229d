from typing import Any

from django.core.management.base import CommandParser

from registry.catalogue.models import Model
from registry.kit.actors import Actor
from registry.management.base import PersonCommand
from registry.management.splits import add_share_arguments, shares_of
from registry.traffic.selectors import request_url
from registry.traffic.services import ask_for_split


class Command(PersonCommand):
    help = (
        "Request a split, for a second person to approve. Example: "
        "ask_split fraud 3=90 4=10 --as ann --reason 'try 4'."
    )

    def add_own_arguments(self, parser: CommandParser) -> None:
        add_share_arguments(parser)
        super().add_own_arguments(parser)

    def act(self, model: Model, by: Actor, options: dict[str, Any]) -> str:
        request = ask_for_split(model=model, **shares_of(model, options), comment=options["reason"], by=by)
        return f"{request} is waiting for an approver at {request_url(request)}"
