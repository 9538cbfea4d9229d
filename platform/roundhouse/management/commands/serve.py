import logging
import os
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from http.client import HTTPConnection, HTTPException
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from registry.errors import RoundhouseError
from roundhouse import command_lines, first_run
from roundhouse.first_run import SampleRequest
from roundhouse.supervisor import Child, Supervisor, port_problem

_MISSING = {
    "examples": "it comes with a checkout of Roundhouse",
    "real": "fetch the public models first, with `make demo-real`",
}

_TRIES = 20


class Command(BaseCommand):
    help = "Prepare the database, then run the web server, a worker and beat until Ctrl-C."
    requires_migrations_checks = False

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--demo",
            nargs="?",
            const="examples",
            choices=first_run.DEMOS,
            help="Also register example models, and save the credentials in the data folder. `real`: the public models that"
            " `make demo-real` fetches.",
        )

    def handle(self, *_: Any, demo: str | None, **__: Any) -> None:
        if demo and not first_run.DEMOS[demo].folder.exists():
            raise CommandError(f"{first_run.DEMOS[demo].folder} is missing: {_MISSING[demo]}.")
        if demo and "ROUNDHOUSE_LOG_LEVEL" not in os.environ:
            os.environ["ROUNDHOUSE_LOG_LEVEL"] = (
                "warning"  # for the children: the credentials must stay in sight
            )
            logging.getLogger().setLevel(logging.WARNING)
        if demo:  # for requests that name no Model
            os.environ.setdefault("ROUNDHOUSE_DEFAULT_MODELS", first_run.DEMOS[demo].default_models)
        for port in filter(None, (settings.PORT, settings.GRPC_PORT)):
            # Our processes share gRPC's port, so a second server would join it unnoticed.
            if problem := port_problem(settings.BIND, port):
                raise CommandError(problem)
        try:
            call_command("migrate", verbosity=0, interactive=False)
            welcome = first_run.prepare_demo(demo, self._tell) if demo else first_run.prepare()
            samples = first_run.requests_to_answer(demo) if demo else []
            contents = first_run.contents_of_demo() if demo else []
        except RoundhouseError as error:  # the machine lacks what an example needs
            raise CommandError(str(error)) from None
        except (OSError, DatabaseError) as error:
            raise CommandError(first_run.explain_failure(error)) from None

        command_lines.set_temporary_folder()
        # In a thread, and only once the server is ready: commands pasted earlier would fail.
        greeter = threading.Thread(
            target=self._greet_when_ready, args=(welcome, samples, contents), daemon=True
        )
        sys.exit(
            Supervisor([Child(name, command_lines.supervised(name)) for name in command_lines.SERVICES]).run(
                on_started=greeter.start
            )
        )

    def _greet_when_ready(
        self, welcome: str, samples: Sequence[SampleRequest], contents: Sequence[SampleRequest]
    ) -> None:
        while _ask("GET", "/readyz")[0] != 200:
            time.sleep(0.1)
        self._tell(welcome)
        for sample in samples:
            status, answer = _ask("POST", sample.path, sample.body, sample.headers)
            how = {200: "answers", 0: "does not answer"}.get(status, f"answers with status {status}")
            self._tell(f"{sample.name} {how}:\n  {answer}\n" if answer else f"{sample.name} {how}.\n")
        statuses = [_send(content) for content in contents]
        if contents and max(statuses) < 300 and min(statuses) > 0:
            self._tell(
                f"Ten cases wait for people: log in as moderator, {settings.PUBLIC_URL}/admin/moderation/review/\n"
            )

    def _tell(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()


def _send(content: SampleRequest) -> int:
    """A report or an appeal is about a content that was sent a moment before, so its decision may not be written yet."""
    for _ in range(_TRIES):
        status, _text = _ask("POST", content.path, content.body, content.headers)
        if status not in (404, 409):
            break
        time.sleep(0.5)
    return status


def _ask(
    method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """Status and text of the answer; 0 if nothing answers, or not all of it arrives."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.BIND, settings.BIND)  # noqa: S104
    connection = HTTPConnection(host, settings.PORT, timeout=20)
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return response.status, response.read().decode()
    except (OSError, HTTPException):
        return 0, ""
    finally:
        connection.close()
