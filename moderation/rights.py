"""Who may moderate, read decisions, and change policies: moderation's part of roles, key scopes and admin pages."""

from enum import StrEnum

from registry.access.key_ring import Principal
from registry.access.policies import Grants, Right, Role


class ModerationRight(StrEnum):
    MODERATE = "moderate_content"
    READ_DECISIONS = "read_decisions"  # with the contents
    READ_POLICIES = "read_policies"
    EDIT_POLICIES = "edit_policies"
    PUBLISH_POLICIES = "publish_policies"
    REVIEW = "review_contents"  # take cases and decide them
    LEAD = "lead_reviews"  # escalated cases, queues, guidelines, actions, budgets, other people's cases
    SEE_RESTRICTED = "see_restricted_contents"
    READ_QUALITY = "read_report_cards"
    ERASE = "erase_contents"
    REPORT = "report_contents"  # for keys: reports and appeals


class ModerationRole(StrEnum):
    REVIEWER = "reviewer"
    LEAD = "lead"
    POLICY_EDITOR = "policy_editor"
    CHILD_SAFETY = "child_safety"  # sees restricted contents, besides what other roles allow


MODERATE_SCOPE, TEST_SCOPE, REPORT_SCOPE, ERASE_SCOPE = "moderate", "moderate.test", "report", "erase"

_READ = frozenset({ModerationRight.READ_DECISIONS, ModerationRight.READ_POLICIES})
_EDIT = _READ | {ModerationRight.EDIT_POLICIES, ModerationRight.PUBLISH_POLICIES, ModerationRight.MODERATE}
_MODERATE = frozenset({ModerationRight.MODERATE, ModerationRight.READ_DECISIONS})

MODERATION_GRANTS = Grants(
    rights=frozenset(ModerationRight),
    roles={
        ModerationRole.REVIEWER: _READ | {ModerationRight.REVIEW, Right.READ},
        ModerationRole.LEAD: _READ
        | {
            ModerationRight.PUBLISH_POLICIES,
            ModerationRight.REVIEW,
            ModerationRight.LEAD,
            ModerationRight.READ_QUALITY,
            ModerationRight.ERASE,
            Right.READ,
            Right.READ_RECORD,
        },
        ModerationRole.POLICY_EDITOR: _EDIT | {ModerationRight.READ_QUALITY, Right.READ, Right.READ_RECORD},
        ModerationRole.CHILD_SAFETY: frozenset(
            {ModerationRight.REVIEW, ModerationRight.SEE_RESTRICTED, Right.READ}
        ),
        Role.VIEWER: frozenset({ModerationRight.READ_POLICIES}),
        Role.OPERATOR: frozenset({ModerationRight.READ_POLICIES}),
        Role.APPROVER: frozenset({ModerationRight.READ_POLICIES}),
        Role.ADMIN: frozenset({ModerationRight.READ_POLICIES}),  # who sets whether they need approval
    },
    scopes={
        MODERATE_SCOPE: _MODERATE,
        TEST_SCOPE: _MODERATE,
        REPORT_SCOPE: frozenset({ModerationRight.REPORT}),
        ERASE_SCOPE: frozenset({ModerationRight.ERASE}),
        "quality.read": frozenset({ModerationRight.READ_QUALITY}),
        "policies.read": frozenset({ModerationRight.READ_POLICIES}),
        "policies.write": frozenset(
            {
                ModerationRight.READ_POLICIES,
                ModerationRight.EDIT_POLICIES,
                ModerationRight.PUBLISH_POLICIES,
            }
        ),
    },
    scope_labels={
        MODERATE_SCOPE: "moderate contents, and read the tenant's decisions",
        TEST_SCOPE: "moderate as a test: nothing is stored or counted",
        REPORT_SCOPE: "send reports and appeals, and read what became of them",
        ERASE_SCOPE: "erase the tenant's contents, and read how far that is",
        "quality.read": "read report cards, and verdicts as labelled data",
        "policies.read": "read policies",
        "policies.write": "read and change policies",
    },
    pages={
        "moderation.view_policy": ModerationRight.READ_POLICIES,
        "moderation.add_policy": ModerationRight.EDIT_POLICIES,
        "moderation.change_policy": ModerationRight.EDIT_POLICIES,
        "moderation.view_policyrevision": ModerationRight.READ_POLICIES,
        "moderation.view_categorymapping": ModerationRight.READ_POLICIES,
        "moderation.view_decision": ModerationRight.READ_DECISIONS,
        "moderation.view_case": ModerationRight.REVIEW,
        "moderation.view_appeal": ModerationRight.REVIEW,
        "moderation.view_report": ModerationRight.REVIEW,
        "moderation.view_guideline": ModerationRight.REVIEW,
        "moderation.add_guideline": ModerationRight.LEAD,
        "moderation.change_guideline": ModerationRight.LEAD,
        "moderation.delete_guideline": ModerationRight.LEAD,
        "moderation.view_reviewqueue": ModerationRight.LEAD,
        "moderation.add_reviewqueue": ModerationRight.LEAD,
        "moderation.change_reviewqueue": ModerationRight.LEAD,
        "moderation.delete_reviewqueue": ModerationRight.LEAD,
        "moderation.view_reviewaction": ModerationRight.LEAD,
        "moderation.add_reviewaction": ModerationRight.LEAD,
        "moderation.change_reviewaction": ModerationRight.LEAD,
        "moderation.view_reviewer": ModerationRight.LEAD,
        "moderation.add_reviewer": ModerationRight.LEAD,
        "moderation.change_reviewer": ModerationRight.LEAD,
        "moderation.view_accountproposal": ModerationRight.LEAD,
        "moderation.view_erasure": ModerationRight.ERASE,
        "moderation.add_erasure": ModerationRight.ERASE,
    },
    global_rights=frozenset(ModerationRight),
)


def is_test_key(by: Principal) -> bool:
    """Whether what the key sends is neither stored nor counted."""
    return TEST_SCOPE in by.scopes and MODERATE_SCOPE not in by.scopes
