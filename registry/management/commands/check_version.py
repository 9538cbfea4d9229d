from typing import Any

from registry.catalogue.models import Version
from registry.intake.checklist.services import ask_check
from registry.kit.actors import Actor
from registry.management.base import VersionCommand


class Command(VersionCommand):
    help = "Have a worker check a version, for the first time or again."

    def act_on(self, version: Version, by: Actor, options: dict[str, Any]) -> str:
        ask_check(version=version, by=by)
        return f"A worker will check {version}; its page shows each step."
