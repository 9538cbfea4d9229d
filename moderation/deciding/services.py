"""Deciding about contents, now and again."""

import asyncio
import hashlib
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import orjson
from django.utils import timezone

from inference.engine.combiner import Priority
from inference.serving.calls import DEADLINE_S
from inference.serving.off_loop import off_loop
from moderation.deciding import process
from moderation.deciding.answers import Explanation, answer_for, codes_of, encode_evidence
from moderation.deciding.audits import audit_sample
from moderation.deciding.contents import MAX_ID, MAX_TEXT, MAX_TITLE, MAX_URL, Content, SentPicture
from moderation.deciding.detectors import OURSELVES, Asking
from moderation.deciding.examination import Examined, examine
from moderation.deciding.findings import Findings, image_part
from moderation.deciding.fixed_texts import fixed_judgement
from moderation.deciding.judgements import Judgement, decide
from moderation.deciding.models import Awaits, Decision, StoredContent, StoredPicture
from moderation.deciding.policy_table import PublishedPolicy
from moderation.deciding.writer import DecisionRows, DecisionWriter
from moderation.errors import WritesBehind
from moderation.policies.models import MAX_CONTEXT
from moderation.policies.rules import PolicyRules, Ruling
from moderation.rights import is_test_key
from registry.access.key_ring import Principal
from registry.kit.inserts import new_row
from registry.kit.text import storable

TRY_AGAIN_AFTER = timedelta(seconds=10)
_ASKING_SHARE = 0.9  # of the time that is left; the rest is for writing and answering
_AGAIN_WITHIN_S = 60.0
_LEAST_STORING_S = 1.0
_LOOP_WORK = 5_000  # things found, times rules


@dataclass(slots=True)
class Decided:
    """A content, what was found in it, and the decision, which may not be stored yet."""

    content: Content
    policy: PublishedPolicy
    findings: Findings
    judgement: Judgement
    decision: Decision
    is_stored: bool

    def answer(self) -> dict[str, Any]:
        texts = {str(part): text for part, text in self.content.texts()}
        return answer_for(
            self.decision,
            policy=self.policy.name,
            revision=self.policy.number,
            explanation=Explanation(
                self.judgement.evidence, self.judgement.problems, self.judgement.is_cut, texts
            ),
            findings=self.findings,
            is_stored=self.is_stored,
        )


async def decide_contents(
    contents: Sequence[Content],
    *,
    by: Principal,
    policy: PublishedPolicy | None = None,
    within_s: float = DEADLINE_S,
    priority: Priority = Priority.LIVE,
    hold: Callable[[int], None] = lambda nbytes: None,
    for_person: bool = False,
) -> list[Decided]:
    """Decide about contents by the policies of the caller's tenant, or all by this `policy`. Runs on the event loop.

    Everything that fails is a reason for review. Raises NoPolicy, TooManyRequests (the caller's own limit) and WritesBehind;
    then nothing is decided. Reviewed and blocked contents are stored when this returns, allowed ones soon after.
    `for_person`: a person will look at them, whatever is decided, so all are stored when this returns, with their pictures.
    """
    deciding, received_at = process.started(), timezone.now()
    deciding.writer.check_room()
    policies = [policy or deciding.table.find(by.tenant_id, content.context) for content in contents]
    is_test = is_test_key(by)
    ends_at = time.monotonic() + _ASKING_SHARE * within_s
    asking = Asking(replace(by, models=None), ends_at, priority, hold, waits=priority is Priority.BULK)
    examined = await _examine(contents, policies, asking, is_test=is_test)
    decided = [
        _decided(one, judgement, policy, received_at, by, is_stored=not (is_test or one.content.do_not_store))
        for (one, judgement), policy in zip(examined, policies, strict=True)
    ]
    ends_at = time.monotonic() + max(_LEAST_STORING_S, within_s * (1 - _ASKING_SHARE))
    kept = [one for one in decided if one.is_stored]
    await store(deciding.writer, kept, ends_at, for_person=for_person)
    if not is_test:
        for one in decided:
            deciding.writer.count(one.policy.policy_id, one.judgement, received_at)
    return decided


