"""Changes to policies: drafts, publishing with or without a second person, and going back."""

from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Max, QuerySet
from django.utils import timezone

from moderation.errors import InvalidPolicy, NothingToPublish, NothingToRollBackTo
from moderation.policies.models import MAX_ACTOR, MAX_CONTEXT, Policy, PolicyRevision
from moderation.policies.rules import READS_OF_TASK, DetectorRule, read_rules
from moderation.policies.selectors import editable_content, previous_revision, waiting_revision
from moderation.policies.transitions import REVISION_ALLOWED, RevisionStatus
from moderation.rights import ModerationRight
from registry.access.keys import person_behind
from registry.access.models import Tenant
from registry.access.policies import Right
from registry.catalogue.models import Model
from registry.catalogue.validation import check_row, checked_reason, is_plain
from registry.errors import ApprovalNeeded, Conflict, NameTaken, NotAllowed, StaleState
from registry.kit.actors import Actor
from registry.kit.text import checked_line, storable
from registry.record.audit import record_change
from registry.record.events import emit

EMPTY: Mapping[str, Any] = {"rules": []}


@transaction.atomic
def create_policy(
    *,
    name: str,
    title: str = "",
    tenant: Tenant | None = None,
    context: str = "",
    content: Mapping[str, Any] | None = None,
    by: Actor,
) -> Policy:
    """Create a policy with a draft. It decides nothing until a revision is published.

    A tenant's key makes policies of its tenant. If the contents have a policy that needs approval, this one needs it, too.
    """
    by.check(ModerationRight.EDIT_POLICIES)
    if by.tenant_id is not None:
        tenant = tenant or Tenant.objects.get(pk=by.tenant_id)
        _check_tenant(tenant.pk, by)
    content = _completed(content or EMPTY)
    policy = Policy(
        name=name,
        title=checked_line(title, what="title", longest=200, may_be_empty=True),
        tenant=tenant,
        context=checked_line(context, what="context", longest=MAX_CONTEXT, may_be_empty=True),
        draft_editors=_with_editor([], by),
        **_draft(content, by),
    )
    policy.needs_approval = any(one.needs_approval for one in _replaced_by(policy))
    check_row(policy)
    _check_free(policy)
    try:
        with transaction.atomic():
            policy.save()
    except IntegrityError:
        raise NameTaken("Another policy was just created with this name, or for these contents.") from None
    record_change(action="create_policy", subject=policy, before=None, after=_audit_fields(policy), by=by)
    return policy


@transaction.atomic
def save_draft(*, policy: Policy, content: Mapping[str, Any], expected: int | None, by: Actor) -> Policy:
    """Replace the draft. `expected`: the number of edits that the editor saw; None: whatever there is."""
    by.check(ModerationRight.EDIT_POLICIES)
    content = _completed(content)
    locked = _lock(policy, by)
    if expected is not None and locked.draft_edits != expected:
        raise StaleState(f"{locked.draft_by or 'Someone'} saved this draft in the meantime; reload it.")
    if content != editable_content(locked):  # a preview saves what others wrote
        locked.draft_editors = _with_editor(locked.draft_editors, by)
    for field, value in _draft(content, by).items():
        setattr(locked, field, value)
    locked.draft_edits += 1
    locked.save(update_fields=["draft", "draft_by", "draft_at", "draft_edits", "draft_editors"])
    return locked


@transaction.atomic
def discard_draft(*, policy: Policy, by: Actor) -> Policy:
    """Forget the draft: the editor shows the current revision again."""
    by.check(ModerationRight.EDIT_POLICIES)
    locked = _lock(policy, by)
    locked.draft, locked.draft_by, locked.draft_at = None, "", None
    locked.draft_edits += 1
    locked.save(update_fields=["draft", "draft_by", "draft_at", "draft_edits"])
    return locked


@transaction.atomic
def publish(*, policy: Policy, reason: str, expected: int | None = None, by: Actor) -> PolicyRevision:
    """Make the draft the current revision. `expected`: the number of edits that were previewed."""
    by.check(ModerationRight.PUBLISH_POLICIES)
    locked = _lock(policy, by)
    if locked.needs_approval:
        raise ApprovalNeeded(f"{locked} needs a second person's approval; request it.")
    revision = _new_revision(locked, _checked_draft(locked, expected), RevisionStatus.PUBLISHED, reason, by)
    return _make_current(locked, revision, "publish_policy", by)


