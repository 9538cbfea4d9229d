from typing import Any

from django.core.management.base import CommandError, CommandParser

from registry.access.key_ring import prefix_of
from registry.access.models import ApiKey
from registry.access.services import revoke_key
from registry.management.base import ServiceCommand


class Command(ServiceCommand):
    help = "Revoke an API key. All processes refuse it within a minute."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "key",
            help="Its prefix: the 8 characters after `rh_`. The whole key works too, but stays in your shell's history.",
        )
        parser.add_argument("--reason", default="", help="The reason; recorded in the audit record.")

    def run(self, options: dict[str, Any]) -> str:
        text = options["key"]
        prefix = prefix_of(text) or text.removeprefix("rh_")[:8]
        key = ApiKey.objects.filter(prefix=prefix).first()
        if key is None:
            raise CommandError(f"There is no key with the prefix {prefix}.")
        revoke_key(key=key, reason=options["reason"], by=self.machine_actor())
        return f"{key} has been revoked; all processes will refuse it within a minute."
