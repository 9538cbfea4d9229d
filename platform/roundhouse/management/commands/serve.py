import logging
import os
import sys
import threading
import time
from http.client import HTTPConnection
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from roundhouse import command_lines, first_run
from roundhouse.supervisor import Child, Supervisor, port_problem


class Command(BaseCommand):
    help = "Prepare the database, then run the web server, a worker and beat until Ctrl-C."
    requires_migrations_checks = False

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--demo",
            action="store_true",
            help="Also register the example models, and save the credentials in the data folder.",
        )

    def handle(self, *_: Any, demo: bool, **__: Any) -> None:
        if demo and "ROUNDHOUSE_LOG_LEVEL" not in os.environ:
            os.environ["ROUNDHOUSE_LOG_LEVEL"] = (
                "warning"  # for the children: the credentials must stay in sight
            )
            logging.getLogger().setLevel(logging.WARNING)
        if demo:  # for requests that name no Model
            os.environ.setdefault("ROUNDHOUSE_DEFAULT_MODEL", first_run.DEFAULT_MODEL)
            os.environ.setdefault("ROUNDHOUSE_DEFAULT_MODELS", first_run.DEFAULT_MODELS)
        for port in filter(None, (settings.PORT, settings.GRPC_PORT)):
            # Our processes share gRPC's port, so a second server would join it unnoticed.
            if problem := port_problem(settings.BIND, port):
                raise CommandError(problem)
        try:
            call_command("migrate", verbosity=0, interactive=False)
            welcome = first_run.prepare_demo() if demo else first_run.prepare()
        except (OSError, DatabaseError) as error:
            raise CommandError(first_run.explain_failure(error)) from None

        command_lines.set_temporary_folder()
        # In a thread, and only once the server is ready: commands pasted earlier would fail.
        greeter = threading.Thread(target=self._greet_when_ready, args=(welcome,), daemon=True)
        sys.exit(
            Supervisor([Child(name, command_lines.supervised(name)) for name in command_lines.SERVICES]).run(
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
