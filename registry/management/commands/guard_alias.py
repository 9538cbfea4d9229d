from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import CommandParser

from registry.access.models import ApiKey
from registry.catalogue.models import Model
from registry.catalogue.services import guard_alias
from registry.errors import NotFound
from registry.kit.actors import Actor
from registry.management.base import ModelCommand


class Command(ModelCommand):
    help = "Allow only these people and keys to move an alias of a Model. They replace any set earlier."

    def add_own_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("alias", help="The alias, without @; it need not exist yet.")
        parser.add_argument(
            "--person", action="append", default=[], metavar="NAME", help="A person's user name; repeatable."
        )
        parser.add_argument(
            "--key", action="append", default=[], type=int, metavar="ID", help="A key's number; repeatable."
        )
        super().add_own_arguments(parser)

    def act(self, model: Model, by: Actor, options: dict[str, Any]) -> str:
        guard = guard_alias(
            model=model,
            name=options["alias"],
            people=[_person(name) for name in options["person"]],
            keys=[_key(number) for number in options["key"]],
            reason=options["reason"],
            by=by,
        )
        movers = [*guard.people.all(), *guard.keys.all()]
        return f"Only {', '.join(map(str, movers))} can move {model}@{guard.name}."


def _person(name: str) -> User:
    user = User.objects.filter(username=name).first()
    if user is None:
        raise NotFound(f"There is no person named {name!r}.")
    return user


def _key(number: int) -> ApiKey:
    key = ApiKey.objects.filter(pk=number).first()
    if key is None:
        raise NotFound(f"There is no key with the number {number}.")
    return key
