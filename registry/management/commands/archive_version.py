from typing import Any

from registry.catalogue.models import Version
from registry.catalogue.services import archive_version
from registry.kit.actors import Actor
from registry.management.base import VersionCommand


class Command(VersionCommand):
    help = "Archive a version that is no longer needed."
    needs_reason = True

    def act_on(self, version: Version, by: Actor, options: dict[str, Any]) -> str:
        version = archive_version(version=version, reason=options["reason"], by=by)
        return f"{version} is {version.status}."
