"""Trials: what another version of a detector would change in stored decisions, before it is promoted."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta

import structlog
from django.utils import timezone

from inference.engine.combiner import Priority
from inference.serving import runtime
from moderation.deciding import dispatch, process
from moderation.deciding.answers import codes_of
from moderation.deciding.changes import Changes
from moderation.deciding.comparisons import NOT_FINISHED, begin
from moderation.deciding.detectors import OURSELVES, Asking
from moderation.deciding.examination import Examined, ask_detector
from moderation.deciding.findings import Findings
from moderation.deciding.judgements import decide, needed_detectors
from moderation.deciding.models import Decision, DetectorTrial, RunStatus
from moderation.deciding.policy_table import PolicyTable, PublishedPolicy, read_table
from moderation.deciding.services import stored_content
from moderation.policies.rules import Ruling
from registry.catalogue.models import Version
from registry.traffic.gates import GateOutcome, GateResult, SplitPlan

log = structlog.get_logger("roundhouse.moderation")

GATE = "decisions"
MOST, _AT_ONCE = 500, 50
_KEPT = 5  # trials of each version
_WITHIN_S = 120.0
_STAYS_VALID = timedelta(hours=6)


def decision_gates(plan: SplitPlan) -> list[GateResult]:
    """For Models that policies ask: how many decisions each gaining version would change. Starts the trial if there is none."""
    if not plan.gaining or not _policies_that_ask(plan.model.slug):
        return []
    return [_gate(version, plan.leader) for version in plan.gaining]


def _gate(version: Version, leader: Version | None) -> GateResult:
    trial = _newest_trial(version, leader) or _start_trial(version, leader)
    label = f"Version {version.number}"
    if trial.status == RunStatus.FAILED:
        return GateResult(
            GATE, GateOutcome.UNKNOWN, f"{label} could not be tried on stored contents: {trial.failure}"
        )
    if trial.status != RunStatus.DONE or trial.result is None:
        sentence = f"{label} is being tried on stored contents; look again in a minute."
        return GateResult(GATE, GateOutcome.UNKNOWN, sentence)
    return GateResult(GATE, *_in_words(label, trial.result))


def _in_words(label: str, result: dict[str, object]) -> tuple[GateOutcome, str]:
    considered, changed = result["considered"], result["changed"]
    if not considered:
        return (
            GateOutcome.UNKNOWN,
            f"No stored decision asked this Model, so {label.lower()} was tried on none.",
        )
    changes: list[dict[str, object]] = result["changes"]  # type: ignore[assignment]
    details = ", ".join(f"{one['count']:,} from {one['from']} to {one['to']}" for one in changes)
    sentence = f"With {label.lower()}, {changed:,} of the last {considered:,} stored decisions would change"
    if not changed:
        return GateOutcome.PASSED, f"{sentence.replace(f'{changed:,} of', 'none of')}."
    return GateOutcome.WARNED, f"{sentence}: {details}."


def _newest_trial(version: Version, leader: Version | None) -> DetectorTrial | None:
    since = timezone.now() - _STAYS_VALID
    trials = DetectorTrial.objects.filter(version=version, compared_with=leader, made_at__gte=since)
    return trials.exclude(failure=NOT_FINISHED).first()


def _start_trial(version: Version, leader: Version | None) -> DetectorTrial:
    trial = DetectorTrial.objects.create(version=version, compared_with=leader)
    trials = DetectorTrial.objects.filter(version=version)
    trials.filter(pk__in=list(trials.values_list("pk", flat=True)[_KEPT:])).delete()
    dispatch.run_trial(trial.pk)
    return trial


def _policies_that_ask(slug: str) -> list[PublishedPolicy]:
    """The policies in force that ask this Model by its split; an alias is moved by hand."""
    deciding = process.current()
    table = deciding.table if deciding is not None else read_table(PolicyTable())
    return [policy for policy in table.policies.values() if slug in policy.rules.detectors]


def run_trial(trial_id: int) -> None:
    """Ask the version about stored contents, and count which decisions its answers would change."""
    begun = begin(DetectorTrial, trial_id, "version__model")
    if begun is None:
        return
    version = begun.comparison.version
    try:
        changes = trial_changes(version, tell=begun.tell)
    except Exception as error:
        log.error("a version could not be tried", version=str(version), exc_info=error)
        begun.fail(str(error))
        return
    begun.finish(changes.result())


def trial_changes(
    version: Version, *, most: int = MOST, tell: Callable[[int], None] = lambda done: None
) -> Changes:
    changes, slug = Changes(), version.model.slug
    policies = {policy.policy_id: policy for policy in _policies_that_ask(slug)}
    for batch in _batches(slug, policies, most):
        runtime.started().loop.wait_for(_try(version, batch, policies, changes))
        tell(changes.considered)
    return changes


def _batches(slug: str, policies: dict[int, PublishedPolicy], most: int) -> Iterator[list[Decision]]:
    """The newest decisions that asked the Model and whose contents are stored."""
    decisions = (
        Decision.objects.filter(policy__in=policies, content__isnull=False)
        .order_by("-pk")
        .select_related("content")
        .prefetch_related("pictures")
    )
    batch: list[Decision] = []
    for decision in decisions[:most].iterator(chunk_size=_AT_ONCE):
        if slug in Findings.from_bytes(decision.findings).detectors:
            batch.append(decision)
        if len(batch) == _AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch


async def _try(
    version: Version, batch: list[Decision], policies: dict[int, PublishedPolicy], changes: Changes
) -> None:
    slug = version.model.slug
    by = replace(OURSELVES, scopes=frozenset({"predict.unapproved"}))  # it may not be approved yet
    asking = Asking(by, time.monotonic() + _WITHIN_S, Priority.BULK, version=version.number)
    examined = []
    for decision in batch:
        findings = Findings.from_bytes(decision.findings)
        findings.detectors.pop(slug, None)
        findings.failures.pop(slug, None)
        findings.looked_at.pop(slug, None)
        examined.append(Examined(stored_content(decision), findings))
    rules = [policies[decision.policy_id].rules for decision in batch]
    asked = [
        (one, policy)
        for one, policy in zip(examined, rules, strict=True)
        if slug in needed_detectors(policy, one.findings)
    ]
    await ask_detector(slug, asked, asking)
    for decision, one, policy_rules in zip(batch, examined, rules, strict=True):
        before = decide(policy_rules, Findings.from_bytes(decision.findings))
        after = decide(policy_rules, one.findings)
        failure = one.findings.failures.get(slug)
        unasked = next(iter((*before.missing, *after.missing)), None)
        if failure is not None or unasked is not None:
            reason = failure.detail if failure is not None else f"{unasked} did not look at all of it."
            changes.note_undecided(reason, decision.received_at, Ruling(decision.ruling))
            continue
        changes.add(
            decision.request_id,
            decision.received_at,
            after.language,
            (before.ruling, after.ruling),
            (codes_of(before), codes_of(after)),
        )
