"""The flags of commands that set limits."""

from collections.abc import Mapping
from typing import Any

from django.core.management.base import CommandParser

from registry.access.limits import Limits


def add_limit_flags(parser: CommandParser) -> None:
    parser.add_argument("--rate-per-minute", type=int, metavar="N", help="Requests a minute. Default: any.")
    parser.add_argument(
        "--concurrency",
        type=int,
        metavar="N",
        help="Requests at the same time, over all web processes. Default: any.",
    )
    parser.add_argument(
        "--exact",
        action="store_true",
        help="Count exactly: every request asks the shared counter, which costs a round trip.",
    )


def limits_of(options: Mapping[str, Any]) -> Limits:
    return Limits(options["rate_per_minute"], options["concurrency"], options["exact"])
