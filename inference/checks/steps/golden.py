"""The step that measures a version on its Model's golden set, and the live version if it has not been measured yet."""

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from inference.checks.errors import NotMeasurable, RowUnfit
from inference.checks.examples import read_example
from inference.checks.metrics import TALLIES, MetricTally, label_name, predicted_label
from inference.checks.steps.base import CheckContext, Facts, StepFailed, StepPassed, StepSkipped
from inference.checks.trial import Trial, TrialFailed
from inference.pipelines.errors import BadTaskConfig, UnusableOutput
from inference.pipelines.pipeline import ItemPipeline
from inference.pipelines.plain import PlainClassification
from inference.tensors.arrays import Array, Tensors
from inference.tensors.errors import InvalidInput
from registry.catalogue.models import Version
from registry.errors import ArtifactMissing
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
_ITEMS, _ITEM_BYTES = 64, 16 * 2**20  # of rows that are answered at once

Progress: TypeAlias = Callable[[Facts], None]


@dataclass(frozen=True, slots=True)
class _RowBatch:
    """Rows that can share a run: each has one row per tensor, and all have the same shapes."""

    rows: list[GoldenRow]
    tensors: list[dict[str, Array]]

    def inputs(self) -> dict[str, Array]:
        first, *others = self.tensors
        return {name: np.concatenate([first[name], *(one[name] for one in others)]) for name in first}


class _Measurement(ABC):
    """Runs one version on all rows of a golden set, until all are counted or the time is up."""

    def __init__(
        self, context: CheckContext, golden_set: GoldenSet, trial: Trial, progress: Progress
    ) -> None:
        self._version, self._set, self._trial, self._progress = context.version, golden_set, trial, progress
        self._soft_limit_s = context.serving.soft_limit_s
        self._max_batch = context.merged_rows()
        self._ends_at = time.monotonic() + BUDGET_S
        self._report_at = 0.0
        self.done, self.value = 0, math.nan
        self.tally: MetricTally = TALLIES[golden_set.metric]()

    def run(self) -> None:
        try:
            self._count_rows()
            self._report_progress(is_last=True)
            self.value = self.tally.value()
        except NotMeasurable as error:
            raise StepFailed(
                error.code,
                f"{self._version} {error.fact}: {self._set}.",
                error.advice,
                {"done": self.done, "of": self._set.rows},
            ) from None

    @abstractmethod
    def _count_rows(self) -> None: ...

    def _run(
        self, rows: Sequence[GoldenRow], inputs: Tensors, outputs: Sequence[str] | None = None
    ) -> dict[str, Array]:
        """Run the model for these rows, after reporting progress."""
        self._report_progress()
        try:
            return self._trial.run(inputs, outputs, soft_limit_s=self._soft_limit_s)
        except TrialFailed as error:
            numbers = f"rows {rows[0].number} to {rows[-1].number}"
            raise StepFailed(
                error.code,
                f"{self._version} failed on {numbers} of {self._set}: {error}",
                "Run the file on these rows where you exported it, then fix the file or the set.",
                {"row": rows[0].number},
            ) from None

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


class _TensorMeasurement(_Measurement):
    """For versions whose rows are the model's own tensors."""

    def __init__(
        self, context: CheckContext, golden_set: GoldenSet, trial: Trial, progress: Progress
    ) -> None:
        super().__init__(context, golden_set, trial, progress)
        pipeline = context.pipeline
        self._signature = trial.signature
        self._labels = pipeline.labels or None
        first = self._signature.outputs[0].name
        self._output = pipeline.output if isinstance(pipeline, PlainClassification) else first
        self._is_error = Metric(golden_set.metric).less_is_better

    def _count_rows(self) -> None:
        for batch in self._batches():
            for row, answer in zip(batch.rows, self._answers(batch), strict=True):
                self._count(row, answer)

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

    def _answers(self, batch: _RowBatch) -> list[Array]:
        output = self._output
        got = self._run(batch.rows, batch.inputs(), [output])[output]
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


