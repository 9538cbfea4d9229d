from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import CommandParser

from registry.access.models import ApiKey
from registry.catalogue.models import Model
from registry.catalogue.services import guard_alias
from registry.errors import NotFound
from registry.kit.actors import Actor
from registry.management.model_command import ModelCommand


class Command(ModelCommand):
    help = "Let only some people and keys move an alias of a Model; who was named before is not any more."

    def add_own_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("alias", help="The alias, without @; there may be none of this name yet.")
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
        named = [*guard.people.all(), *guard.keys.all()]
        return f"{model}@{guard.name} is moved by {', '.join(map(str, named))} and nobody else."


def _person(name: str) -> User:
    found = User.objects.filter(username=name).first()
    if found is None:
        raise NotFound(f"There is nobody named {name!r}.")
    return found


def _key(number: int) -> ApiKey:
    found = ApiKey.objects.filter(pk=number).first()
    if found is None:
        raise NotFound(f"There is no key with the number {number}.")
    return found
