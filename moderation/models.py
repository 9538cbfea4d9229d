"""Imports the models of all rooms, so that Django finds them."""

from moderation.deciding.models import Decision, DetectorTrial, PolicyPreview, StoredContent, StoredPicture
from moderation.doors.categories.models import CategoryMapping
from moderation.policies.models import Policy, PolicyRevision, RuleDay

__all__ = [
    "CategoryMapping",
    "Decision",
    "DetectorTrial",
    "Policy",
    "PolicyPreview",
    "PolicyRevision",
    "RuleDay",
    "StoredContent",
    "StoredPicture",
]
