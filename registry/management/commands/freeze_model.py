from typing import Any

from registry.catalogue.models import Model
from registry.kit.actors import Actor
from registry.management.base import ModelCommand
from registry.traffic.services import freeze_model


class Command(ModelCommand):
    help = "Freeze a Model: no version may gain live share."

    def act(self, model: Model, by: Actor, options: dict[str, Any]) -> str:
        freeze_model(model=model, reason=options["reason"], by=by)
        return f"{model} is frozen."
