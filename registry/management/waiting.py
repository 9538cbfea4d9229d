"""Waits in a terminal for a split to become current, and says what it waits for."""

import time
from collections.abc import Callable

from django.conf import settings

from registry.kit.actors import Actor
from registry.traffic.models import Split
from registry.traffic.selectors import waiting_for
from registry.traffic.services import settle_waiting_splits
from registry.traffic.transitions import Status

_LOOK_EVERY_S = 0.25
_LONGER_S = 15.0  # processes give a split up at the limit; this is for the case that none does


def wait_until_settled(split: Split, *, tell: Callable[[str], None], by: Actor) -> Split:
    """Return the split as it became; still waiting only where somebody pressed Ctrl-C.

    It goes on waiting without us, so to interrupt this changes nothing.
    """
    gives_up_at = time.monotonic() + settings.WARM_LIMIT_S + _LONGER_S
    said = ""
    try:
        while split.status == Status.WAITING and time.monotonic() < gives_up_at:
            waiting = waiting_for(split)
            if waiting is not None and waiting.sentence != said:
                said = waiting.sentence
                tell(f"{split} is {waiting.summary}. Ctrl-C leaves it waiting.")
            time.sleep(_LOOK_EVERY_S)
            settle_waiting_splits(by=by)
            split = Split.objects.select_related("model").get(pk=split.pk)
    except KeyboardInterrupt:
        tell(f"{split} goes on waiting.")
    return split


def outcome(split: Split) -> str:
    """How it ended, in a sentence."""
    if split.status == Status.EXPIRED:
        return f"{split} was given up; the record says why. What was live stays."
    return f"{split} is {split.status}."
