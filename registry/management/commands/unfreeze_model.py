from typing import Any

from registry.catalogue.models import Model
from registry.kit.actors import Actor
from registry.management.base import ModelCommand
from registry.traffic.services import unfreeze_model


class Command(ModelCommand):
    help = "Unfreeze a Model."

    def act(self, model: Model, by: Actor, options: dict[str, Any]) -> str:
        unfreeze_model(model=model, reason=options["reason"], by=by)
        return f"{model} is no longer frozen."
