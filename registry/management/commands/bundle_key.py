import re
from typing import Any

from django.core.management.base import CommandError, CommandParser

from registry.intake.bundles.keys import own_key
from registry.management.base import ServiceCommand

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")


class Command(ServiceCommand):
    help = (
        "Print what another installation adds to ROUNDHOUSE_TRUSTED_BUNDLE_KEYS to import the bundles that are exported here."
        " It is a secret: whoever has it can sign bundles."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "name",
            help="What the other installation is to call this one, such as staging: a-z, 0-9, hyphens.",
        )

    def run(self, options: dict[str, Any]) -> str:
        if not _NAME.fullmatch(options["name"]):
            raise CommandError(
                "Use 1 to 64 lower-case letters, digits and inner hyphens for the name, such as staging."
            )
        key = own_key()
        self.stderr.write(f"This is the key {key.id}.")
        return f"{options['name']}={key.secret}"
