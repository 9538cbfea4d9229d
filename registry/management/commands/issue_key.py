from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from registry.access.models import Tenant
from registry.access.policies import command_actor, key_scopes
from registry.access.services import create_tenant, issue_key
from registry.errors import RoundhouseError
from registry.kit.actors import every_model
from registry.management.base import add_limit_flags, limits_of


class Command(BaseCommand):
    help = "Create an API key and print it. It is shown only once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="What the key is for.")
        parser.add_argument(
            "--tenant", default="default", help="The client that it acts for; created if needed."
        )
        parser.add_argument(
            "--scope", action="append", choices=list(key_scopes()), help="What it may do; repeat for several.",
        )  # fmt: skip
        parser.add_argument(
            "--model", action="append", default=[], help="Only this Model; repeat for several. Default: all.",
        )  # fmt: skip
        parser.add_argument("--days", type=int, help="Days until it expires. Default: never.")
        add_limit_flags(parser)

    def handle(
        self,
        *_: Any,
        name: str,
        tenant: str,
        scope: list[str] | None,
        model: list[str],
        days: int | None,
        **options: Any,
    ) -> None:
        by = command_actor("issue_key")
        try:
            owner = Tenant.objects.filter(slug=tenant).first() or create_tenant(slug=tenant, by=by)
            key, text = issue_key(
                name=name,
                tenant=owner,
                scopes=scope or ["predict"],
                models=_ids_of(model),
                expires_at=_in_days(days),
                limits=limits_of(options),
                by=by,
            )
        except RoundhouseError as error:
            raise CommandError(str(error)) from None
        self.stderr.write(f"{key} may {' and '.join(key.scopes)}. The key itself is shown only now:")
        self.stdout.write(text)


def _in_days(days: int | None) -> datetime | None:
    if days is None:
        return None
    if not 1 <= days <= 36_500:
        raise CommandError("--days takes 1 to 36,500.")
    return timezone.now() + timedelta(days=days)


def _ids_of(slugs: list[str]) -> list[int]:
    found: dict[str, int] = dict(every_model().filter(slug__in=slugs).values_list("slug", "pk"))
    for slug in slugs:
        if slug not in found:
            raise CommandError(f"There is no Model named {slug}.")
    return list(found.values())
