from typing import Any

from django.core.management.base import BaseCommand

from roundhouse import launch
from roundhouse.process import become


class Command(BaseCommand):
    help = "Run a Celery worker."

    def handle(self, *_: Any, **__: Any) -> None:
        launch.use_own_scratch_folder()
        become(*launch.worker())
