from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from registry.access.policies import Role, command_actor
from roundhouse.first_run import make_person


class Command(BaseCommand):
    help = "Make a person who administers and operates, or give one a new password; prints the password once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")

    def handle(self, *_: Any, name: str, **__: Any) -> None:
        password = make_person(name, [Role.OPERATOR, Role.ADMIN], command_actor("first_admin"))
        self.stdout.write(f"{name} / {password}")
