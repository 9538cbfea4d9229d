"""Rolling back: the form that offers earlier splits and versions that were once live, and the verb."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django import forms
from django.http import HttpRequest
from django.urls import reverse

from registry.access.policies import Right
from registry.catalogue.models import Model
from registry.console.splits import answers_text, preview_replaced, written_split_text
from registry.kit.actors import Actor
from registry.kit.admin.theme import actor
from registry.kit.admin.verbs import ReasonForm, Verb, VerbGroup
from registry.traffic import services as traffic
from registry.traffic.models import Hold, Split
from registry.traffic.readiness import warm_among
from registry.traffic.selectors import (
    ArmShare,
    LiveHistory,
    arms_of,
    earlier_splits,
    live_arms,
    open_holds,
    previous_split,
    splits_left_by_rollback,
    versions_ever_live,
)


@dataclass(frozen=True, slots=True)
class RollBackGoal:
    """A split or a version to roll back to. A version has no arms: it would get 100 %."""

    value: str
    title: str
    arms: list[ArmShare]
    from_at: datetime
    to_at: datetime | None
    note: str
    is_warm: bool
    archived: list[int]
    left_by: Split | None = None  # the rollback that ended it


class RollBackForm(ReasonForm):
    """A choice between the previous split, an earlier one, and a version that was once live."""

    fields_template = "admin/registry/roll_back_fields.html"
    is_destructive = True

    to = forms.ChoiceField(required=False)
    seen = forms.IntegerField(widget=forms.HiddenInput)

    def __init__(self, *args: Any, row: Model, **kwargs: Any) -> None:
        splits, versions = earlier_splits(row), versions_ever_live(row)
        default = previous_split(row)
        if default is not None:  # it comes first
            splits.sort(key=lambda split: split.pk != default.pk)
        self.has_default = default is not None
        self._left = splits_left_by_rollback(row)
        kwargs["initial"] = {
            "seen": row.split_revision,
            "to": f"split-{default.number}" if default is not None else "",
        }
        super().__init__(*args, row=row, **kwargs)
        self._splits = {split.number: split for split in splits}
        self._versions = {once.version.number: once.version for once in versions}
        warm = self._warm(splits, versions)
        self.splits = [self._split_goal(split, warm) for split in splits]
        self.versions = [self._version_goal(once, warm) for once in versions]
        choices = [(goal.value, goal.title) for goal in [*self.splits, *self.versions]]
        self.fields["to"].choices = choices  # type: ignore[attr-defined]

    @property
    def preview(self) -> list[str]:
        arms = live_arms(self.row)
        return [*([f"Now {answers_text(arms)}."] if arms else []), *preview_replaced(self.row)]

    @property
    def chosen(self) -> str:
        return self["to"].value() or ""

    @property
    def is_earlier(self) -> bool:
        return not self.has_default or any(goal.value == self.chosen for goal in self.splits[1:])

    @property
    def others(self) -> list[RollBackGoal]:
        """The splits beside the default."""
        return self.splits[1:] if self.has_default else self.splits

    @property
    def is_version(self) -> bool:
        return any(goal.value == self.chosen for goal in self.versions)

    @property
    def goal(self) -> dict[str, Any]:
        """The arguments for `roll_back`."""
        kind, _, number = self.cleaned_data["to"].partition("-")
        if kind == "split":
            return {"to_split": self._splits[int(number)]}
        return {"to_version": self._versions[int(number)]} if kind == "version" else {}

    def _warm(self, splits: Iterable[Split], versions: Iterable[LiveHistory]) -> frozenset[int]:
        in_splits = {version for split in splits for version in split.shares()}
        return warm_among(self.row, in_splits | {once.version.pk for once in versions})

    def _split_goal(self, split: Split, warm: frozenset[int]) -> RollBackGoal:
        archived = [
            arm.version.number for arm in split.arms.all() if arm.letter and not arm.version.is_servable
        ]
        return RollBackGoal(
            value=f"split-{split.number}",
            title=f"split {split.number}",
            arms=arms_of(split),
            from_at=split.from_at,  # type: ignore[arg-type]  # it was current once
            to_at=split.to_at,
            note=f"{split.made_by}: {split.reason}",
            is_warm=split.shares().keys() <= warm,
            archived=archived,
            left_by=self._left.get(split.pk),
        )

    def _version_goal(self, once: LiveHistory, warm: frozenset[int]) -> RollBackGoal:
        version = once.version
        return RollBackGoal(
            value=f"version-{version.number}",
            title=f"version {version.number}",
            arms=[],
            from_at=once.from_at,
            to_at=once.to_at,
            note=version.notes,
            is_warm=version.pk in warm,
            archived=[] if version.is_servable else [version.number],
        )


def _roll_back(model: Model, form: RollBackForm, by: Actor) -> str:
    split = traffic.roll_back(
        model=model,
        **form.goal,
        reason=form.cleaned_data["reason"],
        expected_revision=form.cleaned_data["seen"],
        by=by,
    )
    return written_split_text(split)


ROLL_BACK = Verb(
    "roll-back", "Roll back", Right.ROLL_BACK, RollBackForm, _roll_back,
    lambda model: bool(earlier_splits(model, most=1)), group=VerbGroup.EMERGENCY,
)  # fmt: skip


def emergency_links(request: HttpRequest, model: Model) -> list[tuple[str, str]]:
    """(title, address) of stopping and rolling back, for a list: the verbs' pages check the rest.

    Without a query per row, if the Models come from `with_live_arms`.
    """
    by, arms, holds = actor(request), live_arms(model), open_holds(model)
    links = []
    if arms and Hold.Kind.STOPPED not in holds and by.may(Right.STOP, model_id=model.pk):
        links.append(("Stop", reverse("admin:registry_model_stop", args=[model.pk])))
    if arms and model.split_revision > 1 and by.may(Right.ROLL_BACK, model_id=model.pk):
        links.append(("Roll back", reverse("admin:registry_model_roll_back", args=[model.pk])))
    return links
