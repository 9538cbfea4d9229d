import sys
import threading
import time
from http.client import HTTPConnection
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from roundhouse import first_run, launch
from roundhouse.supervisor import Child, Supervisor, port_problem


class Command(BaseCommand):
    help = "Prepare the database, then run web server, worker and beat until Ctrl-C."
    requires_migrations_checks = False

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--demo", action="store_true", help="Register the example models and keep the credentials."
        )

    def handle(self, *_: Any, demo: bool, **__: Any) -> None:
        for port in filter(None, (settings.PORT, settings.GRPC_PORT)):
            # gRPC's port is shared between our processes, so a second server would join it and nobody would notice.
            if problem := port_problem(settings.BIND, port):
                raise CommandError(problem)
        try:
            call_command("migrate", verbosity=0, interactive=False)
            welcome = first_run.prepare_demo() if demo else first_run.prepare()
        except (OSError, DatabaseError) as error:
            raise CommandError(first_run.why_not_prepared(error)) from None

        launch.use_own_scratch_folder()
        # From a thread, and only once it is true: lines pasted before that would fail.
        greeter = threading.Thread(target=self._greet_when_ready, args=(welcome,), daemon=True)
        sys.exit(
            Supervisor([Child(name, launch.supervised(name)) for name in launch.SERVICES]).run(
                on_started=greeter.start
            )
        )

    def _greet_when_ready(self, welcome: str) -> None:
        while not _is_ready():
            time.sleep(0.1)
        self.stdout.write(welcome)
        self.stdout.flush()


def _is_ready() -> bool:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.BIND, settings.BIND)  # noqa: S104
    connection = HTTPConnection(host, settings.PORT, timeout=2)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
