"""Which policy decides: a snapshot of all published rules, compiled, in each process."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import structlog

from moderation.errors import NoPolicy, PolicyUnreadable
from moderation.policies.models import Policy, PolicyRevision
from moderation.policies.rules import PolicyRules, read_rules

log = structlog.get_logger("roundhouse.moderation")


class PublishedPolicy(NamedTuple):
    """A policy's current revision."""

    policy_id: int
    name: str
    revision_id: int
    number: int
    rules: PolicyRules


@dataclass(frozen=True)
class PolicyTable:
    """Policies by tenant and context. An empty context is for all contexts, no tenant for all tenants."""

    policies: Mapping[tuple[int | None, str], PublishedPolicy] = field(default_factory=dict)
    unreadable: Mapping[tuple[int | None, str], str] = field(default_factory=dict)  # names
    stamp: tuple[tuple[int, int], ...] | None = None  # which revisions these are

    def find(self, tenant_id: int | None, context: str) -> PublishedPolicy:
        """The narrowest policy for a content: of its tenant and context, of its tenant, of its context, the default one."""
        for key in ((tenant_id, context), (tenant_id, ""), (None, context), (None, "")):
            if (policy := self.policies.get(key)) is not None:
                return policy
            if key in self.unreadable:  # a wider policy may be laxer
                raise PolicyUnreadable(
                    f"The current revision of policy {self.unreadable[key]} cannot be read."
                )
        raise NoPolicy

    def named(self, name: str, tenant_id: int | None) -> PublishedPolicy | None:
        """The policy of this name, unless it is another tenant's."""
        for (owner, _), policy in self.policies.items():
            if policy.name == name:
                return policy if owner in (None, tenant_id) else None
        return None

    def with_id(self, policy_id: int) -> PublishedPolicy | None:
        return next((policy for policy in self.policies.values() if policy.policy_id == policy_id), None)

    @property
    def default(self) -> PublishedPolicy:
        return self.find(None, "")


def read_table(known: PolicyTable) -> PolicyTable:
    """Bring a table up to date; only new revisions are read and compiled.

    A revision that this release cannot read keeps its predecessor in force, and is logged.
    """
    rows = list(
        Policy.objects.filter(retired_at=None, current__isnull=False)
        .order_by("pk")
        .values_list("pk", "current_id", "name", "tenant_id", "context")
    )
    stamp = tuple((pk, current) for pk, current, *_ in rows)
    if stamp == known.stamp:
        return known
    before = {policy.policy_id: policy for policy in known.policies.values()}
    new_ids = [current for pk, current, *_ in rows if pk not in before or before[pk].revision_id != current]
    revisions = {one.pk: one for one in PolicyRevision.objects.filter(pk__in=new_ids)}
    policies: dict[tuple[int | None, str], PublishedPolicy] = {}
    unreadable: dict[tuple[int | None, str], str] = {}
    for pk, current, name, tenant_id, context in rows:
        policy = before.get(pk)
        if current in revisions:
            policy = _compiled(revisions[current], pk, name) or policy
        if policy is not None:
            policies[tenant_id, context] = policy
        else:
            unreadable[tenant_id, context] = name
    return PolicyTable(policies, unreadable, stamp)


def _compiled(revision: PolicyRevision, policy_id: int, name: str) -> PublishedPolicy | None:
    try:
        rules = read_rules(revision.content)
    except Exception as error:  # noqa: BLE001 (whatever is wrong with one revision, the others are followed)
        log.error(
            "a policy's revision cannot be read", policy=name, revision=revision.number, reason=str(error)
        )
        return None
    return PublishedPolicy(policy_id, name, revision.pk, revision.number, rules)
