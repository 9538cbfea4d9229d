from datetime import UTC
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from registry.access.policies import command_actor
from registry.catalogue.selectors import model_named
from registry.errors import RoundhouseError
from registry.traffic.models import SplitRequest
from registry.traffic.request_gates import gates_of
from registry.traffic.request_transitions import Status
from registry.traffic.selectors import requests_for, told_shares

_MOST = 50


class Command(BaseCommand):
    help = (
        f"List the open approval requests with their gates; with --all also decided ones, the newest {_MOST}."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("model", nargs="?", help="Only this Model's.")
        parser.add_argument("--all", action="store_true", help="Decided requests, too.")

    def handle(self, *_: Any, model: str | None, **options: Any) -> None:
        by = command_actor("list_requests")
        requests = requests_for(by)
        try:
            if model is not None:
                requests = requests.filter(model=model_named(model, by))
        except RoundhouseError as error:
            raise CommandError(str(error)) from None
        listed = requests[:_MOST] if options["all"] else requests.filter(status=Status.OPEN)
        lines = [line for request in listed for line in _lines(request)]
        self.stdout.write(
            "\n".join(lines)
            or ("There are no requests." if options["all"] else "There are no open requests.")
        )


def _lines(request: SplitRequest) -> list[str]:
    head = (
        f"{request}: {request.status}. {request.asked_by} asked on {request.asked_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC "
        f"for {told_shares(request)}: {request.comment}"
    )
    decision = [f"  {request.decided_by or 'Roundhouse'}: {request.decision}"] if request.decision else []
    return [
        head,
        *decision,
        *(f"  {gate['name']} {gate['outcome']}: {gate['sentence']}" for gate in gates_of(request)),
    ]
