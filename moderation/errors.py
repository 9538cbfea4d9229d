"""What can go wrong in moderation.

RoundhouseError
├── NotFound
│   ├── NoPolicy            no policy covers the request's tenant and context
│   ├── UnknownPolicy
│   ├── UnknownDecision
│   ├── UnknownCase
│   ├── UnknownReport
│   ├── UnknownAppeal
│   └── NoStatement         nothing restricts the content
├── Conflict
│   ├── NothingToPublish    the draft is missing, or says what the current revision says
│   ├── NothingToRollBackTo
│   ├── AlreadyDecided      another person decided the case first
│   ├── BudgetSpent         the reviewer has seen enough for today
│   ├── NothingToAppeal     nothing restricts the content, or the time for an appeal is over
│   └── OnLegalHold         the content must be kept
├── Invalid
│   ├── InvalidPolicy       a policy's rules are wrong; says where
│   ├── InvalidContent      what was sent to be moderated cannot be read; says where
│   ├── NotADetector        a policy names a Model that does not read such contents
│   ├── InvalidMapping      a label cannot be mapped to this category; says where
│   └── LanguageNotScored   nothing that a requested attribute needs reads the content's language
├── AttributeNotScored      something that a requested attribute needs did not answer
├── PolicyUnreadable        a policy's current revision cannot be read by this release
└── WritesBehind            decisions arrive faster than the database takes them
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from inference.doors.wire import pointer_to
from registry.errors import Conflict, Invalid, NotFound, RoundhouseError


class NoPolicy(NotFound):
    """No policy covers this content; publish a default policy, or one for this tenant or context."""

    code = "no_policy"


class UnknownPolicy(NotFound):
    """There is no such policy."""

    code = "unknown_policy"


class UnknownDecision(NotFound):
    """There is no such decision."""

    code = "unknown_decision"


class UnknownCase(NotFound):
    """There is no such case, or you may not see it."""

    code = "unknown_case"


class UnknownReport(NotFound):
    """There is no such report."""

    code = "unknown_report"


class UnknownAppeal(NotFound):
    """There is no such appeal."""

    code = "unknown_appeal"


class NoStatement(NotFound):
    """Nothing restricts this content, so there is no statement of reasons."""

    code = "no_statement"


class NothingToPublish(Conflict):
    """The draft says the same as the current revision."""

    code = "nothing_to_publish"


class NothingToRollBackTo(Conflict):
    """The policy has no earlier revision."""

    code = "nothing_to_roll_back_to"


class AlreadyDecided(Conflict):
    """Another person decided this case first."""

    code = "already_decided"

    members: Mapping[str, Any] = MappingProxyType({})

    @classmethod
    def by_person(cls, who: str, action: str, codes: Sequence[str]) -> "AlreadyDecided":
        """Say who decided what."""
        violations = f" ({', '.join(codes)})" if codes else ""
        error = cls(f"{who} decided this case first: {action}{violations}. Take the next one.")
        error.members = {"decided_by": who, "action": action, "violations": list(codes)}
        return error


class BudgetSpent(Conflict):
    """You have seen as much as your budget for today allows. Take a break; a lead can change the budget."""

    code = "budget_spent"


class NothingToAppeal(Conflict):
    """Nothing restricts this content, or the time in which it could be appealed is over."""

    code = "nothing_to_appeal"


class OnLegalHold(Conflict):
    """The content is on legal hold, so it must be kept."""

    code = "on_legal_hold"


class _InvalidPart(Exception):
    """Something in a JSON document is wrong; `place` leads to it."""

    def __init__(self, message: str | None = None, *place: str | int) -> None:
        super().__init__(message)
        self.place = place

    @property
    def members(self) -> Mapping[str, Any]:
        if not self.place:
            return {}
        return {"errors": [{"pointer": pointer_to(*map(str, self.place)), "detail": str(self)}]}


class InvalidPolicy(_InvalidPart, Invalid):
    """The policy is not valid."""

    code = "invalid_policy"


class InvalidContent(_InvalidPart, Invalid):
    """The content cannot be read."""

    code = "invalid_content"


class PolicyUnreadable(RoundhouseError):
    """The policy's current revision cannot be read by this release; publish it again, or go back."""

    code = "policy_unreadable"
    retryable = True


class WritesBehind(RoundhouseError):
    """Decisions arrive faster than the database stores them; try again in a moment."""

    code = "writes_behind"
    retryable = True


class NotADetector(Invalid):
    """A policy names a Model that does not read such contents; change the rule, or the Model."""

    code = "not_a_detector"


class InvalidMapping(_InvalidPart, Invalid):
    """The mapping is not valid."""

    code = "invalid_mapping"


class LanguageNotScored(Invalid):
    """No detector of a requested attribute reads this language."""

    code = "language_not_scored"


class AttributeNotScored(RoundhouseError):
    """A detector that a requested attribute needs did not answer; a person reviews the content. Try again later."""

    code = "attribute_not_scored"
    retryable = True

    def __init__(self, message: str | None = None, *, decision: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.members: Mapping[str, Any] = {"roundhouse": decision} if decision else {}