@transaction.atomic
def request_publication(
    *, policy: Policy, reason: str, expected: int | None = None, by: Actor
) -> PolicyRevision:
    """Ask another person to publish the draft as it is now. The draft stays, and may be edited further."""
    by.check(ModerationRight.EDIT_POLICIES)
    locked = _lock(policy, by)
    if waiting_revision(locked) is not None:
        raise Conflict(f"A revision of {locked} is already waiting for approval; withdraw it first.")
    revision = _new_revision(locked, _checked_draft(locked, expected), RevisionStatus.REQUESTED, reason, by)
    record_change(
        action="request_policy",
        subject=locked,
        before=None,
        after={"revision": revision.number},
        reason=revision.reason,
        by=by,
    )
    emit(
        "policy_requested",
        subject=locked,
        data={"policy": locked.name, "revision": revision.number},
        summary=f"{by.name} requests approval of revision {revision.number} of policy {locked}: {revision.reason}",
    )
    return revision


@transaction.atomic
def approve_revision(*, revision: PolicyRevision, reason: str, by: Actor) -> PolicyRevision:
    """Publish a requested revision. Only a person who neither requested it nor edited its draft can approve it."""
    by.check(ModerationRight.PUBLISH_POLICIES)
    locked, waiting = _lock(revision.policy, by), _waiting(revision)
    if by.user_id is None:
        raise NotAllowed("Only a person can approve a revision; log in.")
    if waiting.was_made_by(by.user_id):
        raise NotAllowed(
            "You requested or edited this revision, perhaps with a key you issued; another person must approve it."
        )
    _decide(waiting, RevisionStatus.PUBLISHED, reason, by)
    return _make_current(locked, waiting, "approve_policy", by)


@transaction.atomic
def reject_revision(*, revision: PolicyRevision, reason: str, by: Actor) -> PolicyRevision:
    by.check(ModerationRight.PUBLISH_POLICIES)
    return _end_request(revision, RevisionStatus.REJECTED, reason, "reject_policy", by)


@transaction.atomic
def withdraw_revision(*, revision: PolicyRevision, reason: str, by: Actor) -> PolicyRevision:
    by.check(ModerationRight.EDIT_POLICIES)
    return _end_request(revision, RevisionStatus.WITHDRAWN, reason, "withdraw_policy", by)


@transaction.atomic
def roll_back_policy(*, policy: Policy, reason: str, by: Actor) -> PolicyRevision:
    """Publish again what decided before the current revision. Never waits for approval: it was published once."""
    by.check(ModerationRight.PUBLISH_POLICIES)
    locked = _lock(policy, by)
    previous = previous_revision(locked)
    if previous is None:
        raise NothingToRollBackTo(f"{locked} has no earlier revision.")
    revision = _new_revision(locked, previous.content, RevisionStatus.PUBLISHED, reason, by, previous)
    return _make_current(locked, revision, "roll_back_policy", by)


@transaction.atomic
def change_policy_title(*, policy: Policy, title: str, by: Actor) -> Policy:
    """Give the policy another title. Its name stays, because requests and records use it."""
    by.check(ModerationRight.EDIT_POLICIES)
    locked = _lock(policy, by)
    before = {"title": locked.title}
    locked.title = checked_line(title, what="title", longest=200, may_be_empty=True)
    locked.save(update_fields=["title"])
    record_change(
        action="change_policy_title", subject=locked, before=before, after={"title": locked.title}, by=by
    )
    return locked


@transaction.atomic
def set_policy_approval(*, policy: Policy, needs_approval: bool, reason: str, by: Actor) -> Policy:
    """Whether revisions need a second person's approval."""
    by.check(Right.MANAGE_SETTINGS)
    locked = _lock(policy, by)
    before = {"needs_approval": locked.needs_approval}
    locked.needs_approval = needs_approval
    locked.save(update_fields=["needs_approval"])
    record_change(
        action="set_policy_approval",
        subject=locked,
        before=before,
        after={"needs_approval": needs_approval},
        reason=checked_reason(reason),
        by=by,
    )
    return locked


