"""Reasons that a person gave before, offered again in the form of the same verb."""

from registry.kit.actors import Actor
from registry.record.selectors import past_reasons

# The audit actions of each verb; a verb that is not listed has the name of its action.
_ACTIONS = {
    "stop": ["stop_model"],
    "start": ["start_model"],
    "freeze": ["freeze_model"],
    "unfreeze": ["unfreeze_model"],
    "split": ["set_split", "ask_for_split"],
    "a-b": ["set_split", "ask_for_split"],
    "roll-back": ["roll_back"],
    "approve": ["approve_request"],
    "reject": ["reject_request"],
    "withdraw": ["withdraw_request"],
    "one-person": ["set_approval_rule"],
    "two-people": ["set_approval_rule"],
    "move": ["move_alias"],
    "retire": ["retire_alias"],
    "serving": ["change_serving"],
    "clear": ["clear_crashes"],
    "archive": ["archive_version"],
    "unarchive": ["unarchive_version"],
}


def reasons_given_before(by: Actor, verb: str) -> list[str]:
    return past_reasons(by, _ACTIONS.get(verb, [verb]))
