"""Base classes for management commands, which call the same services as the admin and the API."""

import sys
from collections.abc import Mapping
from getpass import getpass
from typing import Any

from axes.utils import reset
from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.http import HttpRequest

from registry.access.limits import CallerLimits
from registry.access.policies import actor_from_user, command_actor
from registry.catalogue.models import Model, Version
from registry.catalogue.selectors import model_named, version_numbered
from registry.errors import NotFound, RoundhouseError
from registry.kit.actors import Actor, Source
from registry.traffic.models import SplitRequest
from registry.traffic.selectors import requests_for

_HERE = "127.0.0.1"  # wrong passwords are counted by name and address, as on the login page


class ServiceCommand(BaseCommand):
    """Prints what `run` returns. If the service refuses, the exit status is 1."""

    def handle(self, *_: Any, **options: Any) -> None:
        try:
            self.stdout.write(self.run(options))
        except RoundhouseError as error:
            raise CommandError(str(error)) from None

    def run(self, options: dict[str, Any]) -> str:
        raise NotImplementedError

    def machine_actor(self) -> Actor:
        return command_actor(type(self).__module__.rpartition(".")[2])

    def print_now(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()


class ModelCommand(ServiceCommand):
    """Does one thing to one Model."""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("model", help="The Model's name.")
        self.add_own_arguments(parser)

    def add_own_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--reason", required=True, help="The reason; recorded with the change.")

    def run(self, options: dict[str, Any]) -> str:
        by = self.actor(options)
        return self.act(model_named(options["model"], by), by, options)

    def actor(self, options: dict[str, Any]) -> Actor:
        return self.machine_actor()

    def act(self, model: Model, by: Actor, options: dict[str, Any]) -> str:
        """Call the service and return the message."""
        raise NotImplementedError


class VersionCommand(ModelCommand):
    """Does one thing to one version."""

    needs_reason = False

    def add_own_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("number", type=int, help="The version.")
        if self.needs_reason:
            super().add_own_arguments(parser)

    def act(self, model: Model, by: Actor, options: dict[str, Any]) -> str:
        return self.act_on(version_numbered(model, options["number"]), by, options)

    def act_on(self, version: Version, by: Actor, options: dict[str, Any]) -> str:
        """Call the service and return the message."""
        raise NotImplementedError


class PersonCommand(ModelCommand):
    """Acts with the rights of a person's account, so that an approval needs two accounts."""

    def add_own_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--as", required=True, dest="username", metavar="NAME", help="Your user name.")
        parser.add_argument(
            "--password-stdin", action="store_true", help="Read your password from standard input."
        )
        super().add_own_arguments(parser)

    def actor(self, options: dict[str, Any]) -> Actor:
        name = options["username"]
        user = _authenticated(name, _password(name, options["password_stdin"]))
        return actor_from_user(user, Source.COMMAND)


class RequestCommand(PersonCommand):
    """Decides one approval request of a Model."""

    def add_own_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("number", type=int, help="The request's number, from list_requests.")
        super().add_own_arguments(parser)

    def act(self, model: Model, by: Actor, options: dict[str, Any]) -> str:
        request = requests_for(by).filter(model=model, pk=options["number"]).first()
        if request is None:
            raise NotFound(f"{model} has no request {options['number']}; list_requests shows all requests.")
        return self.decide(request, options["reason"], by)

    def decide(self, request: SplitRequest, reason: str, by: Actor) -> str:
        """Call the service and return the message."""
        raise NotImplementedError


def add_limit_flags(parser: CommandParser) -> None:
    parser.add_argument(
        "--rate-per-minute", type=int, metavar="N", help="Requests per minute. Default: no limit."
    )
    parser.add_argument(
        "--concurrency",
        type=int,
        metavar="N",
        help="Concurrent requests, across all web processes. Default: no limit.",
    )
    parser.add_argument(
        "--exact",
        action="store_true",
        help="Strict limit: every request checks the shared counter, which is slower.",
    )


def limits_of(options: Mapping[str, Any]) -> CallerLimits:
    return CallerLimits(options["rate_per_minute"], options["concurrency"], options["exact"])


def _password(name: str, from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise CommandError(
            "There is no terminal to read the password from; pipe it in and use --password-stdin."
        )
    return getpass(f"Password for {name}: ")


def _authenticated(name: str, password: str) -> User:
    request = HttpRequest()
    request.META["REMOTE_ADDR"] = _HERE
    user = authenticate(request, username=name, password=password)
    if not isinstance(user, User):
        raise CommandError(
            f"Wrong password, or {name} is not an active account, or it is locked after too many wrong passwords."
        )
    reset(username=name, ip=_HERE)
    return user