async def decide_again(held: Sequence[Decision]) -> list[Decided]:
    """Decide about contents that were held, by their policies' current revisions. Nothing is stored.

    The contents must be loaded. What is still held had the same trouble again.
    """
    contents = [stored_content(decision) for decision in held]
    policies = [policy_for(decision) for decision in held]
    asking = Asking(OURSELVES, time.monotonic() + _AGAIN_WITHIN_S, Priority.BULK)
    examined = await _examine(contents, policies, asking, is_test=False)
    return [
        _decided(one, judgement, policy, before.received_at, OURSELVES, is_stored=True, before=before)
        for (one, judgement), policy, before in zip(examined, policies, held, strict=True)
    ]


def policy_for(decision: Decision) -> PublishedPolicy:
    """Its own policy while that is in force, otherwise the one that its content would get now. Raises NoPolicy."""
    table = process.started().table
    return table.with_id(decision.policy_id) or table.find(decision.tenant_id, decision.context)


async def store(
    writer: DecisionWriter, decided: Sequence[Decided], ends_at: float, *, for_person: bool = False
) -> list[bool]:
    """Have decisions written; wait for those that somebody relies on. Returns whether each of these was written.

    Raises WritesBehind if that takes too long; they are written all the same, as soon as the database takes them.
    """
    waited: list[Future[bool]] = []
    for one in decided:
        is_restricted = one.judgement.ruling is not Ruling.ALLOW
        needs_person = for_person or one.decision.awaits == Awaits.CASE
        written = writer.add(_rows(one, keeps_files=needs_person or is_restricted))
        if for_person or is_restricted or one.decision.redecides_id is not None:
            waited.append(written)
    try:
        async with asyncio.timeout(max(0.001, ends_at - time.monotonic())):
            return [await asyncio.shield(asyncio.wrap_future(written)) for written in waited]
    except TimeoutError:
        raise WritesBehind("The database does not take decisions in time; try again in a moment.") from None


def stored_content(decision: Decision) -> Content:
    """The content of a decision, as it was sent."""
    pictures = [SentPicture(bytes(one.file or b""), one.url) for one in decision.pictures.all()]
    return Content(
        text=decision.content.text,
        title=decision.content.title,
        pictures=tuple(pictures),
        content_id=decision.content_id,
        author_id=decision.author_id,
        context=decision.context,
        language=Findings.from_bytes(decision.findings).named_language,
        thread=decision.thread,
        url=decision.url,
    )


async def _examine(
    contents: Sequence[Content], policies: Sequence[PublishedPolicy], asking: Asking, *, is_test: bool
) -> list[tuple[Examined, Judgement]]:
    """Each content with its judgement; the fixed texts of tests are not examined."""
    fixed = {place: fixed_judgement(content) for place, content in enumerate(contents) if is_test}
    places = [place for place in range(len(contents)) if fixed.get(place) is None]
    found = await examine(
        [contents[place] for place in places], [policies[place].rules for place in places], asking
    )
    examined = dict(zip(places, found, strict=True))
    pairs = []
    for place, content in enumerate(contents):
        one = examined.get(place) or Examined(content, Findings([]))
        judgement = fixed.get(place) or await _judge(policies[place].rules, one.findings)
        pairs.append((one, judgement))
    return pairs


async def _judge(rules: PolicyRules, findings: Findings) -> Judgement:
    """In a thread if a lot was found, or it would hold up the loop."""
    found = sum(len(answer.found) for answer in findings.detectors.values())
    if found * len(rules.active) > _LOOP_WORK:
        return await off_loop(partial(decide, rules, findings))
    return decide(rules, findings)


