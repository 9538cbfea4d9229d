from typing import Any

from registry.catalogue.models import Model
from registry.kit.actors import Actor
from registry.management.base import ModelCommand
from registry.traffic.services import reshuffle


class Command(ModelCommand):
    help = "Replace a Model's salt: every routing key gets a new random bucket."

    def act(self, model: Model, by: Actor, options: dict[str, Any]) -> str:
        reshuffle(model=model, reason=options["reason"], by=by)
        return f"Every routing key of {model} has a new random bucket."
