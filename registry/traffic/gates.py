"""Promotion gates: checks on what would go live, with numbers. Higher-level rooms add theirs to `GATES`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from registry.catalogue.models import Model, Version
from registry.errors import Conflict, GateFailed, GoldenGateFailed
from registry.intake.checklist.models import ADVISORY
from registry.intake.checklist.selectors import newest_run
from registry.intake.checklist.signature_diff import is_breaking, signature_diff
from registry.intake.checklist.transitions import LineState, RunState
from registry.intake.examples.selectors import champion_of, golden_gate
from registry.kit.registrations import Registrations
from registry.traffic.models import SplitRequest
from registry.traffic.policies import gains_share
from registry.traffic.selectors import current_split, requested_shares
from registry.traffic.transitions import RequestStatus


class GateOutcome(StrEnum):
    PASSED = "passed"
    WARNED = "warned"  # needs a person's judgement
    FAILED = "failed"  # forbids the split
    UNKNOWN = "unknown"  # nothing was measured, and nothing is required

    @property
    def in_words(self) -> str:
        return {GateOutcome.WARNED: "needs judgement", GateOutcome.UNKNOWN: "not measured"}.get(
            self, self.value
        )


@dataclass(frozen=True)
class SplitPlan:
    """A split that has not been written yet, compared with what is live now. Shares are basis points."""

    model: Model
    arms: Mapping[Version, int]
    before: Mapping[int, int]  # by version id
    leader: Version | None

    @property
    def gains(self) -> bool:
        after = {version.pk: share for version, share in self.arms.items()}
        leader = self.leader.pk if self.leader is not None else None
        return gains_share(self.before, after, leader=leader)

    @cached_property
    def gaining(self) -> list[Version]:
        """The versions that would gain live share, by number."""
        versions = [
            version
            for version, share in self.arms.items()
            if share > self.before.get(version.pk, 0) and version != self.leader
        ]
        return sorted(versions, key=lambda version: version.number)


def plan_for(model: Model, arms: Mapping[Version, int]) -> SplitPlan:
    """Compare these arms with the current split."""
    current = current_split(model)
    before = current.shares() if current is not None else {}
    return SplitPlan(model=model, arms=dict(arms), before=before, leader=champion_of(model))


@dataclass(frozen=True, slots=True)
class GateResult:
    """A gate's verdict. `error` is raised if it failed."""

    name: str
    outcome: GateOutcome
    sentence: str
    error: type[Conflict] = GateFailed

    def to_json(self) -> dict[str, str]:
        return {"name": self.name, "outcome": self.outcome.value, "sentence": self.sentence}


# Gates run in a transaction: database look-ups only.
GATES: Registrations[Callable[[SplitPlan], list[GateResult]]] = Registrations("gate")


def gates_for(plan: SplitPlan) -> list[GateResult]:
    return [result for gate in GATES for result in gate(plan)]


def check_gates(plan: SplitPlan) -> list[GateResult]:
    """Return the results; raise the error of the first gate that failed."""
    results = gates_for(plan)
    for result in results:
        if result.outcome is GateOutcome.FAILED:
            raise result.error(result.sentence)
    return results


def gates_of(request: SplitRequest) -> list[dict[str, str]]:
    """The current results of an open request; for a decided one, the results at approval."""
    if request.status != RequestStatus.OPEN:
        stored: list[dict[str, str]] = request.gates
        return stored
    arms, _shadows = requested_shares(request)
    return [result.to_json() for result in gates_for(plan_for(request.model, arms))]


def _check_version(version: Version) -> GateResult:
    label = f"Version {version.number}"
    run = newest_run(version)
    if not version.is_servable:
        sentence = f"{label} is {version.status}. {version.failure}".strip()
        return GateResult("checks", GateOutcome.FAILED, sentence)
    if run is None or run.state == RunState.RUNNING:
        return GateResult("checks", GateOutcome.WARNED, f"{label} is ready, and is being checked again.")
    lines = list(run.lines.all())
    passed = sum(line.state == LineState.PASSED for line in lines)
    skipped = sum(line.state == LineState.SKIPPED for line in lines)
    sentence = f"{label}: {passed} checks passed with ONNX Runtime {run.runtime_version}"
    sentence += f", {skipped} had nothing to check." if skipped else "."
    # the golden set and the differences from the live version have their own gates
    doubts = [line.reason for line in lines if line.code and line.step not in ADVISORY]
    outcome = GateOutcome.WARNED if doubts else GateOutcome.PASSED
    return GateResult("checks", outcome, " ".join([sentence, *doubts]))


def _check_golden_set(version: Version) -> GateResult:
    golden = golden_gate(version)
    if golden.passes is None:
        return GateResult("golden set", GateOutcome.UNKNOWN, golden.sentence)
    if golden.passes:
        return GateResult("golden set", GateOutcome.PASSED, golden.sentence)
    if golden.other_preprocessing:
        return GateResult("golden set", GateOutcome.FAILED, golden.sentence, GoldenGateFailed)
    return GateResult(
        "golden set",
        GateOutcome.FAILED,
        f"{golden.sentence} Fix the version, or replace the golden set if the requirements have changed.",
        GoldenGateFailed,
    )


def breaks_callers(leader: Version, version: Version) -> str:
    """A sentence if callers of the leader cannot use the version without changes; otherwise empty."""
    gate = _compare_signatures(leader, version)
    return gate.sentence if gate.outcome is GateOutcome.WARNED else ""


def _compare_signatures(leader: Version, version: Version) -> GateResult:
    changes = signature_diff(leader.signature or {}, version.signature or {})
    label = f"Version {version.number}"
    details = " ".join(change.sentence for change in changes)
    if is_breaking(changes):
        sentence, outcome = f"{label} breaks callers of version {leader.number}.", GateOutcome.WARNED
    elif changes:
        sentence, outcome = f"{label} works for callers of version {leader.number}.", GateOutcome.PASSED
    else:
        sentence = f"{label} has the same inputs and outputs as version {leader.number}."
        outcome = GateOutcome.PASSED
    return GateResult("signature", outcome, f"{sentence} {details}".strip())


def _signature_gate(plan: SplitPlan) -> list[GateResult]:
    leader = plan.leader
    return [] if leader is None else [_compare_signatures(leader, version) for version in plan.gaining]


GATES.add("checks", lambda plan: [_check_version(version) for version in plan.gaining])
GATES.add("golden set", lambda plan: [_check_golden_set(version) for version in plan.gaining])
GATES.add("signature", _signature_gate)
