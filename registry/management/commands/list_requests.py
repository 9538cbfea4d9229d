from datetime import UTC
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from registry.access.policies import command_actor
from registry.catalogue.selectors import model_named
from registry.errors import RoundhouseError
from registry.traffic.gates import gates_of
from registry.traffic.models import SplitRequest
from registry.traffic.selectors import describe_shares, requests_for
from registry.traffic.transitions import RequestStatus

_MOST = 50


class Command(BaseCommand):
    help = f"List the requests that wait for a decision, with their gates; with --all also others, the newest {_MOST}."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("model", nargs="?", help="Only this Model's.")
        parser.add_argument("--all", action="store_true", help="Those that were decided, too.")

    def handle(self, *_: Any, model: str | None, **options: Any) -> None:
        by = command_actor("list_requests")
        found = requests_for(by)
        try:
            if model is not None:
                found = found.filter(model=model_named(model, by))
        except RoundhouseError as error:
            raise CommandError(str(error)) from None
        shown = found[:_MOST] if options["all"] else found.filter(status=RequestStatus.OPEN)
        lines = [line for request in shown for line in _told(request)]
        self.stdout.write(
            "\n".join(lines) or ("Nobody has asked." if options["all"] else "No request waits.")
        )


def _told(request: SplitRequest) -> list[str]:
    head = (
        f"{request}: {request.status}. {request.asked_by} asked on {request.asked_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC "
        f"for {describe_shares(request)}: {request.comment}"
    )
    decision = [f"  {request.decided_by or 'Roundhouse'}: {request.decision}"] if request.decision else []
    return [
        head,
        *decision,
        *(f"  {gate['name']} {gate['outcome']}: {gate['sentence']}" for gate in gates_of(request)),
    ]
