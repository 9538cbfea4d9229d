"""Three verdicts on each of several contents, given by a person within seconds: what stands changes with each."""

from moderation.reports.services import make_report
from moderation.review.taking import take
from moderation.review.verdicts import give_verdict
from registry.record.models import Subscription
from tests.support.cases import a_reviewer, the_action
from tests.support.decision_rows import a_decision, a_list_policy
from tests.support.factories import an_actor


def give_verdicts(url: str, contents: int) -> None:
    """Subscribe this address, and give the verdicts."""
    Subscription.objects.create(name="hook", url=url, secret_salt="salt", kinds=["decision.final"])
    policy, by = a_list_policy(name="verdicts", context="verdicts"), a_reviewer(username="rita")
    decisions = [
        a_decision(policy, content_id=f"c{number}", text=f"text {number}") for number in range(contents)
    ]
    for action in ("remove", "allow", "limit"):
        for decision in decisions:
            report = make_report(decision=decision, code="slurs", by=an_actor())
            case = take(case=report.case, by=by)
            give_verdict(case=case, action=the_action(action), by=by)