@transaction.atomic
def retire_policy(*, policy: Policy, reason: str, by: Actor) -> Policy:
    """Stop deciding with it: its contents get the next wider policy. Its revisions and decisions are kept.

    If revisions need a second person's approval, retiring needs the right to manage settings.
    """
    by.check(ModerationRight.PUBLISH_POLICIES)
    locked = _lock(policy, by)
    if locked.needs_approval and not by.may(Right.MANAGE_SETTINGS):
        raise NotAllowed(
            f"{locked} needs a second person's approval; only people who may manage settings can retire it."
        )
    if locked.retired_at is not None:
        raise Conflict(f"{locked} is retired already.")
    if locked.tenant is None and not locked.context and locked.current is not None:
        raise Conflict(
            "This is the default policy: without it, contents of no other policy would be refused."
        )
    locked.retired_at = timezone.now()
    locked.save(update_fields=["retired_at"])
    record_change(
        action="retire_policy", subject=locked, before=None, after=None, reason=checked_reason(reason), by=by
    )
    return locked


def _completed(content: Any) -> dict[str, Any]:
    """The content, checked, with what each detector reads filled in from the task of its Model. Raises InvalidPolicy."""
    if isinstance(content, Mapping) and isinstance(content.get("rules"), list):
        content = {**content, "rules": [_with_reads(*rule) for rule in enumerate(content["rules"])]}
    read_rules(content)
    return dict(content)


def _with_reads(place: int, rule: Any) -> Any:
    if not isinstance(rule, Mapping) or rule.get("kind") != DetectorRule.kind:
        return rule
    slug = str(rule.get("detector") or "").partition("@")[0]
    if not is_plain(slug):
        raise InvalidPolicy("The name of a Model has no such characters.", "rules", place, "detector")
    task = Model.objects.filter(slug=slug).values_list("task", flat=True).first()
    if slug and task is None:
        raise InvalidPolicy(f"There is no Model {slug[:64]!r}.", "rules", place, "detector")
    if slug and task not in READS_OF_TASK:
        able = ", ".join(READS_OF_TASK)
        raise InvalidPolicy(
            f"The task of {slug} is {task}; detectors have one of {able}.", "rules", place, "detector"
        )
    return rule if rule.get("reads") or not slug else {**rule, "reads": list(READS_OF_TASK[str(task)])}


def _lock(policy: Policy, by: Actor) -> Policy:
    """The policy, which nobody else changes now. Every change of a policy goes through here."""
    check_own(policy, by)
    return (
        Policy.objects.select_for_update(of=("self",)).select_related("tenant", "current").get(pk=policy.pk)
    )


def check_own(policy: Policy, by: Actor) -> None:
    """Raise NotAllowed if a tenant's key would change, or look into, what other tenants share."""
    _check_tenant(policy.tenant_id, by)


def _check_tenant(tenant_id: int | None, by: Actor) -> None:
    if by.tenant_id is not None and tenant_id != by.tenant_id:
        whose = "another tenant" if tenant_id is not None else "all tenants; only people change it"
        raise NotAllowed(f"{by.name} acts for its own tenant. This policy is for {whose}.")


def _replaced_by(policy: Policy) -> list[Policy]:
    """The policies that decide the contents of this new one now."""
    published = Policy.objects.filter(retired_at=None, current__isnull=False)
    shared = published.filter(tenant=None)
    if policy.tenant is not None and not policy.context:  # wins over those of contexts, too
        return list(shared)
    wider: list[QuerySet[Policy]] = [shared.filter(context="")]
    if policy.tenant is not None:
        wider = [
            published.filter(tenant=policy.tenant, context=""),
            shared.filter(context=policy.context),
            *wider,
        ]
    return next(([first] for rows in wider if (first := rows.first()) is not None), [])


def _draft(content: Mapping[str, Any], by: Actor) -> dict[str, Any]:
    return {"draft": dict(content), "draft_by": storable(by.name, MAX_ACTOR), "draft_at": timezone.now()}


def _with_editor(editors: list[int], by: Actor) -> list[int]:
    person = person_behind(by)
    return editors if person is None or person in editors else [*editors, person]


def _check_free(policy: Policy) -> None:
    others = Policy.objects.filter(retired_at=None, tenant=policy.tenant, context=policy.context)
    if (other := others.first()) is not None:
        raise NameTaken(f"Policy {other} is for {other.covers} already.")
    if Policy.objects.filter(name=policy.name).exists():
        raise NameTaken(f"There is already a policy named {policy.name}; choose another name.")


