"""What the gates say about a request."""

from registry.traffic.gates import gates_for
from registry.traffic.models import SplitRequest
from registry.traffic.request_transitions import Status
from registry.traffic.selectors import asked_shares
from registry.traffic.services.splits import plan_for


def gates_of(request: SplitRequest) -> list[dict[str, str]]:
    """As they stand now while it is open; of one that is decided, as they stood when it was approved."""
    if request.status != Status.OPEN:
        kept: list[dict[str, str]] = request.gates
        return kept
    arms, _shadows = asked_shares(request)
    return [gate.told() for gate in gates_for(plan_for(request.model, arms))]
