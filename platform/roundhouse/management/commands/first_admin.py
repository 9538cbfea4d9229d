from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from registry.access.policies import Role, command_actor
from roundhouse.first_run import create_or_reset_person


class Command(BaseCommand):
    help = "Create an account with the roles admin and operator, or reset its password. Prints the password once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")

    def handle(self, *_: Any, name: str, **__: Any) -> None:
        password = create_or_reset_person(name, [Role.OPERATOR, Role.ADMIN], command_actor("first_admin"))
        self.stdout.write(f"{name} / {password}")
