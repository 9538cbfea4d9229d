from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from registry.access.policies import command_actor
from registry.record.models import Subscription
from registry.record.subscriptions import send_test


class Command(BaseCommand):
    help = "Send a test event to a subscription."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("subscription", help="Its name.")

    def handle(self, *_: Any, subscription: str, **__: Any) -> None:
        found = Subscription.objects.filter(name=subscription).first()
        if found is None:
            raise CommandError(f"There is no subscription {subscription}.")
        delivery = send_test(subscription=found, by=command_actor("test_subscription"))
        self.stdout.write(f"A test is on its way as delivery {delivery.pk}.")
