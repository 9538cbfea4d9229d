"""Random audits: which allowed contents a person looks at all the same, so that it is known what detectors miss."""

import random

from moderation.deciding.judgements import Judgement
from moderation.policies.rules import PolicyRules, Ruling

_BOOST = 9  # on top of the share, for contents right below a cut-off


def audit_sample(rules: PolicyRules, judgement: Judgement) -> float | None:
    """How many allowed contents this one stands for, if it is among the audited; otherwise None."""
    if judgement.ruling is not Ruling.ALLOW or not rules.review.audit_share:
        return None
    probability = min(1.0, rules.review.audit_share * (1 + _BOOST * _closeness(rules, judgement) ** 2))
    return 1 / probability if random.random() < probability else None  # noqa: S311 (no secret)


def _closeness(rules: PolicyRules, judgement: Judgement) -> float:
    """How near the highest score is to the lowest cut-off for review or block: 0 to 1."""
    scores = {"text": judgement.text_score, "image": judgement.image_score}
    near = [(scores[medium] or 0.0) / cut_off for medium, cut_off in rules.least_cut_offs.items()]
    return min(1.0, max(near, default=0.0))
