from typing import Any

from django.core.management.base import CommandParser

from registry.catalogue.models import Model
from registry.kit.actors import Actor
from registry.management.model_command import ModelCommand
from registry.traffic.services import stop_model


class Command(ModelCommand):
    help = "Stop a Model: it answers nobody, and callers get the text."

    def add_own_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--text", required=True, help="What callers are told.")

    def act(self, model: Model, by: Actor, options: dict[str, Any]) -> str:
        stop_model(model=model, text=options["text"], by=by)
        return f"{model} is stopped."
