from typing import Any

from django.core.management.base import BaseCommand

from roundhouse import command_lines
from roundhouse.process import exec_module


class Command(BaseCommand):
    help = "Run a Celery worker."

    def handle(self, *_: Any, **__: Any) -> None:
        command_lines.set_temporary_folder()
        exec_module(*command_lines.worker())
