from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from registry.access.policies import command_actor
from registry.errors import RoundhouseError
from registry.record.deliveries import resend
from registry.record.models import Delivery


class Command(BaseCommand):
    help = "Send a delivery again that was made or given up."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("delivery", type=int, help="Its number.")

    def handle(self, *_: Any, delivery: int, **__: Any) -> None:
        found = Delivery.objects.filter(pk=delivery).first()
        if found is None:
            raise CommandError(f"There is no delivery {delivery}.")
        try:
            resend(found, by=command_actor("resend_delivery"))
        except RoundhouseError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"Delivery {delivery} is sent again.")
