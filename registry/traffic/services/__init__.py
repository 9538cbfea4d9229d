"""Changes to splits, approvals and holds."""

from registry.traffic.services.approvals import (
    approve_request,
    ask_for_split,
    reject_request,
    set_approval_rule,
    set_or_ask,
    withdraw_request,
)
from registry.traffic.services.holds import freeze_model, start_model, stop_model, unfreeze_model
from registry.traffic.services.rollback import roll_back
from registry.traffic.services.splits import (
    expire_split,
    reshuffle,
    set_split,
    settle_split,
    settle_waiting_splits,
)

__all__ = [
    "approve_request",
    "ask_for_split",
    "expire_split",
    "freeze_model",
    "reject_request",
    "reshuffle",
    "roll_back",
    "set_approval_rule",
    "set_or_ask",
    "set_split",
    "settle_split",
    "settle_waiting_splits",
    "start_model",
    "stop_model",
    "unfreeze_model",
    "withdraw_request",
]
