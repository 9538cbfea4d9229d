from typing import Any

from django.core.management.base import CommandParser

from registry.catalogue.models import Model
from registry.catalogue.selectors import version_numbered
from registry.intake.checklist.services import ask_check
from registry.kit.actors import Actor
from registry.management.model_command import ModelCommand


class Command(ModelCommand):
    help = "Have a worker check a version, for the first time or again."

    def add_own_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("number", type=int, help="The version.")

    def act(self, model: Model, by: Actor, options: dict[str, Any]) -> str:
        version = version_numbered(model, options["number"])
        ask_check(version=version, by=by)
        return f"A worker was asked to check {version}; its page shows each step."
