from typing import Any

from registry.catalogue.models import Model
from registry.kit.actors import Actor
from registry.management.base import ModelCommand
from registry.traffic.services import start_model


class Command(ModelCommand):
    help = "Start a stopped Model: it serves its current split again."

    def act(self, model: Model, by: Actor, options: dict[str, Any]) -> str:
        start_model(model=model, reason=options["reason"], by=by)
        return f"{model} has been started."