class _ItemMeasurement(_Measurement):
    """For versions whose rows are items, such as texts, which their pipelines answer."""

    def __init__(
        self,
        context: CheckContext,
        golden_set: GoldenSet,
        trial: Trial,
        progress: Progress,
        pipeline: ItemPipeline[Any],
    ) -> None:
        super().__init__(context, golden_set, trial, progress)
        self._pipeline = pipeline
        self._compared = pipeline.golden.metrics[golden_set.metric]

    def _count_rows(self) -> None:
        for rows in self._batches():
            self._report_progress()
            for row, answer in zip(rows, self._answers(rows), strict=True):
                self._count(row, answer)

    def _batches(self) -> Iterator[list[GoldenRow]]:
        """Rows that may be held and answered together."""
        most = min(_ITEMS, self._pipeline.most_items)
        waiting: list[GoldenRow] = []
        held = 0
        for row in read_golden_rows(self._set):
            if waiting and (len(waiting) == most or held + row.bytes > _ITEM_BYTES):
                yield waiting
                waiting, held = [], 0
            waiting.append(row)
            held += row.bytes
        if waiting:
            yield waiting

    def _count(self, row: GoldenRow, answer: Any) -> None:
        self.done += 1
        expected, got = self._compared.expected(row.label), self._compared.got(answer)
        try:
            self.tally.add(row.number, expected, got, text=self._pipeline.golden.shown(row.inputs))
        except RowUnfit as unfit:
            raise self._unfit(row, str(unfit)) from None

    def _answers(self, rows: Sequence[GoldenRow]) -> list[Any]:
        """Answers of many rows at once; if one of them cannot be read, or they are too many, each half is asked for itself."""
        half = len(rows) // 2
        try:
            return self._ask(rows)
        except InvalidInput as error:
            if not half:
                raise self._unfit(rows[0], f"cannot be read by {self._version}: {error}") from None
            return [*self._answers(rows[:half]), *self._answers(rows[half:])]
        except (UnusableOutput, BadTaskConfig) as error:
            if half:
                return [*self._answers(rows[:half]), *self._answers(rows[half:])]
            raise StepFailed(
                error.code,
                f"{self._version} has no answer for row {rows[0].number} of {self._set}: {error}",
                "Look for a division by zero or an overflow in the exported model, or for a wrong task configuration.",
                {"row": rows[0].number},
            ) from None

    def _ask(self, rows: Sequence[GoldenRow]) -> list[Any]:
        body = self._pipeline.joined_body([row.inputs for row in rows])
        body |= self._compared.options
        return self._pipeline.answer(body, partial(self._run, rows), most_rows=self._max_batch)


def _measurement(
    context: CheckContext, golden_set: GoldenSet, trial: Trial, progress: Progress
) -> _Measurement:
    pipeline = context.pipeline
    if isinstance(pipeline, ItemPipeline):
        return _ItemMeasurement(context, golden_set, trial, progress, pipeline)
    return _TensorMeasurement(context, golden_set, trial, progress)


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
    measurement = _measurement(context, golden_set, trial, context.progress)
    measurement.run()
    _record(context, golden_set, measurement, by)
    note = _measure_champion(context, golden_set, by)
    gate = golden_gate(context.version, preprocessing=context.pipeline.digest)
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
    if gate.other_preprocessing:
        raise StepFailed(
            "other_preprocessing",
            gate.sentence,
            "The version may be tried, but not promoted until then. Look at the wrong rows first.",
            facts,
        )
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
            measurement = _measurement(other, golden_set, _open_trial(other), context.progress)
            measurement.run()
            _record(other, golden_set, measurement, by)
    except StepFailed as error:
        return {"champion_not_measured": error.reason}
    except (BadTaskConfig, ArtifactMissing, OSError) as error:
        return {"champion_not_measured": f"The task of {live} cannot be read: {error}"}
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


def _record(context: CheckContext, golden_set: GoldenSet, measurement: _Measurement, by: Actor) -> None:
    record_golden_result(
        version=context.version,
        preprocessing=context.pipeline.digest,
        golden_set=golden_set,
        value=measurement.value,
        rows=measurement.done,
        wrong=measurement.tally.wrong(),
        by=by,
    )
