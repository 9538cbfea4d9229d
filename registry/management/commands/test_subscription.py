from typing import Any

from django.core.management.base import CommandParser

from registry.management.base import ServiceCommand
from registry.record.subscriptions import send_test, subscription_named


class Command(ServiceCommand):
    help = "Send a test event to a subscription."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("subscription", help="The subscription's name.")

    def run(self, options: dict[str, Any]) -> str:
        subscription = subscription_named(options["subscription"])
        delivery = send_test(subscription=subscription, by=self.machine_actor())
        return f"A test is being sent as delivery {delivery.pk}."
