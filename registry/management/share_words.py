"""The words of commands that say a split: 3=90 4=10."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from django.core.management.base import CommandError, CommandParser

from registry.catalogue.models import Model, Version
from registry.catalogue.selectors import version_numbered


def add_share_words(parser: CommandParser) -> None:
    parser.add_argument("arms", nargs="+", metavar="VERSION=PERCENT", help="Shares that make 100 %%.")
    parser.add_argument("--shadow", action="append", default=[], metavar="VERSION=PERCENT")
    parser.add_argument("--expect", type=int, metavar="NUMBER", help="Refuse if another split is the newest.")


def shares_of(model: Model, options: Mapping[str, Any]) -> dict[str, Any]:
    """What the words say, as the services take it."""
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
                raise CommandError(f"{word!r} is finer than a hundredth of a percent.")
        except (ValueError, ArithmeticError):
            raise CommandError(f"{word!r} is no share; write VERSION=PERCENT, such as 4=12.5.") from None
        shares[version_numbered(model, version)] = int(share)
    return shares
