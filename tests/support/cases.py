"""Cases and the people who decide them, for tests: decisions are stored as they come from detectors, and cases opened."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from moderation.cases.models import Case, Guideline
from moderation.cases.opening import open_cases
from moderation.deciding.models import Awaits, Decision
from moderation.policies.models import Policy
from moderation.policies.rules import RuleEffect
from moderation.review.finals import make_final
from moderation.review.models import ReviewAction, Verdict
from moderation.review.taking import take
from moderation.review.verdicts import UNDO_FOR, give_verdict
from moderation.rights import ModerationRole
from registry.access.policies import actor_from_user
from registry.kit.actors import Actor, Source
from tests.support.decision_rows import a_decision, listed
from tests.support.factories import a_person


def a_reviewer(*roles: str, username: str | None = None) -> Actor:
    """A person who reviews; a plain reviewer without roles."""
    person = a_person(*(roles or (ModerationRole.REVIEWER,)), username=username)
    return actor_from_user(person, Source.ADMIN)


def person_behind(by: Actor) -> User:
    return User.objects.get(pk=by.user_id)


def for_review(policy: Policy, text: str = "you blockhead", **more: Any) -> Decision:
    """A decision that awaits a case."""
    evidence = (listed(4, 13)._replace(effect=RuleEffect.REVIEW),)
    values = {"evidence": evidence, "text": text, "awaits": Awaits.CASE, **more}
    return a_decision(policy, values.pop("ruling", "review"), **values)


def a_case(policy: Policy, text: str = "you blockhead", **more: Any) -> Case:
    decision = for_review(policy, text, **more)
    open_cases()
    return Case.objects.filter(items__decision=decision).latest("pk")


def a_guideline(code: str = "slurs", **more: Any) -> Guideline:
    return Guideline.objects.create(**{"code": code, "title": code.capitalize(), **more})


def the_action(name: str) -> ReviewAction:
    return ReviewAction.objects.get(name=name)


def decide(case: Case, action: str, by: Actor, **more: Any) -> Verdict:
    """Take a case and give a verdict on it."""
    return give_verdict(case=take(case=case, by=by), action=the_action(action), by=by, **more)


def finish(verdict: Verdict) -> Verdict:
    """Let the seconds pass in which a verdict can be undone."""
    make_final(now=timezone.now() + UNDO_FOR + timedelta(seconds=1))
    verdict.refresh_from_db()
    return verdict


def cases(names: str, /, **rows: Any) -> pytest.MarkDecorator:
    """Parametrize over these names: a value for each word, a tuple where there are several names."""
    return pytest.mark.parametrize(names, list(rows.values()), ids=list(rows))
