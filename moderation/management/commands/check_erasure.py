import hashlib
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from moderation.deciding.services import digest_of
from moderation.privacy.models import Erasure
from moderation.privacy.subjects import was_erased
from registry.errors import NotFound
from registry.management.base import ServiceCommand


class Command(ServiceCommand):
    help = "Say whether an erasure was about an id, or removed a content that you have. Exit with status 1 if not."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("number", type=int, help="The erasure's number.")
        parser.add_argument("--id", default="", help="The author, content or request id.")
        parser.add_argument("--text", default="", help="The content's text, exactly as it was sent.")
        parser.add_argument("--title", default="", help="Its title.")
        parser.add_argument(
            "--picture",
            type=Path,
            action="append",
            default=[],
            metavar="FILE",
            help="Its pictures, in order.",
        )

    def run(self, options: dict[str, Any]) -> str:
        erasure = Erasure.objects.filter(pk=options["number"]).first()
        if erasure is None:
            raise NotFound(f"There is no erasure {options['number']}.")
        if options["id"]:
            return _said(
                erasure.salted_subject(options["id"]) == erasure.subject_hash, f"{erasure} was by this id."
            )
        pictures = [hashlib.sha256(path.read_bytes()).hexdigest() for path in options["picture"]]
        digest = digest_of(options["text"], options["title"], pictures)
        return _said(was_erased(erasure, digest), f"{erasure} removed this content.")


def _said(is_true: bool, sentence: str) -> str:
    if not is_true:
        raise CommandError(f"It is not so that {sentence}")
    return sentence.capitalize()
