from registry.kit.actors import Actor
from registry.management.request_command import RequestCommand
from registry.traffic.models import SplitRequest
from registry.traffic.services import reject_request


class Command(RequestCommand):
    help = "Say no to what somebody else asked for, and why."

    def decide(self, request: SplitRequest, reason: str, by: Actor) -> str:
        return f"{request} is {reject_request(request=request, reason=reason, by=by).status}."
