from typing import Any

from django.core.management.base import CommandParser

from registry.management.base import ServiceCommand
from registry.record.subscriptions import renew_secret, subscription_named


class Command(ServiceCommand):
    help = "Replace the signing secret of a subscription, and print the new one."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("subscription", help="The subscription's name.")

    def run(self, options: dict[str, Any]) -> str:
        subscription = subscription_named(options["subscription"])
        return renew_secret(subscription=subscription, by=self.machine_actor())
