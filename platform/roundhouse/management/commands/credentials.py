from typing import Any

from django.core.management.base import BaseCommand, CommandError

from roundhouse import first_run


class Command(BaseCommand):
    help = "Print the demo's accounts, API key and first commands again."

    def handle(self, *_: Any, **__: Any) -> None:
        welcome = first_run.saved_welcome()
        if welcome is None:
            raise CommandError(
                "No credentials are saved for this database: only `serve --demo` saves them. "
                "Reset a password with `manage.py first_admin NAME`, and create a key with `manage.py issue_key`."
            )
        self.stdout.write(welcome)
