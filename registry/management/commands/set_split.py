from decimal import Decimal
from typing import Any

from django.core.management.base import CommandError, CommandParser

from registry.catalogue.models import Model, Version
from registry.catalogue.selectors import version_numbered
from registry.management.model_command import ModelCommand
from registry.management.waiting import outcome, wait_until_settled
from registry.record.actors import Actor
from registry.traffic.services import set_split


class Command(ModelCommand):
    help = (
        "Set which versions of a Model get which share, such as: set_split fraud 3=90 4=10 --reason 'try 4'."
    )

    def add_own_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("arms", nargs="+", metavar="VERSION=PERCENT", help="Shares that make 100 %%.")
        parser.add_argument("--shadow", action="append", default=[], metavar="VERSION=PERCENT")
        parser.add_argument(
            "--expect", type=int, metavar="NUMBER", help="Refuse if another split is the newest."
        )
        super().add_own_arguments(parser)

    def act(self, model: Model, by: Actor, options: dict[str, Any]) -> str:
        split = set_split(
            model=model,
            arms=_shares(model, options["arms"]),
            shadows=_shares(model, options["shadow"]),
            reason=options["reason"],
            expected_revision=options["expect"],
            by=by,
        )
        return outcome(wait_until_settled(split, tell=self.tell, by=by))


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
