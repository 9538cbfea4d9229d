from typing import Any

from django.core.management.base import CommandParser

from registry.catalogue.models import Model
from registry.kit.actors import Actor
from registry.management.person_command import PersonCommand
from registry.management.share_words import add_share_words, shares_of
from registry.traffic.selectors import request_url
from registry.traffic.services import ask_for_split


class Command(PersonCommand):
    help = (
        "Ask for a split that another person approves, such as: "
        "ask_split fraud 3=90 4=10 --as ann --reason 'try 4'."
    )

    def add_own_arguments(self, parser: CommandParser) -> None:
        add_share_words(parser)
        super().add_own_arguments(parser)

    def act(self, model: Model, by: Actor, options: dict[str, Any]) -> str:
        asked = ask_for_split(model=model, **shares_of(model, options), comment=options["reason"], by=by)
        return f"{asked} waits for an approver at {request_url(asked)}"
