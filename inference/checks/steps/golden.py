"""The step that measures a version on its Model's golden set, and the live version where that is missing."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from inference.checks.answers.examples import read_example
from inference.checks.answers.metrics import TALLIES, Tally
from inference.checks.answers.scores import answer_of, label_of, labels_of, score_output
from inference.checks.steps.findings import Facts, Found, StepFailed, StepSkipped
from inference.checks.steps.subject import Subject
from inference.checks.trial import Trial, TrialFailed
from inference.engine.backends import type_ndarray
from inference.tensors.errors import InvalidInput
from registry.catalogue.models import Version
from registry.intake.examples.models import GoldenSet, Metric
from registry.intake.examples.rows import GoldenRow
from registry.intake.examples.selectors import (
    champion_of,
    current_golden_set,
    golden_gate,
    read_golden_rows,
    result_of,
)
from registry.intake.examples.services import record_golden_result
from registry.kit.actors import Actor

BUDGET_S = 600.0  # below the time after which a silent run is given up
_TOLD_WRONG = 10
_TELL_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class _Batch:
    """Rows that can share a run: their tensors have one row each, of the same shapes."""

    rows: list[GoldenRow]
    tensors: list[dict[str, type_ndarray]]

    def inputs(self) -> dict[str, type_ndarray]:
        first, *others = self.tensors
        return {name: np.concatenate([first[name], *(one[name] for one in others)]) for name in first}


class _Measuring:
    """One version on one golden set, until all rows are counted or the time is over."""

    def __init__(
        self, subject: Subject, golden_set: GoldenSet, trial: Trial, progress: Callable[[Facts], None]
    ) -> None:
        self._version, self._set, self._trial, self._progress = subject.version, golden_set, trial, progress
        self._soft_limit_s = subject.serving.soft_limit_s
        self._max_batch = subject.merged_rows()
        self._signature = trial.signature
        self._labels = labels_of(subject.version.task_config)
        self._is_error = Metric(golden_set.metric).less_is_better
        self._ends_at = time.monotonic() + BUDGET_S
        self._tell_at = 0.0
        self.done = 0
        self.tally: Tally = TALLIES[golden_set.metric]()

    def run(self) -> None:
        output = self._output()
        for batch in self._batches():
            self._tell()
            answers = self._answers(batch, output)
            for row, answer in zip(batch.rows, answers, strict=True):
                self._count(row, answer)
        self._tell(is_last=True)

    def _output(self) -> str:
        labels = self._labels
        spec = score_output(self._signature, labels) if labels is not None else None
        return (spec or self._signature.outputs[0]).name

    def _batches(self) -> Iterator[_Batch]:
        waiting, kind = _Batch([], []), None
        for row in read_golden_rows(self._set):
            tensors = self._tensors(row)
            shape = self._sharing(tensors)
            is_full = len(waiting.rows) >= self._max_batch
            if waiting.rows and (is_full or shape is None or shape != kind):
                yield waiting
                waiting = _Batch([], [])
            waiting.rows.append(row)
            waiting.tensors.append(tensors)
            kind = shape
        if waiting.rows:
            yield waiting

    def _tensors(self, row: GoldenRow) -> dict[str, type_ndarray]:
        try:
            return read_example(self._signature, row.inputs)[0]
        except InvalidInput as error:
            raise self._unfit(row, f"does not fit the signature of {self._version}: {error}") from None

    def _sharing(self, tensors: dict[str, type_ndarray]) -> object:
        """What rows of one run have in common; None: this one runs by itself."""
        is_row = all(tensor.shape[:1] == (1,) for tensor in tensors.values())
        has_own_values = any(spec.optional and spec.name in tensors for spec in self._signature.inputs)
        if self._max_batch < 2 or not is_row or has_own_values:
            return None
        return tuple((name, tensor.shape) for name, tensor in tensors.items())

    def _answers(self, batch: _Batch, output: str) -> list[type_ndarray]:
        try:
            got = self._trial.run(batch.inputs(), [output], soft_limit_s=self._soft_limit_s)[output]
        except TrialFailed as error:
            numbers = f"rows {batch.rows[0].number} to {batch.rows[-1].number}"
            raise StepFailed(
                error.code,
                f"{self._version} failed on {numbers} of {self._set}: {error}",
                "Run the file on these rows where it was exported, and mend it or the set.",
                {"row": batch.rows[0].number},
            ) from None
        if len(batch.rows) == 1:
            return [got]
        if not got.ndim or got.shape[0] != len(batch.rows):
            raise StepFailed(
                "not_by_row",
                f"{self._version} gives {got.shape[0] if got.ndim else 1} rows in {output!r} for {len(batch.rows)} rows.",
                "Export it with one row of output for each row of input.",
            )
        return list(got)

    def _count(self, row: GoldenRow, answer: type_ndarray) -> None:
        self.done += 1
        if not self._is_error:
            self.tally.add(row.number, label_of(row.label, self._labels), answer_of(answer, self._labels))
            return
        expected = row.label if isinstance(row.label, list) else [row.label]
        got = answer.ravel().tolist()
        if len(got) != len(expected) or not all(isinstance(value, (int, float)) for value in got):
            raise self._unfit(row, f"has {len(expected)} numbers as label, {self._version} gives {len(got)}")
        if not all(math.isfinite(value) for value in got):
            raise StepFailed(
                "not_finite",
                f"{self._version} answers row {row.number} of {self._set} with a number that is not finite.",
                "Look for a division by zero or an overflow in the exported model.",
                {"row": row.number},
            )
        self.tally.add(row.number, expected, got)

    def _tell(self, *, is_last: bool = False) -> None:
        now = time.monotonic()
        if now > self._ends_at and not is_last:
            raise StepFailed(
                "out_of_time",
                f"{self._version} answered {self.done} of the {self._set.rows} rows of {self._set} in {BUDGET_S:g} s.",
                "Put a smaller golden set, or let the version take more rows at once.",
                {"done": self.done, "of": self._set.rows},
            )
        if now >= self._tell_at or is_last:
            self._tell_at = now + _TELL_EVERY_S
            self._progress({"done": self.done, "of": self._set.rows, "version": self._version.number})

    def _unfit(self, row: GoldenRow, fact: str) -> StepFailed:
        return StepFailed(
            "row_unfit",
            f"Row {row.number} of {self._set} {fact}.".replace("..", "."),
            "Put a golden set whose rows fit, or export the version with the inputs that the set has.",
            {"row": row.number},
        )


def measure_golden(subject: Subject, *, by: Actor) -> Found:
    """Measure the version, and the live one where nobody has yet, then ask whether it is good enough."""
    golden_set = current_golden_set(subject.version.model)
    if golden_set is None:
        raise StepSkipped(
            "not_measured",
            f"Not measured: {subject.version.model} has no golden set.",
            "Put a golden set: rows with labels, by which every version is measured.",
        )
    trial = _opened(subject)
    measuring = _Measuring(subject, golden_set, trial, subject.progress)
    measuring.run()
    _record(subject.version, golden_set, measuring, by)
    note = _measure_champion(subject, golden_set, by)
    gate = golden_gate(subject.version)
    facts = {
        "golden_set": golden_set.revision,
        "metric": gate.metric,
        "value": gate.value,
        "floor": gate.floor,
        "margin": gate.margin,
        "champion": gate.champion,
        "champion_value": gate.champion_value,
        "done": measuring.done,
        "of": golden_set.rows,
        "wrong": measuring.tally.wrong()[:_TOLD_WRONG],
        **note,
    }
    if gate.passes is False:
        raise StepFailed(
            "worse_than_demanded",
            gate.sentence,
            "Look at the rows that went wrong; it may be tried, but not promoted. Labels or preprocessing"
            " in another order than the set's are the usual cause.",
            facts,
        )
    return Found(facts, reason=gate.sentence)


def _measure_champion(subject: Subject, golden_set: GoldenSet, by: Actor) -> Facts:
    """The live version may have been measured on an earlier set only; a failure of its own is no fault of this one."""
    champion = champion_of(subject.version.model)
    if champion is None or champion.pk == subject.version.pk or result_of(champion, golden_set) is not None:
        return {}
    live = Version.objects.select_related("model", "artifact").get(pk=champion.pk)
    try:
        with Subject(live, subject.options_for, progress=subject.progress) as other:
            measuring = _Measuring(other, golden_set, _opened(other), subject.progress)
            measuring.run()
            _record(live, golden_set, measuring, by)
    except StepFailed as error:
        return {"champion_not_measured": error.reason}
    return {}


def _opened(subject: Subject) -> Trial:
    try:
        return subject.trial()
    except TrialFailed as error:
        raise StepFailed(
            error.code,
            f"{subject.version} could not be loaded for its golden set: {error}",
            "Check it again; if that happens again, look at the worker's memory.",
        ) from None


def _record(version: Version, golden_set: GoldenSet, measuring: _Measuring, by: Actor) -> None:
    record_golden_result(
        version=version,
        golden_set=golden_set,
        value=measuring.tally.value(),
        rows=measuring.done,
        wrong=measuring.tally.wrong(),
        by=by,
    )
