from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from roundhouse import command_lines
from roundhouse.process import exec_module
from roundhouse.supervisor import port_problem


class Command(BaseCommand):
    help = "Run only the web server (a separate service in production; `serve` runs it with the others)."

    def handle(self, *_: Any, **__: Any) -> None:
        if problem := port_problem(settings.BIND, settings.PORT):
            raise CommandError(problem)
        exec_module(*command_lines.web())
