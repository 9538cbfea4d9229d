"""Report cards: how often a policy or a detector's version is right, and how much it misses, from what people judged."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from moderation.policies.models import Policy
from moderation.quality.estimates import (
    Estimate,
    WeightedVerdicts,
    estimate_precision,
    estimate_prevalence,
    estimate_recall,
)
from moderation.quality.judged_contents import (
    JudgedContent,
    JudgedContents,
    Sampling,
    codes_by_detector,
)

LEAST_VERDICTS = 30  # below, a figure would say little
_MOST_LANGUAGES = 20

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class CardFigures:
    """What is known of some contents. `hits` and `false_alarms` count contents that a person looked at, `missed` those that
    were let through and that an audit, or a review for another reason, found. `recall` and `prevalence` need audits.
    """

    precision: Estimate
    recall: Estimate
    prevalence: Estimate
    hits: int
    false_alarms: int
    missed: int
    audits: int
    blocked_alone: int  # without a person
    appeals: int
    overturned: int
    reported: int  # let through, and removed after a report

    @property
    def is_empty(self) -> bool:
        return not (self.precision.count or self.missed or self.audits or self.blocked_alone or self.reported)


@dataclass(frozen=True, slots=True)
class SlicedFigures:
    """Figures of one violation or one language."""

    name: str
    figures: CardFigures


@dataclass(frozen=True, slots=True)
class ReportCard:
    """Of a policy; or of a detector's version, with the codes of the rules that ask it."""

    policy: str
    detector: str
    version: int | None
    figures: CardFigures
    by_code: Sequence[SlicedFigures]
    by_language: Sequence[SlicedFigures]


def is_enough(estimate: Estimate) -> bool:
    return estimate.value is not None and estimate.count >= LEAST_VERDICTS


def report_cards(
    judged: JudgedContents,
    *,
    policy: str = "",
    detector: str = "",
    version: int | None = None,
    code: str = "",
    language: str | None = None,
) -> list[ReportCard]:
    """Policies by name, then detectors by name, the newest version first. Only those that the filters name.

    With `policy`, detectors are judged by that policy's contents alone. `detector` is a Model, or one of its aliases.
    """
    names = dict(Policy.objects.values_list("pk", "name"))
    wanted = [
        one
        for one in judged.contents
        if (not policy or names.get(one.policy_id) == policy)
        and (language is None or one.language == language)
    ]
    table = _ContentColumns(wanted)
    policies = sorted({one.policy_id for one in wanted}, key=lambda pk: names[pk])
    cards = [] if detector else [table.policy_card(pk, names[pk], code) for pk in policies]
    versions = {(name, number) for one in wanted for name, number in one.asked.items()}
    for name, number in sorted(versions, key=lambda one: (one[0], -one[1])):
        if detector in ("", name) and version in (None, number):
            cards.append(table.detector_card(name, number, code))
    return [card for card in cards if not card.figures.is_empty]


