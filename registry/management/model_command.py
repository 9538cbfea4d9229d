"""The base of commands that do one thing to one Model: the same services as the admin's buttons and the API."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from registry.access.policies import command_actor
from registry.catalogue.models import Model
from registry.catalogue.selectors import model_named
from registry.errors import RoundhouseError
from registry.kit.actors import Actor


class ModelCommand(BaseCommand):
    """Finds the Model, lets `act` do its work, and turns refusals into an exit status of 1."""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("model", help="The Model's name.")
        self.add_own_arguments(parser)

    def add_own_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--reason", required=True, help="Why; kept with the change.")

    def handle(self, *_: Any, model: str, **options: Any) -> None:
        by = self.actor(options)
        try:
            self.stdout.write(self.act(model_named(model, by), by, options))
        except RoundhouseError as error:
            raise CommandError(str(error)) from None

    def actor(self, options: dict[str, Any]) -> Actor:
        """Who acts: whoever may run commands here, unless a command asks for a person."""
        return self.machine_actor()

    def machine_actor(self) -> Actor:
        return command_actor(type(self).__module__.rpartition(".")[2])

    def tell(self, line: str) -> None:
        """Say at once how it goes."""
        self.stdout.write(line)
        self.stdout.flush()

    def act(self, model: Model, by: Actor, options: dict[str, Any]) -> str:
        """Do it and return what to tell."""
        raise NotImplementedError
