from typing import Any

from django.core.management.base import CommandParser

from moderation.privacy.erasing import erase_pending, named_cases, preview_erasure, request_erasure
from moderation.privacy.models import Erasure, ErasureKind
from moderation.privacy.sentences import counted
from moderation.privacy.transitions import ErasureStatus
from registry.access.models import Tenant
from registry.errors import NotFound
from registry.management.base import ServiceCommand


class Command(ServiceCommand):
    help = (
        "Erase everything that is stored about an author's contents, a content, or a request. Run it again to see how far"
        " it is: if it was interrupted, it goes on."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        subject = parser.add_mutually_exclusive_group(required=True)
        for kind in ErasureKind:
            subject.add_argument(f"--{kind}-id", dest=kind.value, metavar="ID", help=f"The {kind.label}.")
        parser.add_argument(
            "--tenant", help="The tenant's name. Default: contents of people, which have no tenant."
        )
        parser.add_argument("--reason", help="The reason; recorded, so it must not name the id.")
        parser.add_argument("--dry-run", action="store_true", help="Only count what there is.")

    def run(self, options: dict[str, Any]) -> str:
        by = self.machine_actor()
        kind = next(one for one in ErasureKind if options[one.value])
        tenant = _tenant(options["tenant"])
        values = {"tenant": tenant, "kind": kind, "subject": options[kind.value], "by": by}
        if options["dry_run"]:
            preview = preview_erasure(**values)
            kept = (
                f", {preview.kept:,} on legal hold, in {named_cases(preview.kept_cases)}"
                if preview.kept
                else ""
            )
            return f"{preview.contents:,} contents and {preview.others:,} other rows would be erased{kept}."
        erasure = request_erasure(**values, reason=options["reason"] or "")
        erase_pending()
        return _summary(Erasure.objects.get(pk=erasure.pk))


def _tenant(slug: str | None) -> Tenant | None:
    if slug is None:
        return None
    tenant = Tenant.objects.filter(slug=slug).first()
    if tenant is None:
        raise NotFound(f"There is no tenant {slug}.")
    return tenant


def _summary(erasure: Erasure) -> str:
    done = f"Erasure {erasure.pk}: {counted(erasure.removed) or 'nothing'} erased."
    if erasure.status == ErasureStatus.DONE:
        kept = (
            f" {erasure.kept_count:,} kept on legal hold, in {named_cases(erasure.kept_cases)}."
            if erasure.kept_count
            else ""
        )
        return f"{done} It is finished.{kept}"
    jobs = (
        f" The files of {len(erasure.open_jobs)} jobs follow when these have ended."
        if erasure.open_jobs
        else ""
    )
    return f"{done} In a minute a worker looks for contents that were written late.{jobs}"
