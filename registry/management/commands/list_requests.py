from datetime import UTC
from typing import Any

from django.core.management.base import CommandParser

from registry.catalogue.selectors import model_named
from registry.management.base import ServiceCommand
from registry.traffic.gates import gates_of
from registry.traffic.models import SplitRequest
from registry.traffic.selectors import describe_shares, requests_for
from registry.traffic.transitions import RequestStatus

_MOST = 50


class Command(ServiceCommand):
    help = f"List the open approval requests with their gates; with --all, the newest {_MOST}, including decided ones."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("model", nargs="?", help="Only this Model's requests.")
        parser.add_argument("--all", action="store_true", help="Include decided requests.")

    def run(self, options: dict[str, Any]) -> str:
        by = self.machine_actor()
        requests = requests_for(by)
        if options["model"] is not None:
            requests = requests.filter(model=model_named(options["model"], by))
        listed = requests[:_MOST] if options["all"] else requests.filter(status=RequestStatus.OPEN)
        lines = [line for request in listed for line in _lines(request)]
        nothing = "There are no requests." if options["all"] else "There are no open requests."
        return "\n".join(lines) or nothing


def _lines(request: SplitRequest) -> list[str]:
    head = (
        f"{request}: {request.status}. Requested by {request.asked_by} on {request.asked_at.astimezone(UTC):%Y-%m-%d %H:%M}"
        f" UTC: {describe_shares(request)} ({request.comment})"
    )
    decision = [f"  {request.decided_by or 'Roundhouse'}: {request.decision}"] if request.decision else []
    return [
        head,
        *decision,
        *(f"  {gate['name']} {gate['outcome']}: {gate['sentence']}" for gate in gates_of(request)),
    ]
