from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from roundhouse import launch
from roundhouse.process import become
from roundhouse.supervisor import port_problem


class Command(BaseCommand):
    help = "Run the web server alone (a service of its own in production; `serve` runs it with the others)."

    def handle(self, *_: Any, **__: Any) -> None:
        if problem := port_problem(settings.BIND, settings.PORT):
            raise CommandError(problem)
        become(*launch.web())