def _decided(
    one: Examined,
    judgement: Judgement,
    policy: PublishedPolicy,
    received_at: datetime,
    by: Principal,
    *,
    is_stored: bool,
    before: Decision | None = None,
) -> Decided:
    content, is_held = one.content, judgement.is_held and is_stored
    audit_weight = audit_sample(policy.rules, judgement) if is_stored and before is None else None
    tenant_id, key_id = (before.tenant_id, before.key_id) if before is not None else (by.tenant_id, by.key_id)
    values = {
        "id": _new_id(),
        "policy_id": policy.policy_id,
        "revision_id": policy.revision_id,
        "tenant_id": tenant_id,
        "key_id": key_id,
        "ruling": judgement.ruling.value,
        "shadow_ruling": judgement.shadow_ruling.value,
        "codes": codes_of(judgement),
        "evidence_count": len(judgement.in_force),
        "evidence": encode_evidence(judgement),
        "findings": one.findings.to_bytes(),
        "text_score": judgement.text_score,
        "image_score": judgement.image_score,
        "content_id": storable(content.content_id, MAX_ID),
        "author_id": storable(content.author_id, MAX_ID),
        "context": storable(content.context, MAX_CONTEXT),
        "language": judgement.language[:8],
        "thread": storable(content.thread, MAX_ID),
        "url": storable(content.url, MAX_URL),
        "digest": _digest(content, one.findings),
        "received_at": received_at,
        "decided_at": timezone.now(),
        "redecides_id": before.pk if before is not None else None,
        "is_held": is_held,
        "tries": before.tries if before is not None else 0,
        "next_try_at": received_at + TRY_AGAIN_AFTER if is_held else None,
        "awaits": _awaits(judgement.ruling, audit_weight, is_again=before is not None),
        "audit_weight": audit_weight,
    }
    decision = new_row(Decision, values)
    if before is not None:
        decision.redecides = before
    return Decided(content, policy, one.findings, judgement, decision, is_stored)


def _awaits(ruling: Ruling, audit_weight: float | None, *, is_again: bool) -> str:
    if ruling is Ruling.REVIEW or audit_weight is not None:
        return Awaits.CASE
    return Awaits.FINAL if ruling is Ruling.BLOCK or is_again else Awaits.NOTHING


def _rows(one: Decided, *, keeps_files: bool) -> DecisionRows:
    content, decision = one.content, one.decision
    pictures = [
        StoredPicture(
            decision=decision,
            number=number,
            url=storable(sent.url, MAX_URL),
            file=sent.content if keeps_files and sent.content else None,
        )
        for number, sent in enumerate(content.pictures)
    ]
    return DecisionRows(
        decision=decision,
        content=new_row(
            StoredContent,
            {
                "decision_id": decision.pk,
                "text": storable(content.text, MAX_TEXT),
                "title": storable(content.title, MAX_TITLE),
            },
        ),
        pictures=pictures,
        nbytes=content.nbytes + len(decision.findings) + len(decision.evidence) + 1_000,
        overtakes=decision.redecides_id,
    )


def _digest(content: Content, findings: Findings) -> bytes:
    pictures = {part: sha256 for part, sha256, *_ in findings.pictures}
    count = len(content.pictures)
    known = [
        pictures.get(image_part(number, count), sent.url) for number, sent in enumerate(content.pictures)
    ]
    return digest_of(content.text, content.title, known)


def digest_of(text: str, title: str, pictures: Sequence[str]) -> bytes:
    """Equal for contents that say the same, whoever says it. Pictures: SHA-256, or the URL if nobody could read it."""
    return hashlib.sha256(orjson.dumps([text, title, *pictures])).digest()


def _new_id() -> UUID:
    """Ids grow with time, which keeps the index of the table small and quick; their other half is random."""
    return UUID(int=time.time_ns() // 1_000_000 << 80 | int.from_bytes(os.urandom(10), "big"))
