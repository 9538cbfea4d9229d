from typing import Any

from django.core.management.base import CommandParser

from registry.catalogue.models import Model
from registry.kit.actors import Actor
from registry.management.base import ModelCommand
from registry.traffic.services import stop_model


class Command(ModelCommand):
    help = "Stop a Model: callers get an error with your text."

    def add_own_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--text", required=True, help="The text that callers get.")

    def act(self, model: Model, by: Actor, options: dict[str, Any]) -> str:
        stop_model(model=model, text=options["text"], by=by)
        return f"{model} is stopped."
