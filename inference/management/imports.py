"""What the commands that import one version have in common: they tell its checks, wait for its split, and say what is live."""

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from registry.access.policies import command_actor
from registry.catalogue.models import Version
from registry.intake.checklist.selectors import the_newest_run
from registry.kit.actors import Actor
from registry.management.splits import outcome, wait_until_settled
from registry.traffic.selectors import live_arms, open_requests, request_url, waiting_split
from registry.traffic.transitions import Status


class ImportCommand(BaseCommand):
    """Imports one version."""

    def actor(self) -> Actor:
        return command_actor(type(self).__module__.rpartition(".")[2])

    def report(self, version: Version) -> None:
        """Tell the steps of its check, wait until the engines are warm if it is in a waiting split, and tell the end."""
        model = version.model
        for line in the_newest_run(version).lines.all():
            reason = f": {line.reason}" if line.reason else ""
            self.stdout.write(f"  {line.get_step_display()} {line.state}{reason}")
        self._wait(version)
        is_live = any(arm.version == version.number for arm in live_arms(model))
        self.stdout.write(
            f"{model} version {version.number} is registered{' and live' if is_live else ' but not live'}."
        )
        request = open_requests(model).first()
        if not is_live and request is not None and str(version.number) in request.arms:
            self.stdout.write(
                f"{model} needs a second person's approval: request {request.pk} awaits approval at {request_url(request)}"
            )

    def _wait(self, version: Version) -> None:
        waiting = waiting_split(version.model)
        if waiting is not None and waiting.split.arms.filter(version=version).exists():
            settled = wait_until_settled(waiting.split, tell=self.tell, by=self.actor())
            if settled.status == Status.EXPIRED:
                raise CommandError(outcome(settled))

    def tell(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()


def read_object(path: Path | None, of: str) -> dict[str, Any]:
    """The JSON object in a file, which holds `of`; empty without a file."""
    if path is None:
        return {}
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise CommandError(f"{path} is not valid JSON: {error}.") from None
    if not isinstance(content, dict):
        raise CommandError(f"{path} must contain a JSON object with the fields of {of}.")
    return content
