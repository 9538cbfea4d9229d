"""Helpers for commands about splits: parse shares such as 3=90 4=10, and wait until a split is current."""

import time
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from registry.catalogue.models import Model, Version
from registry.catalogue.selectors import version_numbered
from registry.kit.actors import Actor
from registry.traffic.models import Split
from registry.traffic.selectors import waiting_for
from registry.traffic.services import settle_waiting_splits
from registry.traffic.transitions import Status

_LOOK_EVERY_S = 0.25
_LONGER_S = 15.0  # extra time, in case no process expires the split at the limit


def add_share_arguments(parser: CommandParser) -> None:
    parser.add_argument("arms", nargs="+", metavar="VERSION=PERCENT", help="Shares that add up to 100 %%.")
    parser.add_argument("--shadow", action="append", default=[], metavar="VERSION=PERCENT")
    parser.add_argument(
        "--expect", type=int, metavar="NUMBER", help="Refuse if the newest split has a different number."
    )


def shares_of(model: Model, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the shares as keyword arguments for the services."""
    return {
        "arms": _shares(model, options["arms"]),
        "shadows": _shares(model, options["shadow"]),
        "expected_revision": options["expect"],
    }


def _shares(model: Model, words: list[str]) -> dict[Version, int]:
    """Read `4=12.5` as version 4 and 1,250 basis points."""
    shares = {}
    for word in words:
        number, _, percent = word.partition("=")
        try:
            version, share = int(number), Decimal(percent) * 100
            if share != int(share):
                raise CommandError(f"{word!r} has too many decimals; a share is a multiple of 0.01 %.")
        except (ValueError, ArithmeticError):
            raise CommandError(f"{word!r} is not a share; write VERSION=PERCENT, such as 4=12.5.") from None
        shares[version_numbered(model, version)] = int(share)
    return shares


def wait_until_settled(split: Split, *, tell: Callable[[str], None], by: Actor) -> Split:
    """Wait until the split is current or expired, and return it; Ctrl-C ends only the wait."""
    gives_up_at = time.monotonic() + settings.WARM_LIMIT_S + _LONGER_S
    last_sentence = ""
    try:
        while split.status == Status.WAITING and time.monotonic() < gives_up_at:
            waiting = waiting_for(split)
            if waiting is not None and waiting.sentence != last_sentence:
                last_sentence = waiting.sentence
                tell(f"{split} is {waiting.summary}. Press Ctrl-C to stop watching.")
            time.sleep(_LOOK_EVERY_S)
            settle_waiting_splits(by=by)
            split = Split.objects.select_related("model").get(pk=split.pk)
    except KeyboardInterrupt:
        tell(f"{split} is still waiting.")
    return split


def outcome(split: Split) -> str:
    """Describe in one sentence how the split ended."""
    if split.status == Status.EXPIRED:
        return f"{split} expired; its audit record says why. The live split has not changed."
    return f"{split} is {split.status}."
