"""Near-duplicates are looked at once: disguised texts, and pictures that were resized and encoded again."""

import io
import random
import time

import numpy as np
import pytest
from django.utils import timezone
from PIL import Image, ImageDraw

from moderation.cases import opening
from moderation.cases.likeness import PictureRows, unlike_any
from moderation.cases.models import Case
from moderation.cases.opening import open_cases
from moderation.deciding.findings import Findings
from moderation.matching.pictures import PictureHashes
from moderation.review.finals import make_final
from moderation.review.models import Exposure, FinalDecision
from moderation.review.taking import take_next
from moderation.review.verdicts import UNDO_FOR, give_verdict
from tests.support.cases import a_reviewer, for_review, the_action
from tests.support.decision_rows import a_list_policy
from tests.support.disguises import DISGUISES

pytestmark = [pytest.mark.django_db, pytest.mark.both]
TEXTS, PICTURES, COPIES = 30, 30, 40  # of 100 contents, 40 are near-duplicates of others


def a_scene(number, size=(240, 180)):
    """A picture with something to see in it, another one for each number."""
    dice = random.Random(number)
    image = Image.new("RGB", size, tuple(dice.randrange(256) for _ in range(3)))
    draw = ImageDraw.Draw(image)
    for _ in range(14):
        x, y = dice.randrange(size[0]), dice.randrange(size[1])
        corner = (x + dice.randrange(20, 120), y + dice.randrange(20, 120))
        draw.ellipse([(x, y), corner], fill=tuple(dice.randrange(256) for _ in range(3)))
    return image


def encoded(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def copied(image, dice):
    scale = dice.choice([0.5, 0.75, 1.5])
    resized = image.resize((int(image.width * scale), int(image.height * scale)))
    return encoded(resized, "JPEG", quality=dice.choice([60, 80, 95]))


def a_picture_content(policy, file, **more):
    hashes = PictureHashes.of(file)
    findings = Findings(
        ["image"], pictures=[("image", hashes.sha256, hashes.md5, hashes.pdq, hashes.pdq_quality)]
    )
    return for_review(policy, text="", findings=findings, **more)


def a_text(number):
    words = ("scoundrel", "rascal", "wretch", "villain", "rogue", "knave")
    return f"you {words[number % 6]} of the {words[number // 6]} number {chr(97 + number)}{chr(98 + number % 20)}"


def disguised(text, dice):
    word = text.split()[1]
    kind = dice.choice(["invisible characters", "combining marks", "Cyrillic letters"])
    return (
        text.replace(word, DISGUISES[kind](word), 1).upper() if kind != "Cyrillic letters" else text + " !!"
    )


def exposures_per_decided_content(policy):
    """Decide everything that waits, and say how often somebody had to look for each content."""
    by, allow = a_reviewer(), the_action("allow")
    while (case := take_next(queue=None, by=by)) is not None:
        give_verdict(case=case, action=allow, by=by)
    make_final(now=timezone.now() + 2 * UNDO_FOR)
    return Exposure.objects.count() / FinalDecision.objects.count()


def a_hundred(policy):
    dice = random.Random(40)
    for number in range(TEXTS):
        for_review(policy, a_text(number), content_id=f"t{number}")
    for number in range(PICTURES):
        a_picture_content(policy, encoded(a_scene(number)), content_id=f"p{number}")
    for number in range(COPIES // 2):
        for_review(policy, disguised(a_text(number % 12), dice), content_id=f"tc{number}")
        a_picture_content(policy, copied(a_scene(number % 12), dice), content_id=f"pc{number}")
        if number % 5 == 0:
            open_cases()  # they do not all arrive at once
    open_cases()


def test_exposures_per_content_fall_by_30_percent():
    policy = a_list_policy()
    a_hundred(policy)

    assert Case.objects.count() <= TEXTS + PICTURES + 2
    assert exposures_per_decided_content(policy) <= 0.7
    assert FinalDecision.objects.count() == TEXTS + PICTURES + COPIES


def test_without_likeness_they_do_not(monkeypatch):
    """Negative control."""
    monkeypatch.setattr(opening, "likeness_of", lambda *_: unlike_any())
    policy = a_list_policy()
    a_hundred(policy)

    assert exposures_per_decided_content(policy) == 1.0


def test_different_pictures_are_not_joined():
    policy = a_list_policy()
    for number in range(40):
        a_picture_content(policy, encoded(a_scene(number)))
    open_cases()

    assert Case.objects.count() == 40


def test_pictures_with_nothing_to_see_are_only_like_themselves():
    policy = a_list_policy()
    for colour in ("red", "red", "darkred"):
        a_picture_content(policy, encoded(Image.new("RGB", (60, 60), colour)))
    open_cases()

    assert sorted(Case.objects.values_list("item_count", flat=True)) == [1, 2]


def test_the_order_of_pictures_counts():
    rows = PictureRows([["0" * 64, "f" * 64]])

    assert rows.first_alike(["0" * 64, "f" * 64]) == 0
    assert rows.first_alike(["f" * 64, "0" * 64]) is None


def test_rows_that_were_added_are_found_at_their_place():
    dice = np.random.default_rng(7)
    hashes = [dice.bytes(32).hex() for _ in range(70)]
    rows = PictureRows([[one] for one in hashes[:3]])
    for one in hashes[3:]:
        rows.add([one])

    assert [rows.first_alike([one]) for one in hashes] == list(range(70))
    assert rows.first_alike([dice.bytes(32).hex()]) is None


def test_500_new_pictures_among_10_000_that_wait():
    """They have the same key, so each new one is compared with all."""
    policy, dice = a_list_policy(), np.random.default_rng(10_000)
    first = a_picture_content(policy, encoded(a_scene(1)))
    open_cases()
    case = Case.objects.get(items__decision=first)
    now = case.opened_at
    Case.objects.bulk_create([
        Case(policy=policy, source=case.source, likeness=case.likeness, pictures=[dice.bytes(32).hex()], opened_s=0.0, due_at=now)
        for _ in range(10_000)
    ])  # fmt: skip
    for _ in range(500):
        picture = ("image", "a" * 64, "b" * 32, dice.bytes(32).hex(), 90)
        findings = Findings(["image"], pictures=[picture])
        for_review(policy, text="", findings=findings)

    began = time.process_time()
    assert open_cases() == 500

    assert time.process_time() - began < 10
    assert Case.objects.count() == 10_501
