"""Imports the models of all rooms, so that Django finds them."""

from moderation.deciding.models import Decision, DetectorTrial, PolicyPreview, StoredContent, StoredPicture
from moderation.policies.models import Policy, PolicyRevision, RuleDay

__all__ = [
    "Decision",
    "DetectorTrial",
    "Policy",
    "PolicyPreview",
    "PolicyRevision",
    "RuleDay",
    "StoredContent",
    "StoredPicture",
]
