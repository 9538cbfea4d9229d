"""Gates: what is looked at, with its numbers, before a version gains live share. Rooms above add theirs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from registry.catalogue.models import Model, Version
from registry.errors import Conflict, GateFailed, GoldenGateFailed
from registry.intake.checklist.line_transitions import LineState
from registry.intake.checklist.models import ADVISORY
from registry.intake.checklist.selectors import newest_run
from registry.intake.checklist.signature_diff import is_breaking, signature_diff
from registry.intake.checklist.transitions import RunState
from registry.intake.examples.selectors import golden_gate
from registry.traffic.policies import gains_share


class Outcome(StrEnum):
    PASSED = "passed"
    WARNED = "warned"  # a person has to weigh it
    FAILED = "failed"  # it cannot be done
    UNKNOWN = "unknown"  # nothing was measured, and nothing is demanded


@dataclass(frozen=True)
class Plan:
    """A split that is not written yet, beside what is live now. Shares are basis points."""

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
        """The versions that would gain live share, in their order."""
        found = [
            version
            for version, share in self.arms.items()
            if share > self.before.get(version.pk, 0) and version != self.leader
        ]
        return sorted(found, key=lambda version: version.number)


@dataclass(frozen=True, slots=True)
class Gate:
    """What one look found. `error` is what a failed gate is refused with."""

    name: str
    outcome: Outcome
    sentence: str
    error: type[Conflict] = GateFailed

    @property
    def has_failed(self) -> bool:
        return self.outcome is Outcome.FAILED

    def told(self) -> dict[str, str]:
        return {"name": self.name, "outcome": self.outcome.value, "sentence": self.sentence}


# It runs in a transaction: database look-ups only.
Look = Callable[[Plan], list[Gate]]
_looks: dict[str, Look] = {}


def register_gate(name: str, look: Look) -> None:
    """Look with this too; registering a name again replaces it."""
    _looks[name] = look


def gates_for(plan: Plan) -> list[Gate]:
    """Every gate that has something to say about the plan."""
    return [gate for look in _looks.values() for gate in look(plan)]


def check_gates(plan: Plan) -> list[Gate]:
    """The gates; raise for the first that failed."""
    gates = gates_for(plan)
    for gate in gates:
        if gate.has_failed:
            raise gate.error(gate.sentence)
    return gates


def _checks(plan: Plan) -> list[Gate]:
    return [_checked(version) for version in plan.gaining]


def _checked(version: Version) -> Gate:
    named = f"version {version.number}"
    run = newest_run(version)
    if not version.is_servable:
        return Gate(
            "checks", Outcome.FAILED, f"{named.capitalize()} is {version.status}. {version.failure}".strip()
        )
    if run is None or run.state == RunState.RUNNING:
        return Gate("checks", Outcome.WARNED, f"{named.capitalize()} is ready, and is being checked again.")
    lines = list(run.lines.all())
    passed = sum(line.state == LineState.PASSED for line in lines)
    skipped = sum(line.state == LineState.SKIPPED for line in lines)
    told = f"{named.capitalize()}: {passed} checks passed with ONNX Runtime {run.runtime_version}"
    told += f", {skipped} had nothing to look at." if skipped else "."
    # the golden set and the differences to the live version have gates of their own
    doubtful = [line for line in lines if line.code and line.step not in ADVISORY]
    if doubtful:
        reasons = " ".join(line.reason for line in doubtful)
        return Gate("checks", Outcome.WARNED, f"{told} {reasons}")
    return Gate("checks", Outcome.PASSED, told)


def _golden(plan: Plan) -> list[Gate]:
    return [_measured(version) for version in plan.gaining]


def _measured(version: Version) -> Gate:
    found = golden_gate(version)
    if found.passes is None:
        return Gate("golden set", Outcome.UNKNOWN, found.sentence)
    if found.passes:
        return Gate("golden set", Outcome.PASSED, found.sentence)
    return Gate(
        "golden set",
        Outcome.FAILED,
        f"{found.sentence} Mend the version, or put a golden set that says what is demanded now.",
        GoldenGateFailed,
    )


def _signatures(plan: Plan) -> list[Gate]:
    return [_compared(plan.leader, version) for version in plan.gaining] if plan.leader is not None else []


def _compared(leader: Version, version: Version) -> Gate:
    changes = signature_diff(leader.signature or {}, version.signature or {})
    named = f"Version {version.number}"
    if not changes:
        return Gate(
            "signature", Outcome.PASSED, f"{named} takes and gives what version {leader.number} does."
        )
    told = " ".join(change.sentence for change in changes)
    if is_breaking(changes):
        return Gate("signature", Outcome.WARNED, f"{named} breaks callers of version {leader.number}. {told}")
    return Gate("signature", Outcome.PASSED, f"{named} suits callers of version {leader.number}. {told}")


register_gate("checks", _checks)
register_gate("golden set", _golden)
register_gate("signature", _signatures)
