"""Contents with verdicts, for tests of report cards: as detectors found them, and as people judged them."""

from datetime import timedelta
from hashlib import sha256
from typing import Any

from django.utils import timezone

from moderation.cases.models import Case, CaseItem, CaseSource
from moderation.deciding.findings import DetectorAnswer, Findings
from moderation.deciding.judgements import Evidence
from moderation.deciding.models import Decision
from moderation.policies.models import Policy
from moderation.policies.rules import RuleEffect
from moderation.review.models import Verdict
from registry.kit.actors import Actor
from tests.support.cases import person_behind, the_action
from tests.support.decision_rows import a_decision, a_list_policy
from tests.support.factories import a_model

DETECTOR = "toxicity"
TOXIC = {"name": "toxic", "kind": "detector", "detector": DETECTOR, "labels": ["toxic"], "code": "toxic",
         "review": 0.5, "block": 0.9}  # fmt: skip


def a_toxicity_policy(**more: Any) -> Policy:
    """A policy that asks the detector, which never answers: what it said is written as rows."""
    a_model(DETECTOR, task="text-classification")
    return a_list_policy(TOXIC, **more)


def found(code: str = "toxic", effect: str = "review", *, version: int = 1, **more: Any) -> Evidence:
    return Evidence(
        "toxic", code, RuleEffect(effect), "text", 0.7, 0.5, False, DETECTOR, version, "toxic"
    )._replace(**more)


def asked(version: int = 1, *, parts: tuple[str, ...] = ("text",), score: float = 0.7) -> Findings:
    return Findings(
        [*parts], detectors={DETECTOR: DetectorAnswer(version, "", [["text", "toxic", score, None]])}
    )


def a_flagged(
    policy: Policy, effect: str = "review", *, version: int = 1, code: str = "toxic", **more: Any
) -> Decision:
    """A content that the detector flagged."""
    evidence = (found(code, effect, version=version),)
    values = {"evidence": evidence, "findings": asked(version), "language": "en", **more}
    return a_decision(policy, effect, **_with_digest(values))


def an_allowed(policy: Policy, *, weight: float | None = 10.0, version: int = 1, **more: Any) -> Decision:
    """A content in which the detector found nothing; `weight`: how many audited ones it stands for."""
    values = {"findings": asked(version, score=0.1), "language": "en", "audit_weight": weight, **more}
    return a_decision(policy, "allow", **_with_digest(values))


def _with_digest(values: dict[str, Any]) -> dict[str, Any]:
    """Contents with different texts are different."""
    return {"digest": sha256((values.get("text") or "").encode()).digest(), **values}


def judge(
    *decisions: Decision,
    action: str,
    by: Actor,
    source: CaseSource = CaseSource.REVIEW,
    codes: tuple[str, ...] = ("toxic",),
    about: Verdict | None = None,
    seconds: float = 20.0,
    is_restricted: bool = False,
    status: str = "final",
) -> Verdict:
    """A final verdict about contents of one case. Rows only: nobody is told, and nothing follows from it."""
    first, now = decisions[0], timezone.now()
    case = Case.objects.create(
        tenant_id=first.tenant_id, policy_id=first.policy_id, source=source, status="closed", code="toxic",
        language=first.language, likeness=bytes(32), item_count=len(decisions), opened_s=now.timestamp(),
        due_at=now, ended_at=now, about=about, is_restricted=is_restricted,
    )  # fmt: skip
    for decision in decisions:
        CaseItem.objects.create(case=case, decision=decision, audit_weight=decision.audit_weight)
    chosen = the_action(action)
    is_block = chosen.effect != "none"
    return Verdict.objects.create(
        case=case, reviewer=person_behind(by), reviewer_name=by.name, action=chosen,
        ruling="block" if is_block else "allow", codes=list(codes) if is_block else [], status=status,
        seconds=seconds, made_at=now, final_at=now + timedelta(seconds=10),
    )  # fmt: skip
