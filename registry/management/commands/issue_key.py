from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from registry.access.models import Tenant
from registry.access.policies import key_scopes
from registry.access.services import create_tenant, issue_key
from registry.kit.actors import every_model
from registry.management.base import ServiceCommand, add_limit_flags, limits_of


class Command(ServiceCommand):
    help = "Create an API key and print it. It is shown only once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="What the key is for.")
        parser.add_argument(
            "--tenant", default="default", help="The tenant that the key acts for; created if needed."
        )
        parser.add_argument(
            "--scope", action="append", choices=list(key_scopes()), help="What the key may do; repeat for several.",
        )  # fmt: skip
        parser.add_argument(
            "--model", action="append", default=[], help="Only this Model; repeat for several. Default: all.",
        )  # fmt: skip
        parser.add_argument("--days", type=int, help="Days until the key expires. Default: never.")
        add_limit_flags(parser)

    def run(self, options: dict[str, Any]) -> str:
        by, slug = self.machine_actor(), options["tenant"]
        key, text = issue_key(
            name=options["name"],
            tenant=Tenant.objects.filter(slug=slug).first() or create_tenant(slug=slug, by=by),
            scopes=options["scope"] or ["predict"],
            models=_ids_of(options["model"]),
            expires_at=_in_days(options["days"]),
            limits=limits_of(options),
            by=by,
        )
        self.stderr.write(f"{key} may {' and '.join(key.scopes)}. The key itself is shown only now:")
        return text


def _in_days(days: int | None) -> datetime | None:
    if days is None:
        return None
    if not 1 <= days <= 36_500:
        raise CommandError("--days must be 1 to 36,500.")
    return timezone.now() + timedelta(days=days)


def _ids_of(slugs: list[str]) -> list[int]:
    ids: dict[str, int] = dict(every_model().filter(slug__in=slugs).values_list("slug", "pk"))
    for slug in slugs:
        if slug not in ids:
            raise CommandError(f"There is no Model named {slug}.")
    return list(ids.values())
