"""Forms of the verbs on a Model's or version's page."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django import forms

from registry.catalogue.models import Model, Version
from registry.console import previews
from registry.console.proportions import shared_out
from registry.kit.admin.theme import NumberInput, TextInput
from registry.kit.admin.verbs import ReasonForm
from registry.kit.text import MAX_REASON
from registry.traffic.assignment import WHOLE, ranges
from registry.traffic.models import Split
from registry.traffic.readiness import warm_among
from registry.traffic.selectors import (
    ArmShare,
    OnceLive,
    arms_of,
    current_split,
    earlier_splits,
    versions_once_live,
)

_HUNDRED = Decimal(100)
_NEWEST = 10


class StopForm(ReasonForm):
    """Asks what callers are told."""

    is_destructive = True
    reason = forms.CharField(
        label="What callers are told",
        max_length=MAX_REASON,
        widget=TextInput(),
        help_text="Every refused request gets this text; it is kept with the change.",
    )

    @property
    def foretold(self) -> list[str]:
        return previews.of_stopping(self.row)


class StartForm(ReasonForm):
    @property
    def foretold(self) -> list[str]:
        return previews.of_starting(self.row)


class FreezeForm(ReasonForm):
    @property
    def foretold(self) -> list[str]:
        return previews.of_freezing(self.row)


class UnfreezeForm(ReasonForm):
    @property
    def foretold(self) -> list[str]:
        return previews.of_unfreezing(self.row)


class ReshuffleForm(ReasonForm):
    is_destructive = True

    @property
    def foretold(self) -> list[str]:
        return previews.of_reshuffling(self.row)


class ArchiveForm(ReasonForm):
    @property
    def foretold(self) -> list[str]:
        return previews.of_archiving(self.row)


class ClearForm(ReasonForm):
    """Asks why a broken version may run again."""

    is_destructive = True

    @property
    def foretold(self) -> list[str]:
        return previews.of_clearing(self.row)


class UnarchiveForm(ReasonForm):
    @property
    def foretold(self) -> list[str]:
        return previews.of_bringing_back(self.row)


@dataclass(frozen=True, slots=True)
class Goal:
    """Something to roll back to: who would answer, when it was live, and whether that takes a while or cannot be.

    A version has no arms to show: it gets everything.
    """

    value: str
    title: str
    arms: list[ArmShare]
    from_at: datetime
    to_at: datetime | None
    said: str
    is_warm: bool
    archived: list[int]


class RollBackForm(ReasonForm):
    """Asks what to go back to: the split before the current, an earlier one, or a version that was ever live."""

    fields_template = "admin/registry/roll_back_fields.html"
    is_destructive = True

    to = forms.ChoiceField(required=False)
    seen = forms.IntegerField(widget=forms.HiddenInput)

    def __init__(self, *args: Any, row: Model, **kwargs: Any) -> None:
        splits, versions = earlier_splits(row), versions_once_live(row)
        kwargs["initial"] = {"seen": row.split_revision, "to": f"split-{splits[0].number}" if splits else ""}
        super().__init__(*args, row=row, **kwargs)
        self._splits = {split.number: split for split in splits}
        self._versions = {once.version.number: once.version for once in versions}
        warm = self._warm(splits, versions)
        self.splits = [self._split_goal(split, warm) for split in splits]
        self.versions = [self._version_goal(once, warm) for once in versions]
        choices = [(goal.value, goal.title) for goal in [*self.splits, *self.versions]]
        self.fields["to"].choices = choices  # type: ignore[attr-defined]

    @property
    def foretold(self) -> list[str]:
        return previews.of_rolling_back(self.row)

    @property
    def chosen(self) -> str:
        return self["to"].value() or ""

    @property
    def is_earlier(self) -> bool:
        return any(goal.value == self.chosen for goal in self.splits[1:])

    @property
    def is_version(self) -> bool:
        return any(goal.value == self.chosen for goal in self.versions)

    @property
    def goal(self) -> dict[str, Any]:
        """What the service is told."""
        kind, _, number = self.cleaned_data["to"].partition("-")
        if kind == "split":
            return {"to_split": self._splits[int(number)]}
        return {"to_version": self._versions[int(number)]} if kind == "version" else {}

    def _warm(self, splits: Iterable[Split], versions: Iterable[OnceLive]) -> frozenset[int]:
        asked = {version for split in splits for version in split.shares()}
        return warm_among(self.row, asked | {once.version.pk for once in versions})

    def _split_goal(self, split: Split, warm: frozenset[int]) -> Goal:
        archived = [
            arm.version.number for arm in split.arms.all() if arm.letter and not arm.version.is_servable
        ]
        return Goal(
            value=f"split-{split.number}",
            title=f"split {split.number}",
            arms=arms_of(split),
            from_at=split.from_at,  # type: ignore[arg-type]  # those that were current
            to_at=split.to_at,
            said=f"{split.made_by}: {split.reason}",
            is_warm=split.shares().keys() <= warm,
            archived=archived,
        )

    def _version_goal(self, once: OnceLive, warm: frozenset[int]) -> Goal:
        version = once.version
        return Goal(
            value=f"version-{version.number}",
            title=f"version {version.number}",
            arms=[],
            from_at=once.from_at,
            to_at=once.to_at,
            said=version.notes,
            is_warm=version.pk in warm,
            archived=[] if version.is_servable else [version.number],
        )


@dataclass(frozen=True, slots=True)
class SplitLine:
    """One version of the editor: its field, what it has now, and what is to be known about it."""

    version: Version
    field: forms.BoundField
    now: int  # basis points
    shadow: float | None  # percent that it is shown now, where it is a shadow
    colour: int
    is_warm: bool


class SplitForm(ReasonForm):
    """One percentage per ready version, and the split that the person saw. Shadows stay as they are."""

    fields_template = "admin/registry/split_fields.html"
    seen = forms.IntegerField(widget=forms.HiddenInput)
    field_order: list[str] | None = None

    def __init__(self, *args: Any, row: Model, candidate: Version | None = None, **kwargs: Any) -> None:
        kwargs["initial"] = {"seen": row.split_revision}
        super().__init__(*args, row=row, **kwargs)
        self.split = current_split(row)
        self.now = self.split.shares() if self.split is not None else {}
        shadows = self.split.arms.all() if self.split is not None else []
        self._shadows = {arm.version: arm.mirrored for arm in shadows if arm.mirrored is not None}
        offered = self._offered(row, {*self.now, *([candidate.pk] if candidate is not None else [])})
        proposed = _with_candidate(self.now, candidate)
        self.versions: dict[str, Version] = {}
        for version in offered:
            name = f"version_{version.number}"
            self.versions[name] = version
            self.fields[name] = forms.DecimalField(
                label=f"version {version.number}, %",
                min_value=0,
                max_value=100,
                decimal_places=2,
                initial=Decimal(proposed.get(version.pk, 0)) / 100,
                widget=NumberInput(attrs={"step": "0.01"}),
            )
        self.order_fields([*self.versions, "reason", "seen"])

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        total = sum((cleaned.get(name) or Decimal(0) for name in self.versions), Decimal(0))
        if not self.errors and total != _HUNDRED:
            raise forms.ValidationError(
                f"The shares add up to {total.normalize():f} %; they must make 100 %."
            )
        return cleaned

    @property
    def foretold(self) -> list[str]:
        return previews.of_splitting(self.row)

    @property
    def arms(self) -> dict[Version, int]:
        """Basis points of those that get something."""
        shares = {version: int(self.cleaned_data[name] * 100) for name, version in self.versions.items()}
        return {version: share for version, share in shares.items() if share}

    @property
    def shadows(self) -> dict[Version, int]:
        """Those of the current split, but for who answers now."""
        return {version: share for version, share in self._shadows.items() if version not in self.arms}

    @property
    def lines(self) -> list[SplitLine]:
        warm = warm_among(self.row, [version.pk for version in self.versions.values()])
        colours = self._colours()
        shown = {version.pk: share for version, share in self._shadows.items()}
        return [
            SplitLine(
                version=version,
                field=self[name],
                now=self.now.get(version.pk, 0),
                shadow=shown[version.pk] / 100 if version.pk in shown else None,
                colour=colours[version.pk],
                is_warm=version.pk in warm,
            )
            for name, version in self.versions.items()
        ]

    @property
    def arms_now(self) -> list[ArmShare]:
        return arms_of(self.split) if self.split is not None else []

    @property
    def unoffered_shadows(self) -> list[tuple[int, float]]:
        """(version, percent) of shadows that have no line of their own."""
        offered = set(self.versions.values())
        return [
            (version.number, share / 100)
            for version, share in self._shadows.items()
            if version not in offered
        ]

    @property
    def dealt(self) -> str:
        """Who owns the buckets now, as runs: `3x9000 4x1000` is version 3 for 9,000 buckets, then version 4."""
        if self.split is None:
            return ""
        numbers = {arm.letter: arm.version.number for arm in self.split.arms.all() if arm.letter}
        return " ".join(
            f"{numbers[letter]}x{end - first}" for letter, first, end in ranges(self.split.buckets)
        )

    def _colours(self) -> dict[int, int]:
        """Those that answer now keep the colours of the bar above; the others get the next ones."""
        live = sorted((v for v in self.versions.values() if v.pk in self.now), key=lambda v: v.number)
        others = [version for version in self.versions.values() if version.pk not in self.now]
        return {version.pk: place for place, version in enumerate([*live, *others])}

    @staticmethod
    def _offered(model: Model, named: set[int]) -> Iterable[Version]:
        """The newest ready versions, and those that answer now or are asked for however old they are."""
        ready = model.versions.filter(status="ready").select_related("model")
        newest = list(ready.order_by("-number")[:_NEWEST])
        older = [version for version in ready.filter(pk__in=named) if version not in newest]
        return sorted([*newest, *older], key=lambda version: -version.number)


class AgainstLiveForm(SplitForm):
    """The same for a version that is not live: 10 % for it, 90 % for those that answer now."""

    def __init__(self, *args: Any, row: Model | Version, **kwargs: Any) -> None:
        model, candidate = (row.model, row) if isinstance(row, Version) else (row, newcomer(row))
        super().__init__(*args, row=model, candidate=candidate, **kwargs)


def newcomer(model: Model) -> Version | None:
    """The newest ready version, where it is newer than all that answer now."""
    split = current_split(model)
    newest = model.versions.filter(status="ready").select_related("model").order_by("-number").first()
    if split is None or newest is None:
        return None
    live = max(arm.version.number for arm in split.arms.all() if arm.letter)
    return newest if newest.number > live else None


def _with_candidate(now: dict[int, int], candidate: Version | None) -> dict[int, int]:
    if candidate is None or candidate.pk in now:
        return now
    if not now:
        return {candidate.pk: WHOLE}
    return {**shared_out(WHOLE - WHOLE // 10, now), candidate.pk: WHOLE // 10}
