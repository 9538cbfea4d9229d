from typing import Any

from django.core.management.base import BaseCommand

from roundhouse import launch
from roundhouse.process import become


class Command(BaseCommand):
    help = "Run beat, which starts periodic work. Several may run; one leads."

    def handle(self, *_: Any, **__: Any) -> None:
        become(*launch.beat())
