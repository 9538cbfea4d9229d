from registry.kit.actors import Actor
from registry.management.base import RequestCommand
from registry.traffic.models import SplitRequest
from registry.traffic.services import reject_request


class Command(RequestCommand):
    help = "Reject another person's request."

    def decide(self, request: SplitRequest, reason: str, by: Actor) -> str:
        return f"{request} is {reject_request(request=request, reason=reason, by=by).status}."
