"""Languages as queues, guidelines and reviewers name them: without script or region, as cases have them."""

from moderation.policies.rules import language_of
from registry.errors import Invalid


def check_language(tag: str) -> None:
    try:
        is_language = language_of(tag) == tag
    except ValueError:
        is_language = False
    if not is_language:
        raise Invalid(f"{tag[:40]!r} is no language; write en, not en-GB or English.")
