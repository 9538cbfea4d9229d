from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from registry.access.policies import command_actor
from registry.record.models import Subscription
from registry.record.subscriptions import renew_secret


class Command(BaseCommand):
    help = (
        "Make another signing secret for a subscription and print it; the old one signs nothing from now on."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("subscription", help="Its name.")

    def handle(self, *_: Any, subscription: str, **__: Any) -> None:
        found = Subscription.objects.filter(name=subscription).first()
        if found is None:
            raise CommandError(f"There is no subscription {subscription}.")
        self.stdout.write(renew_secret(subscription=found, by=command_actor("renew_webhook_secret")))
