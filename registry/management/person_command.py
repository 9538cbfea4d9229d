"""The base of commands that a person does, not the machine: they say who they are, and prove it."""

import sys
from getpass import getpass
from typing import Any

from axes.utils import reset
from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from django.core.management.base import CommandError, CommandParser
from django.http import HttpRequest

from registry.access.policies import actor_from_user
from registry.kit.actors import Actor, Source
from registry.management.model_command import ModelCommand

_HERE = "127.0.0.1"  # wrong passwords are counted by name and address, as at the login page


class PersonCommand(ModelCommand):
    """Acts with the rights of an account, not with all of them, so that two people are two accounts."""

    def add_own_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--as", required=True, dest="username", metavar="NAME", help="Who you are.")
        parser.add_argument(
            "--password-stdin", action="store_true", help="Read your password from standard input."
        )
        super().add_own_arguments(parser)

    def actor(self, options: dict[str, Any]) -> Actor:
        name = options["username"]
        return actor_from_user(_known(name, _password(name, options["password_stdin"])), Source.COMMAND)


def _password(name: str, from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise CommandError("There is no terminal to ask for the password; pipe it in, with --password-stdin.")
    return getpass(f"Password of {name}: ")


def _known(name: str, password: str) -> User:
    request = HttpRequest()
    request.META["REMOTE_ADDR"] = _HERE
    user = authenticate(request, username=name, password=password)
    if not isinstance(user, User):
        raise CommandError(
            f"This is not the password of an active account named {name}, or it is locked after too many wrong ones."
        )
    reset(username=name, ip=_HERE)
    return user
