"""The base of commands that decide one request of a Model."""

from typing import Any

from django.core.management.base import CommandParser

from registry.catalogue.models import Model
from registry.errors import NotFound
from registry.kit.actors import Actor
from registry.management.person_command import PersonCommand
from registry.traffic.models import SplitRequest
from registry.traffic.selectors import requests_for


class RequestCommand(PersonCommand):
    """Finds the request and lets `decide` do its work."""

    def add_own_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("number", type=int, help="The request; list_requests shows them.")
        super().add_own_arguments(parser)

    def act(self, model: Model, by: Actor, options: dict[str, Any]) -> str:
        request = requests_for(by).filter(model=model, pk=options["number"]).first()
        if request is None:
            raise NotFound(
                f"{model} has no request {options['number']}; list_requests shows those there are."
            )
        return self.decide(request, options["reason"], by)

    def decide(self, request: SplitRequest, reason: str, by: Actor) -> str:
        """Do it and return what to tell."""
        raise NotImplementedError
