"""The step that measures a version on its Model's golden set, and the live version if it has not been measured yet."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from inference.checks.examples import read_example
from inference.checks.metrics import (
    TALLIES,
    MetricTally,
    label_name,
    labels_of,
    predicted_label,
    score_output,
)
from inference.checks.steps.base import CheckContext, Facts, StepFailed, StepPassed, StepSkipped
from inference.checks.trial import Trial, TrialFailed
from inference.tensors.arrays import Array
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

BUDGET_S = 600.0  # less than the time after which a silent run is abandoned
_MAX_WRONG = 10
_PROGRESS_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class _RowBatch:
    """Rows that can share a run: each has one row per tensor, and all have the same shapes."""

    rows: list[GoldenRow]
    tensors: list[dict[str, Array]]

    def inputs(self) -> dict[str, Array]:
        first, *others = self.tensors
        return {name: np.concatenate([first[name], *(one[name] for one in others)]) for name in first}


class _Measurement:
    """Runs one version on all rows of a golden set, until all are counted or the time is up."""

    def __init__(
        self, context: CheckContext, golden_set: GoldenSet, trial: Trial, progress: Callable[[Facts], None]
    ) -> None:
        self._version, self._set, self._trial, self._progress = context.version, golden_set, trial, progress
        self._soft_limit_s = context.serving.soft_limit_s
        self._max_batch = context.merged_rows()
        self._signature = trial.signature
        self._labels = labels_of(context.version.task_config)
        self._is_error = Metric(golden_set.metric).less_is_better
        self._ends_at = time.monotonic() + BUDGET_S
        self._report_at = 0.0
        self.done = 0
        self.tally: MetricTally = TALLIES[golden_set.metric]()

    def run(self) -> None:
        output = self._output()
        for batch in self._batches():
            self._report_progress()
            answers = self._answers(batch, output)
            for row, answer in zip(batch.rows, answers, strict=True):
                self._count(row, answer)
        self._report_progress(is_last=True)

    def _output(self) -> str:
        labels = self._labels
        spec = score_output(self._signature, labels) if labels is not None else None
        return (spec or self._signature.outputs[0]).name

    def _batches(self) -> Iterator[_RowBatch]:
        waiting, kind = _RowBatch([], []), None
        for row in read_golden_rows(self._set):
            tensors = self._tensors(row)
            shape = self._shared_shape(tensors)
            is_full = len(waiting.rows) >= self._max_batch
            if waiting.rows and (is_full or shape is None or shape != kind):
                yield waiting
                waiting = _RowBatch([], [])
            waiting.rows.append(row)
            waiting.tensors.append(tensors)
            kind = shape
        if waiting.rows:
            yield waiting

    def _tensors(self, row: GoldenRow) -> dict[str, Array]:
        try:
            return read_example(self._signature, row.inputs)[0]
        except InvalidInput as error:
            raise self._unfit(row, f"does not fit the signature of {self._version}: {error}") from None

    def _shared_shape(self, tensors: dict[str, Array]) -> object:
        """What rows in one run have in common; None: run this one alone."""
        is_row = all(tensor.shape[:1] == (1,) for tensor in tensors.values())
        has_own_values = any(spec.optional and spec.name in tensors for spec in self._signature.inputs)
        if self._max_batch < 2 or not is_row or has_own_values:
            return None
        return tuple((name, tensor.shape) for name, tensor in tensors.items())

    def _answers(self, batch: _RowBatch, output: str) -> list[Array]:
        try:
            got = self._trial.run(batch.inputs(), [output], soft_limit_s=self._soft_limit_s)[output]
        except TrialFailed as error:
            numbers = f"rows {batch.rows[0].number} to {batch.rows[-1].number}"
            raise StepFailed(
                error.code,
                f"{self._version} failed on {numbers} of {self._set}: {error}",
                "Run the file on these rows where you exported it, then fix the file or the set.",
                {"row": batch.rows[0].number},
            ) from None
        if len(batch.rows) == 1:
            return [got]
        if not got.ndim or got.shape[0] != len(batch.rows):
            raise StepFailed(
                "not_by_row",
                f"{self._version} returns {got.shape[0] if got.ndim else 1} rows in {output!r} for {len(batch.rows)} input rows.",
                "Export it with one row of output for each row of input.",
            )
        return list(got)

    def _count(self, row: GoldenRow, answer: Array) -> None:
        self.done += 1
        if not self._is_error:
            self.tally.add(
                row.number, label_name(row.label, self._labels), predicted_label(answer, self._labels)
            )
            return
        expected = row.label if isinstance(row.label, list) else [row.label]
        got = answer.ravel().tolist()
        if len(got) != len(expected) or not all(isinstance(value, (int, float)) for value in got):
            raise self._unfit(
                row, f"has a label of {len(expected)} numbers, but {self._version} gives {len(got)}"
            )
        if not all(math.isfinite(value) for value in got):
            raise StepFailed(
                "not_finite",
                f"{self._version} answers row {row.number} of {self._set} with a number that is not finite.",
                "Look for a division by zero or an overflow in the exported model.",
                {"row": row.number},
            )
        self.tally.add(row.number, expected, got)

    def _report_progress(self, *, is_last: bool = False) -> None:
        now = time.monotonic()
        if now > self._ends_at and not is_last:
            raise StepFailed(
                "out_of_time",
                f"{self._version} answered {self.done} of the {self._set.rows} rows of {self._set} in {BUDGET_S:g} s.",
                "Add a smaller golden set, or let the version take more rows at once.",
                {"done": self.done, "of": self._set.rows},
            )
        if now >= self._report_at or is_last:
            self._report_at = now + _PROGRESS_EVERY_S
            self._progress({"done": self.done, "of": self._set.rows, "version": self._version.number})

    def _unfit(self, row: GoldenRow, fact: str) -> StepFailed:
        return StepFailed(
            "row_unfit",
            f"Row {row.number} of {self._set} {fact}.".replace("..", "."),
            "Add a golden set whose rows fit, or export the version with the inputs of the set.",
            {"row": row.number},
        )


def measure_golden(context: CheckContext, *, by: Actor) -> StepPassed:
    """Measure the version, and the live one if it has not been measured, then check whether it is good enough."""
    golden_set = current_golden_set(context.version.model)
    if golden_set is None:
        raise StepSkipped(
            "not_measured",
            f"Not measured: {context.version.model} has no golden set.",
            "Add a golden set: rows with labels, on which every version is measured.",
        )
    trial = _open_trial(context)
    measurement = _Measurement(context, golden_set, trial, context.progress)
    measurement.run()
    _record(context.version, golden_set, measurement, by)
    note = _measure_champion(context, golden_set, by)
    gate = golden_gate(context.version)
    facts = {
        "golden_set": golden_set.revision,
        "metric": gate.metric,
        "value": gate.value,
        "floor": gate.floor,
        "margin": gate.margin,
        "champion": gate.champion,
        "champion_value": gate.champion_value,
        "done": measurement.done,
        "of": golden_set.rows,
        "wrong": measurement.tally.wrong()[:_MAX_WRONG],
        **note,
    }
    if gate.passes is False:
        raise StepFailed(
            "worse_than_demanded",
            gate.sentence,
            "Look at the wrong rows. The version may be tried, but not promoted. The usual cause is labels or preprocessing"
            " in a different order than the set's.",
            facts,
        )
    return StepPassed(facts, reason=gate.sentence)


def _measure_champion(context: CheckContext, golden_set: GoldenSet, by: Actor) -> Facts:
    """The live version may have been measured only on an earlier set. If it fails now, that is only noted."""
    champion = champion_of(context.version.model)
    if champion is None or champion.pk == context.version.pk or result_of(champion, golden_set) is not None:
        return {}
    live = Version.objects.select_related("model", "artifact").get(pk=champion.pk)
    try:
        with CheckContext(live, context.options_for, progress=context.progress) as other:
            measurement = _Measurement(other, golden_set, _open_trial(other), context.progress)
            measurement.run()
            _record(live, golden_set, measurement, by)
    except StepFailed as error:
        return {"champion_not_measured": error.reason}
    return {}


def _open_trial(context: CheckContext) -> Trial:
    try:
        return context.trial()
    except TrialFailed as error:
        raise StepFailed(
            error.code,
            f"{context.version} could not be loaded for its golden set: {error}",
            "Check it again; if it fails again, look at the worker's memory.",
        ) from None


def _record(version: Version, golden_set: GoldenSet, measurement: _Measurement, by: Actor) -> None:
    record_golden_result(
        version=version,
        golden_set=golden_set,
        value=measurement.tally.value(),
        rows=measurement.done,
        wrong=measurement.tally.wrong(),
        by=by,
    )
