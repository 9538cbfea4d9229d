from registry.kit.actors import Actor
from registry.management.request_command import RequestCommand
from registry.management.waiting import outcome, wait_until_settled
from registry.traffic.models import SplitRequest
from registry.traffic.services import approve_request


class Command(RequestCommand):
    help = "Approve what somebody else asked for: its split is written in the same moment."

    def decide(self, request: SplitRequest, reason: str, by: Actor) -> str:
        split = approve_request(request=request, reason=reason, by=by)
        settled = wait_until_settled(split, tell=self.tell, by=self.machine_actor())
        return f"{request} is approved. {outcome(settled)}"
