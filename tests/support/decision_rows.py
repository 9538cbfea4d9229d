"""Policies and decisions as rows, for tests of pages: nothing is asked, and nothing runs."""

import hashlib
from datetime import datetime
from io import BytesIO
from typing import Any

from django.utils import timezone
from PIL import Image

from moderation.deciding.answers import codes_of, encode_evidence
from moderation.deciding.findings import Findings
from moderation.deciding.judgements import Evidence, Judgement, Problem
from moderation.deciding.models import Decision, StoredContent, StoredPicture
from moderation.policies import services
from moderation.policies.models import Policy
from moderation.policies.rules import RuleEffect, Ruling
from tests.support.factories import an_actor

LISTED = {"name": "listed", "kind": "words", "code": "slurs", "entries": ["blockhead"], "effect": "block"}
OTHER = {"name": "other", "kind": "patterns", "code": "numbers", "patterns": [r"\d{9}"], "effect": "review"}


def a_list_policy(
    *rules: dict[str, Any],
    name: str = "default",
    is_published: bool = True,
    review: dict[str, Any] | None = None,
    **more: Any,
) -> Policy:
    """A policy that asks no detector. `review`: how people review what it decides."""
    content = {"rules": [*rules] or [LISTED], **({"review": review} if review else {})}
    policy = services.create_policy(name=name, content=content, by=an_actor(), **more)
    if is_published:
        services.publish(policy=policy, reason="First rules", by=an_actor())
    return Policy.objects.get(pk=policy.pk)


def a_decision(
    policy: Policy,
    ruling: str = "allow",
    *,
    evidence: tuple[Evidence, ...] = (),
    problems: tuple[Problem, ...] = (),
    text: str | None = "",
    title: str = "",
    pictures: tuple[bytes, ...] = (),
    findings: Findings | None = None,
    at: datetime | None = None,
    digest: bytes | None = None,
    **more: Any,
) -> Decision:
    """A stored decision by the policy's current revision. `text` None: the content is not stored any more."""
    moment = at or timezone.now()
    judgement = Judgement(Ruling(ruling), evidence, problems, Ruling(ruling), "en", None, None)
    decision = Decision.objects.create(
        policy=policy,
        revision=policy.current,
        ruling=ruling,
        shadow_ruling=ruling,
        codes=codes_of(judgement),
        evidence_count=len(judgement.in_force),
        evidence=encode_evidence(judgement),
        findings=(findings or Findings(["text"])).to_bytes(),
        digest=digest
        or hashlib.sha256(b"\0".join([(text or "").encode(), title.encode(), *pictures])).digest(),
        received_at=moment,
        decided_at=moment,
        **more,
    )
    if text is not None:
        StoredContent.objects.create(decision=decision, text=text, title=title)
        for number, file in enumerate(pictures):
            StoredPicture.objects.create(decision=decision, number=number, file=file)
    return decision


def listed(start: int, end: int, entry: str = "blockhead", **more: Any) -> Evidence:
    """A word of a list, found in the text."""
    return Evidence(
        "listed", "slurs", RuleEffect.BLOCK, "text", 1.0, 0.0, place=[start, end], entry=entry, **more
    )


def a_box(left: int, top: int, right: int, bottom: int, effect: RuleEffect = RuleEffect.BLOCK) -> Evidence:
    """An object, found in the only picture."""
    place = [left, top, right, bottom]
    return Evidence("weapons", "weapon", effect, "image", 0.93, 0.8, False, "shapes", 1, "knife", place)


def a_png(width: int = 40, height: int = 20) -> bytes:
    file = BytesIO()
    Image.new("RGB", (width, height), "red").save(file, "PNG")
    return file.getvalue()
