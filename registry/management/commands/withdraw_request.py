from registry.kit.actors import Actor
from registry.management.base import RequestCommand
from registry.traffic.models import SplitRequest
from registry.traffic.services import withdraw_request


class Command(RequestCommand):
    help = "Withdraw your request."

    def decide(self, request: SplitRequest, reason: str, by: Actor) -> str:
        return f"{request} is {withdraw_request(request=request, reason=reason, by=by).status}."
