"""Setting a split, and reshuffling: the forms, their previews in numbers, and the verbs."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeVar

from django import forms
from django.urls import reverse
from django.utils.html import format_html

from registry.access.policies import Right
from registry.catalogue.models import Model, Version
from registry.console.headers import awaited, requests_for_version
from registry.intake.examples.selectors import champion_of
from registry.kit.actors import Actor
from registry.kit.admin.plots import looks_of
from registry.kit.admin.theme import NumberInput
from registry.kit.admin.verbs import ReasonForm, Verb, VerbGroup
from registry.traffic import services as traffic
from registry.traffic.assignment import WHOLE, ranges
from registry.traffic.gates import breaks_callers
from registry.traffic.models import Hold, Split, SplitRequest
from registry.traffic.readiness import warm_among
from registry.traffic.selectors import (
    ArmShare,
    arms_of,
    current_split,
    live_arms,
    open_holds,
    open_requests,
    waiting_split,
)
from registry.traffic.transitions import Status

_HUNDRED = Decimal(100)
_VERSIONS_OFFERED = 10
K = TypeVar("K", bound=Hashable)


def shares_text(arms: Iterable[ArmShare]) -> str:
    """Text such as: version 3 90 %, version 2 10 %."""
    return ", ".join(f"version {arm.version} {arm.percent:g} %" for arm in arms)


def answers_text(arms: Sequence[ArmShare]) -> str:
    """Text such as: version 3 answers 90 %, version 2 10 %."""
    first, *others = arms
    rest = f", {shares_text(others)}" if others else ""
    return f"version {first.version} answers {first.percent:g} %{rest}"


def written_split_text(split: Split) -> str:
    """The state of a split that was just written."""
    if split.status == Status.WAITING:  # without numbers: the sentence stays on the page while they change
        return f"{split} becomes current as soon as every engine that serves it is warm."
    return f"{split} is {split.status}."


def proportional_parts(whole: int, weights: Mapping[K, int]) -> dict[K, int]:
    """Divide a whole number in proportion: parts are rounded down, and the largest remainders get what is left."""
    total = sum(weights.values())
    parts = {key: whole * weight // total for key, weight in weights.items()}
    by_remainder = sorted(weights, key=lambda key: whole * weights[key] % total, reverse=True)
    for key in by_remainder[: whole - sum(parts.values())]:
        parts[key] += 1
    return parts


def preview_replaced(model: Model) -> list[str]:
    """What another split would replace, and the stop that it would not end."""
    waiting, open_count = waiting_split(model), open_requests(model).count()
    preview = []
    if waiting:
        preview.append(f"Split {waiting.split.number} is waiting to become current; this one replaces it.")
    if open_count:
        requests = f"{open_count} open request{'s' if open_count > 1 else ''}"
        preview.append(f"{requests} will be closed as overtaken when another split is set.")
    if Hold.Kind.STOPPED in open_holds(model):
        preview.append("The Model stays stopped: no version answers until it is started.")
    return preview


@dataclass(frozen=True, slots=True)
class SplitLine:
    """One version in the editor."""

    version: Version
    field: forms.BoundField
    now: int  # basis points
    shadow: float | None  # percent of requests mirrored to it, if it is a shadow
    look: int
    is_warm: bool


class SplitForm(ReasonForm):
    """One percentage per ready version, and the revision that the person saw. Shadows stay as they are."""

    fields_template = "admin/registry/split_fields.html"
    seen = forms.IntegerField(widget=forms.HiddenInput)
    field_order: list[str] | None = None

    def __init__(self, *args: Any, row: Model, candidate: Version | None = None, **kwargs: Any) -> None:
        kwargs["initial"] = {"seen": row.split_revision}
        super().__init__(*args, row=row, **kwargs)
        self._candidate = candidate
        self.split = current_split(row)
        self.now = self.split.shares() if self.split is not None else {}
        arms = self.split.arms.all() if self.split is not None else []
        self._shadows = {arm.version: arm.mirrored for arm in arms if arm.mirrored is not None}
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
        self.focus = next(iter(self.versions), "")

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        total = sum((cleaned.get(name) or Decimal(0) for name in self.versions), Decimal(0))
        if not self.errors and total != _HUNDRED:
            raise forms.ValidationError(
                f"The shares add up to {total.normalize():f} %; they must add up to 100 %."
            )
        return cleaned

    @property
    def preview(self) -> list[str]:
        model, holds = self.row, open_holds(self.row)
        preview = preview_replaced(model)
        if model.needs_approval:
            preview.insert(
                0,
                f"{model.slug} needs a second person's approval: giving a version more share sends an approval request. "
                "Only returning share to the leading version takes effect immediately.",
            )
        leader = champion_of(model)
        if (
            self._candidate is not None
            and leader is not None
            and (text := breaks_callers(leader, self._candidate))
        ):
            preview.append(text)
        if Hold.Kind.FROZEN in holds:
            preview.append(f"It is frozen ({holds[Hold.Kind.FROZEN]}): shares can only be lowered.")
        return preview

    @property
    def arms(self) -> dict[Version, int]:
        """Basis points of the versions that get a share."""
        shares = {version: int(self.cleaned_data[name] * 100) for name, version in self.versions.items()}
        return {version: share for version, share in shares.items() if share}

    @property
    def shadows(self) -> dict[Version, int]:
        """The shadows of the current split, except versions that get a share."""
        return {version: share for version, share in self._shadows.items() if version not in self.arms}

    @property
    def lines(self) -> list[SplitLine]:
        warm = warm_among(self.row, [version.pk for version in self.versions.values()])
        looks = self._looks()
        mirrored = {version.pk: share for version, share in self._shadows.items()}
        return [
            SplitLine(
                version=version,
                field=self[name],
                now=self.now.get(version.pk, 0),
                shadow=mirrored[version.pk] / 100 if version.pk in mirrored else None,
                look=looks[version.number],
                is_warm=version.pk in warm,
            )
            for name, version in self.versions.items()
        ]

    @property
    def arms_now(self) -> list[ArmShare]:
        return arms_of(self.split) if self.split is not None else []

    @property
    def unoffered_shadows(self) -> list[tuple[int, float]]:
        """(version, percent) of shadows that have no line in the editor."""
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

    def _looks(self) -> dict[int, int]:
        """Looks by version number. The live versions come first, so that they look as in the bar above."""
        live = sorted(arm.version for arm in self.arms_now)
        return looks_of([*live, *(version.number for version in self.versions.values())])

    @staticmethod
    def _offered(model: Model, named: set[int]) -> Iterable[Version]:
        """The newest ready versions, and the `named` ones, however old they are."""
        ready = model.versions.filter(status="ready").select_related("model")
        newest = list(ready.order_by("-number")[:_VERSIONS_OFFERED])
        older = [version for version in ready.filter(pk__in=named) if version not in newest]
        return sorted([*newest, *older], key=lambda version: -version.number)


class AgainstLiveForm(SplitForm):
    """The same, proposing 10 % for a version that is not live, or 100 % if none is live."""

    def __init__(self, *args: Any, row: Model | Version, **kwargs: Any) -> None:
        model, candidate = (row.model, row) if isinstance(row, Version) else (row, newcomer(row))
        super().__init__(*args, row=model, candidate=candidate, **kwargs)


def newcomer(model: Model) -> Version | None:
    """The newest ready version, if it is newer than every live one."""
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
    return {**proportional_parts(WHOLE - WHOLE // 10, now), candidate.pk: WHOLE // 10}


class ReshuffleForm(ReasonForm):
    is_destructive = True

    @property
    def preview(self) -> list[str]:
        arms = live_arms(self.row)
        if not arms:
            effect = "No version is live, so no caller is affected."
        else:
            moving = 100 - sum((arm.share / WHOLE) ** 2 for arm in arms) * 100
            effect = (
                f"With {shares_text(arms)}, about {moving:.0f} % of routing keys move to another version."
            )
        return ["Every routing key gets a new random bucket.", effect]


def _set_split(_row: Model | Version, form: SplitForm, by: Actor) -> str:
    written = traffic.set_or_ask(
        model=form.row,
        arms=form.arms,
        shadows=form.shadows,
        reason=form.cleaned_data["reason"],
        expected_revision=form.cleaned_data["seen"],
        by=by,
    )
    if isinstance(written, SplitRequest):
        page = reverse("admin:registry_splitrequest_change", args=[written.pk])
        return format_html(
            'Sent for approval as <a href="{}" class="underline">{}</a>: another person has to approve it.',
            page,
            written,
        )
    return written_split_text(written)


def _reshuffle(model: Model, form: ReasonForm, by: Actor) -> str:
    traffic.reshuffle(model=model, reason=form.cleaned_data["reason"], by=by)
    return f"Every routing key of {model} got a new random bucket."


def _why_no_newcomer(model: Model) -> str:
    if newcomer(model) is not None:
        return ""
    return f"No ready version of {model} is newer than the live ones. Upload one, or set the split."


def _why_no_share(version: Version) -> str:
    split = current_split(version.model)
    if not version.is_servable:
        because = f": {version.failure}" if version.failure else "."
        return f"{version} cannot get a share: it must be ready, but it is {version.status}{because}"
    if split is not None and version.pk in split.shares():
        return f"{version} is already live. Set the split to change its share."
    return ""


SPLIT_VERBS = (
    Verb("split", "Set split", Right.LOWER, SplitForm, _set_split, lambda _: True, group=VerbGroup.RELEASE),
    Verb("a-b", "A/B test against live", Right.LOWER, AgainstLiveForm, _set_split,
         lambda model: not _why_no_newcomer(model), why_not=_why_no_newcomer, group=VerbGroup.RELEASE),
)  # fmt: skip
RESHUFFLE = Verb(
    "reshuffle", "Reshuffle", Right.SET_SPLIT, ReshuffleForm, _reshuffle,
    lambda model: Hold.Kind.FROZEN not in open_holds(model),
)  # fmt: skip
ASK_FOR_SHARE = Verb(
    "a-b", "Ask for share", Right.LOWER, AgainstLiveForm, _set_split,
    lambda version: not _why_no_share(version), why_not=_why_no_share, group=VerbGroup.RELEASE,
)  # fmt: skip


def next_step(version: Version, by: Actor) -> tuple[str, str] | None:
    """The title and address of what brings a ready version traffic next; None if the actor can do nothing."""
    if _why_no_share(version):
        return None
    if requests := requests_for_version(version):
        return awaited(requests[0][0])
    if not by.may(ASK_FOR_SHARE.right, model_id=version.model_id):
        return None
    return ASK_FOR_SHARE.title, reverse("admin:registry_version_a_b", args=[version.pk])
