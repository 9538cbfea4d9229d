from typing import Any

from django.core.management.base import BaseCommand

from roundhouse import command_lines
from roundhouse.process import exec_module


class Command(BaseCommand):
    help = "Run beat, which schedules periodic tasks. Several may run; one of them leads."

    def handle(self, *_: Any, **__: Any) -> None:
        exec_module(*command_lines.beat())
