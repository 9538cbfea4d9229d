from typing import Any

from registry.catalogue.models import Version
from registry.catalogue.services import unarchive_version
from registry.kit.actors import Actor
from registry.management.base import VersionCommand


class Command(VersionCommand):
    help = "Restore an archived version to the state its check left it in."
    needs_reason = True

    def act_on(self, version: Version, by: Actor, options: dict[str, Any]) -> str:
        version = unarchive_version(version=version, reason=options["reason"], by=by)
        return f"{version} is {version.status}."