class _ContentColumns:
    """The contents as columns, so that each figure takes a few operations on arrays."""

    def __init__(self, contents: Sequence[JudgedContent]) -> None:
        self._contents = contents
        self._wanted = codes_by_detector({one.revision_id for one in contents})
        looked_for = (codes for by_detector in self._wanted.values() for codes in by_detector.values())
        self._codes = sorted(
            {code for codes in looked_for for code in codes}
            | {code for one in contents for code in one.violations}
            | {stop.code for one in contents for stop in one.stops}
        )
        self._places = {code: place for place, code in enumerate(self._codes)}
        self._violations = self._by_code(one.violations if one.is_violation else () for one in contents)
        self._is_violation = _column((one.is_violation for one in contents), bool)
        self._was_appealed = _column((one.was_appealed for one in contents), bool)
        self._case = _column((one.case_id for one in contents), np.int64)
        self._weight = _column((one.weight for one in contents), float)
        self._policy = _column((one.policy_id for one in contents), np.int64)
        self._language = _column((one.language for one in contents), object)
        sampling = _column((one.sampling.value for one in contents), object)
        self._sampled = {one: sampling == one.value for one in Sampling}

    def policy_card(self, policy_id: int, name: str, code: str) -> ReportCard:
        stops = self._by_code({stop.code for stop in one.stops} for one in self._contents)
        rows = _ChosenRows(self._policy == policy_id, stops, self._violations, self._is_violation)
        return self._card(rows, code, policy=name)

    def detector_card(self, detector: str, version: int, code: str) -> ReportCard:
        """Of the contents that it was asked about, and the violations that it was asked for."""
        stops = self._by_code(
            {stop.code for stop in one.stops if stop.detector == detector and stop.version == version}
            for one in self._contents
        )
        asked_for = self._by_code(
            self._wanted.get(one.revision_id, {}).get(detector, ()) for one in self._contents
        )
        answered = _column((one.asked.get(detector) == version for one in self._contents), bool)
        violations = self._violations & asked_for
        rows = _ChosenRows(answered & _any(asked_for), stops, violations, _any(violations), asked_for)
        return self._card(rows, code, detector=detector, version=version)

    def _card(
        self,
        rows: "_ChosenRows",
        code: str,
        *,
        policy: str = "",
        detector: str = "",
        version: int | None = None,
    ) -> ReportCard:
        by_violation = [] if code else self._by_violation(rows)
        shown = rows.of_code(self._places.get(code)) if code else rows
        return ReportCard(
            policy, detector, version, self._figures(shown), by_violation, self._by_language(shown)
        )

    def _by_violation(self, rows: "_ChosenRows") -> list[SlicedFigures]:
        slices = (
            SlicedFigures(code, self._figures(rows.of_code(place)))
            for code, place in self._places.items()
            if (rows.within & (rows.stops[:, place] | rows.violations[:, place])).any()
        )
        return [one for one in slices if not one.figures.is_empty]

    def _by_language(self, rows: "_ChosenRows") -> list[SlicedFigures]:
        """The most usual languages."""
        names, counts = np.unique(self._language[rows.within].astype(str), return_counts=True)
        usual = sorted(zip(names.tolist(), counts.tolist(), strict=True), key=lambda one: (-one[1], one[0]))
        return [
            SlicedFigures(name, self._figures(rows.only(self._language == name)))
            for name, _ in usual[:_MOST_LANGUAGES]
        ]

    def _figures(self, rows: "_ChosenRows") -> CardFigures:
        within, violates = rows.within, rows.violates
        is_stopped = _any(rows.stops)
        audited, blocked = within & self._sampled[Sampling.AUDITED], within & self._sampled[Sampling.BLOCKED]
        sampled = audited | (within & self._sampled[Sampling.REVIEWED])
        stopped, passed = sampled & is_stopped, sampled & ~is_stopped
        appealed = within & is_stopped & self._was_appealed
        flagged, let_through = self._verdicts(stopped, violates), self._verdicts(passed, violates)
        audits = self._verdicts(audited & ~is_stopped, violates)
        # What nobody appealed against, or what an appeal confirmed, was found; by this subject, or by another one.
        recall = Estimate(None, 0.0, 1.0, 0)
        if audits.count:
            found = _with_weights_of_1(flagged, int((blocked & is_stopped & violates).sum()))
            missed = _with_weights_of_1(let_through, int((blocked & ~is_stopped & violates).sum()))
            recall = replace(estimate_recall(found, missed), count=audits.count)
        return CardFigures(
            precision=estimate_precision(flagged),
            recall=recall,
            prevalence=estimate_prevalence(audits),
            hits=int((stopped & violates).sum()),
            false_alarms=int((stopped & ~violates).sum()),
            missed=int((passed & violates).sum()),
            audits=audits.count,
            blocked_alone=int((blocked & is_stopped).sum()),
            appeals=int(appealed.sum()),
            overturned=int((appealed & ~self._is_violation).sum()),
            reported=int((within & self._sampled[Sampling.COMPLAINED] & violates).sum()),
        )

    def _verdicts(self, chosen: Mask, violates: Mask) -> WeightedVerdicts:
        """One for all equal contents of a case: they were judged once, and weigh as much as all of them."""
        keys = self._case[chosen] * 2 + violates[chosen]
        verdicts, places = np.unique(keys, return_inverse=True)
        weights = np.bincount(places, weights=self._weight[chosen], minlength=len(verdicts)).astype(float)
        return WeightedVerdicts((verdicts % 2).astype(bool), weights)

    def _by_code(self, codes_of_rows: Iterable[Iterable[str]]) -> Mask:
        """A row for each content, a column for each code."""
        table = np.zeros((len(self._contents), len(self._codes)), bool)
        for row, codes in enumerate(codes_of_rows):
            for code in codes:
                table[row, self._places[code]] = True
        return table


@dataclass(frozen=True, slots=True)
class _ChosenRows:
    """Contents that a card is about: `within`. `stops` and `violations` have a column for each code."""

    within: Mask
    stops: Mask
    violations: Mask
    violates: Mask
    asked_for: Mask | None = None  # by code; None: all

    def of_code(self, place: int | None) -> "_ChosenRows":
        if place is None:  # nobody knows this violation
            return self.only(np.zeros(len(self.within), bool))
        within = self.within if self.asked_for is None else self.within & self.asked_for[:, place]
        column = slice(place, place + 1)
        return _ChosenRows(
            within, self.stops[:, column], self.violations[:, column], self.violations[:, place]
        )

    def only(self, chosen: Mask) -> "_ChosenRows":
        return replace(self, within=self.within & chosen)


def _any(table: Mask) -> Mask:
    return np.asarray(table.any(axis=1), bool)


def _column(values: Iterable[Any], kind: Any) -> NDArray[Any]:
    return np.array(list(values), kind)


def _with_weights_of_1(verdicts: WeightedVerdicts, violations: int) -> WeightedVerdicts:
    """Add violations of which each stands for itself."""
    return WeightedVerdicts(
        np.concatenate([verdicts.violates, np.ones(violations, bool)]),
        np.concatenate([verdicts.weights, np.ones(violations)]),
    )
