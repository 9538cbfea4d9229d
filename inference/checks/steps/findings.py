"""How a step of the checklist ends: found good, refused, or with nothing to do."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Facts = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Found:
    """A step that passed; a code says that something about it is worth a look."""

    facts: Facts = field(default_factory=dict)
    code: str = ""
    reason: str = ""
    advice: str = ""


class StepFailed(Exception):
    """The version is not as it should be: what, a full sentence, and what to do about it."""

    def __init__(self, code: str, reason: str, advice: str, facts: Facts | None = None) -> None:
        self.code, self.reason, self.advice, self.facts = code, reason, advice, facts or {}
        super().__init__(reason)


class StepSkipped(Exception):
    """There is nothing to look at."""

    def __init__(self, code: str, reason: str, advice: str = "") -> None:
        self.code, self.reason, self.advice = code, reason, advice
        super().__init__(reason)
