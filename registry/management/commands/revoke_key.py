from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from registry.access.key_text import prefix_of
from registry.access.models import ApiKey
from registry.access.policies import command_actor
from registry.access.services import revoke_key
from registry.errors import RoundhouseError


class Command(BaseCommand):
    help = "Revoke an API key. Every process refuses it within a minute."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "key",
            help="Its prefix: the 8 characters after `rh_`. The whole key works too, but stays in your shell's history.",
        )
        parser.add_argument("--reason", default="", help="Why; kept in the audit record.")

    def handle(self, *_: Any, key: str, reason: str, **__: Any) -> None:
        prefix = prefix_of(key) or key.removeprefix("rh_")[:8]
        found = ApiKey.objects.filter(prefix=prefix).first()
        if found is None:
            raise CommandError(f"There is no key with the prefix {prefix}.")
        try:
            revoke_key(key=found, reason=reason, by=command_actor("revoke_key"))
        except RoundhouseError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"{found} is revoked; every process refuses it within a minute.")