def _checked_draft(policy: Policy, expected: int | None) -> Mapping[str, Any]:
    if policy.retired_at is not None:
        raise Conflict(f"{policy} is retired.")
    if expected is not None and policy.draft_edits != expected:
        raise StaleState(f"{policy.draft_by or 'Someone'} changed the draft in the meantime; reload it.")
    content = policy.draft
    if content is None or (policy.current is not None and content == policy.current.content):
        raise NothingToPublish(f"The draft of {policy} says the same as its current revision.")
    rules = read_rules(content)
    if not rules.active:
        raise InvalidPolicy("No rule is on. A policy without rules would send everything to review.", "rules")
    return dict(content)


def _new_revision(
    policy: Policy,
    content: Mapping[str, Any],
    status: RevisionStatus,
    reason: str,
    by: Actor,
    goes_back_to: PolicyRevision | None = None,
) -> PolicyRevision:
    is_decided = status is RevisionStatus.PUBLISHED
    last = policy.revisions.aggregate(last=Max("number"))["last"] or 0
    return PolicyRevision.objects.create(
        policy=policy,
        number=last + 1,
        content=content,
        status=status,
        goes_back_to=goes_back_to,
        reason=checked_reason(reason),
        made_by=storable(by.name, MAX_ACTOR),
        made_by_user_id=person_behind(by),
        edited_by=policy.draft_by,
        editors=policy.draft_editors,
        decided_by=storable(by.name, MAX_ACTOR) if is_decided else "",
        decided_at=timezone.now() if is_decided else None,
    )


def _make_current(policy: Policy, revision: PolicyRevision, action: str, by: Actor) -> PolicyRevision:
    before = {"revision": policy.current.number} if policy.current is not None else None
    policy.current = revision
    if policy.draft == revision.content:
        policy.draft, policy.draft_by, policy.draft_at, policy.draft_editors = None, "", None, []
    policy.save(update_fields=["current", "draft", "draft_by", "draft_at", "draft_editors"])
    after: dict[str, Any] = {"revision": revision.number}
    if revision.goes_back_to is not None:
        after["goes_back_to"] = revision.goes_back_to.number
    reason = revision.decision_reason or revision.reason
    record_change(action=action, subject=policy, before=before, after=after, reason=reason, by=by)
    emit(
        "policy_published",
        subject=policy,
        data={"policy": policy.name, **after},
        summary=f"Revision {revision.number} of policy {policy} was published by {by.name}: {reason}",
    )
    return revision


def _waiting(revision: PolicyRevision) -> PolicyRevision:
    waiting = PolicyRevision.objects.select_related("policy").get(pk=revision.pk)
    if waiting.status != RevisionStatus.REQUESTED:
        raise StaleState(f"{waiting} was {waiting.status} by {waiting.decided_by} in the meantime.")
    return waiting


def _decide(revision: PolicyRevision, status: RevisionStatus, reason: str, by: Actor) -> None:
    """Write the decision, unless somebody else was first."""
    if status not in REVISION_ALLOWED[RevisionStatus(revision.status)]:
        raise StaleState(f"{revision} is {revision.status} already.")
    values = {
        "status": status,
        "decided_by": storable(by.name, MAX_ACTOR),
        "decided_at": timezone.now(),
        "decision_reason": checked_reason(reason),
    }
    changed = PolicyRevision.objects.filter(pk=revision.pk, status=revision.status).update(**values)
    if changed != 1:
        raise StaleState(f"Someone else decided about {revision} first; reload it.")
    for field, value in values.items():
        setattr(revision, field, value)


def _end_request(
    revision: PolicyRevision, status: RevisionStatus, reason: str, action: str, by: Actor
) -> PolicyRevision:
    _lock(revision.policy, by)
    waiting = _waiting(revision)
    _decide(waiting, status, reason, by)
    record_change(
        action=action,
        subject=waiting.policy,
        before={"revision": waiting.number},
        after=None,
        reason=waiting.decision_reason,
        by=by,
    )
    return waiting


def _audit_fields(policy: Policy) -> dict[str, Any]:
    return {
        "name": policy.name,
        "tenant": policy.tenant.slug if policy.tenant else None,
        "context": policy.context,
    }
