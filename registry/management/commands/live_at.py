import json
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from registry.catalogue.models import Model
from registry.kit.actors import Actor
from registry.management.base import ModelCommand
from registry.traffic.selectors import LiveAt, live_at


class Command(ModelCommand):
    help = "Show what was live for a Model at a past moment. Example: live_at fraud 2026-08-01T14:05:00."

    def add_own_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "moment", nargs="?", help="ISO 8601, in UTC unless it has a time zone. Default: now."
        )
        parser.add_argument("--json", action="store_true", help="Print one JSON object.")

    def act(self, model: Model, by: Actor, options: dict[str, Any]) -> str:
        live = live_at(model, _moment(options["moment"]))
        return _as_json(model, live) if options["json"] else _as_text(model, live)


def _moment(text: str | None) -> datetime:
    if text is None:
        return timezone.now()
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise CommandError(f"{text!r} is not a time; write it as 2026-08-01T14:05:00.") from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _as_text(model: Model, live: LiveAt) -> str:
    if live.split is None:
        lines = [f"At {live.at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC, nothing was live for {model}."]
    else:
        arms = ", ".join(f"version {arm.version} {arm.percent:g} %" for arm in live.arms)
        why = f"set by {live.split.made_by}: {live.split.reason}"
        lines = [
            f"At {live.at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC, {live.split} was live: {arms} ({why})."
        ]
    lines += [f"The Model was stopped: {live.stopped}"] if live.stopped else []
    lines += [f"The Model was frozen: {live.frozen}"] if live.frozen else []
    lines += [f"@{name} was version {number}." for name, number in live.aliases.items()]
    return "\n".join(lines)


def _as_json(model: Model, live: LiveAt) -> str:
    return json.dumps({
        "model": model.slug,
        "at": live.at.isoformat(),
        "split": live.split.number if live.split is not None else None,
        "arms": {str(arm.version): arm.share for arm in live.arms},
        "stopped": live.stopped,
        "frozen": live.frozen,
        "aliases": live.aliases,
    })  # fmt: skip
