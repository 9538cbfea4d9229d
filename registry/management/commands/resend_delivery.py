from typing import Any

from django.core.management.base import CommandError, CommandParser

from registry.management.base import ServiceCommand
from registry.record.deliveries import resend
from registry.record.models import Delivery


class Command(ServiceCommand):
    help = "Resend a delivery that has arrived or failed."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("delivery", type=int, help="The delivery's number.")

    def run(self, options: dict[str, Any]) -> str:
        delivery = Delivery.objects.filter(pk=options["delivery"]).first()
        if delivery is None:
            raise CommandError(f"There is no delivery {options['delivery']}.")
        resend(delivery, by=self.machine_actor())
        return f"Delivery {delivery.pk} will be sent again."
