"""Imports the models of all rooms, so that Django finds them."""

from moderation.appeals.models import Appeal
from moderation.cases.models import Case, CaseItem, Guideline, ReviewQueue
from moderation.deciding.models import Decision, DetectorTrial, PolicyPreview, StoredContent, StoredPicture
from moderation.doors.categories.models import CategoryMapping
from moderation.policies.models import Policy, PolicyRevision, RuleDay
from moderation.privacy.models import Erasure
from moderation.quality.models import VerdictGoldenSet
from moderation.reports.models import Report
from moderation.review.models import (
    AccountProposal,
    Exposure,
    FinalDecision,
    ReviewAction,
    Reviewer,
    Strike,
    Verdict,
)

__all__ = [
    "AccountProposal",
    "Appeal",
    "Case",
    "CaseItem",
    "CategoryMapping",
    "Decision",
    "DetectorTrial",
    "Erasure",
    "Exposure",
    "FinalDecision",
    "Guideline",
    "Policy",
    "PolicyPreview",
    "PolicyRevision",
    "Report",
    "ReviewAction",
    "ReviewQueue",
    "Reviewer",
    "RuleDay",
    "StoredContent",
    "StoredPicture",
    "Strike",
    "Verdict",
    "VerdictGoldenSet",
]
