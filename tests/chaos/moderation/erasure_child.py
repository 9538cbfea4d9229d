"""Prepares contents of an author, or goes on with erasures as if minutes had passed."""

import sys

import django

django.setup()

from django.db import transaction  # noqa: E402 (needs the apps loaded)
from django.utils import timezone  # noqa: E402

from moderation.cases.models import Case  # noqa: E402
from moderation.cases.opening import open_cases  # noqa: E402
from moderation.privacy.erasing import SETTLES_AFTER, erase_pending  # noqa: E402
from moderation.privacy.models import Erasure  # noqa: E402
from tests.support.cases import a_reviewer, decide, finish, for_review  # noqa: E402
from tests.support.decision_rows import a_decision, a_list_policy, a_png  # noqa: E402


def prepare(author: str, text: str, count: int) -> None:
    policy = a_list_policy()
    with transaction.atomic():
        for number in range(count):
            pictures = (a_png(),) if number % 100 == 0 else ()
            a_decision(
                policy,
                text=f"{text} {number}",
                author_id=author,
                content_id=f"of-{author}",
                pictures=pictures,
            )
    for_review(policy, text, author_id=author, url=f"https://example.org/{author}")
    open_cases()
    finish(decide(Case.objects.get(), "remove", a_reviewer(), note=text))
    a_decision(policy, text="of somebody else", author_id="bob")


def go_on() -> None:
    erase_pending(now=timezone.now() + 2 * SETTLES_AFTER)
    sys.stdout.write(Erasure.objects.get().status)


if sys.argv[1] == "prepare":
    prepare(sys.argv[2], sys.argv[3], int(sys.argv[4]))
else:
    go_on()
