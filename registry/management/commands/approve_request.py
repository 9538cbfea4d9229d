from registry.kit.actors import Actor
from registry.management.base import RequestCommand
from registry.management.splits import outcome, wait_until_settled
from registry.traffic.models import SplitRequest
from registry.traffic.services import approve_request


class Command(RequestCommand):
    help = "Approve another person's request; its split is written immediately."

    def decide(self, request: SplitRequest, reason: str, by: Actor) -> str:
        split = approve_request(request=request, reason=reason, by=by)
        settled = wait_until_settled(split, tell=self.print_now, by=self.machine_actor())
        return f"{request} is approved. {outcome(settled)}"
