"""Rows of named columns, such as those of a scikit-learn pipeline: a label for each, or numbers."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np

from inference.pipelines.columns import ColumnFields, Columns, rows_of_tensors
from inference.pipelines.errors import BadTaskConfig, UnusableOutput
from inference.pipelines.labels import Label, LabelFields, LabelOutput, label_specs, label_tensors, shown
from inference.pipelines.pipeline import (
    Config,
    Encoded,
    Fields,
    Files,
    FilesBeside,
    ItemPipeline,
    RowGroup,
    RowOutputs,
    item_list,
)
from inference.pipelines.scored_rows import CLASSIFIED_ROWS, NUMBER_ROWS
from inference.pipelines.scores import ScoreFunction
from inference.tensors.arrays import Tensors
from inference.tensors.samples import EMPTY_SAMPLE, Sample
from inference.tensors.signature import Signature, TensorSpec

MAX_ROWS = 1_024
_ROUNDING = 1e-3
_MOST_USUAL_LABELS = 100  # of an answer, unless configured or requested

C = TypeVar("C")


@dataclass(frozen=True, slots=True)
class RowLabels:
    """A row's best label and how sure the model is of it; its labels, best first."""

    label: str
    confidence: float
    labels: Sequence[Label]


@dataclass(frozen=True, slots=True)
class ComputedValue:
    """What the model computes for a row."""

    value: float | Sequence[float]


class TableTask(ItemPipeline[C], Generic[C]):
    """A task whose items are rows: objects with a value for each column, or lists of values."""

    one, several = "row", "rows"
    most_items = MAX_ROWS

    def __init__(self, config: Config, files: Files, signature: Signature, columns: ColumnFields) -> None:
        self.columns = Columns(columns, signature)
        self.takes_missing, self.row_bytes = bool(self.columns.defaults), self.columns.row_bytes
        self.row_values = len(self.columns.specs)
        super().__init__(config, files, signature)

    @classmethod
    def example_of(
        cls, config: Config, files: Files, signature: Signature, sample: Sample = EMPTY_SAMPLE
    ) -> dict[str, Any]:
        return {"row": cls._columns_of(config, signature).example(sample)}

    @staticmethod
    def _columns_of(config: Config, signature: Signature) -> Columns:
        only = {name: config[name] for name in ("columns", "defaults") if name in config}
        return Columns(ColumnFields(Fields(only)), signature)

    def samples(self) -> None:
        return None

    @classmethod
    def row_of(cls, body: Mapping[str, Any]) -> dict[str, Any]:
        row = body["row"]
        return (
            dict(row) if isinstance(row, Mapping) else {str(place): value for place, value in enumerate(row)}
        )

    def read_rows(self, body: Mapping[str, Any]) -> RowGroup:
        """The rows of a request."""
        rows = item_list(body, "row", "rows", most=self.most_items)
        tensors = self.columns.encode(rows, lambda number: f"rows[{number}]" if "rows" in body else "row")
        return RowGroup(tensors, range(len(rows)))

    def prepare(self, tensors: Tensors) -> Tensors:
        return tensors

    def body_of(self, tensors: Tensors) -> dict[str, Any]:
        return {"rows": rows_of_tensors(tensors)}


class TabularClassification(TableTask[int]):
    """The context of a request is how many labels it wants."""

    task = "tabular-classification"
    title = "labels for rows of named columns"
    golden = CLASSIFIED_ROWS
    options = {"top_k": int}

    def __init__(self, config: Config, files: Files, signature: Signature) -> None:
        columns, labels = _read_classification(config)
        self._output = LabelOutput(labels, signature)
        self.labels, self.model_outputs = labels.labels, (self._output.name,)
        super().__init__(config, files, signature, columns)

    @classmethod
    def check_config(cls, config: Config, files: Collection[str]) -> None:
        _read_classification(config)

    @classmethod
    def prefill(cls, beside: FilesBeside) -> dict[str, Any]:
        return {"labels": list(beside.labels)} if beside.labels else {}

    @classmethod
    def items_of(cls, config: Config, signature: Signature) -> Signature:
        columns = cls._columns_of(config, signature)
        return columns.signature(label_specs(len(config["labels"])))

    @property
    def _hashed(self) -> Sequence[Any]:
        return [self.columns.hashed, *self._output.hashed]

    def encode(self, body: Mapping[str, Any]) -> Encoded[int]:
        return Encoded([self.read_rows(body)], self._output.read_top_k(body))

    def decode(self, rows: Sequence[RowOutputs], encoded: Encoded[int]) -> list[RowLabels]:
        scores = self._output.scores(rows)
        if scores.min() < 0 or scores.max() > 1 + _ROUNDING:
            raise UnusableOutput(
                f"The scores go from {scores.min():.3g} to {scores.max():.3g}, so they are no probabilities; name the"
                " `function` that makes some of them, `softmax` or `sigmoid`."
            )
        found = [self._output.best(row, encoded.context) for row in scores]
        return [RowLabels(labels[0].label, labels[0].score, labels) for labels in found]

    def body_of(self, tensors: Tensors) -> dict[str, Any]:
        return {**super().body_of(tensors), "top_k": len(self.labels)}  # `scores` has each label

    def tensors_of(self, answers: Sequence[RowLabels]) -> Tensors:
        return label_tensors(answers, self.labels)


def _read_classification(config: Config) -> tuple[ColumnFields, LabelFields]:
    fields = Fields(config)
    labels = LabelFields(fields, usual_top_k=_MOST_USUAL_LABELS, usual_function=ScoreFunction.NONE)
    said = ColumnFields(fields), labels
    fields.end()
    return said


class TabularRegression(TableTask[None]):
    task = "tabular-regression"
    title = "numbers for rows of named columns"
    golden = NUMBER_ROWS

    def __init__(self, config: Config, files: Files, signature: Signature) -> None:
        columns, output = _read_regression(config)
        self._output = _find_numbers(signature, output)
        self.model_outputs = (self._output.name,)
        super().__init__(config, files, signature, columns)

    @classmethod
    def check_config(cls, config: Config, files: Collection[str]) -> None:
        _read_regression(config)

    @classmethod
    def items_of(cls, config: Config, signature: Signature) -> Signature:
        output = _find_numbers(signature, config.get("output", ""))
        shape = output.shape if not _is_single(output) else (None,)
        return cls._columns_of(config, signature).signature((TensorSpec("value", "FP64", shape),))

    @property
    def _hashed(self) -> Sequence[Any]:
        return [self.columns.hashed, self._output.name]

    def encode(self, body: Mapping[str, Any]) -> Encoded[None]:
        return Encoded([self.read_rows(body)], None)

    def decode(self, rows: Sequence[RowOutputs], encoded: Encoded[None]) -> list[ComputedValue]:
        values = [self._value(row) for row in rows]
        if len({np.size(value) for value in values}) > 1:
            raise UnusableOutput("The model gives another count of numbers for some rows.")
        if not np.isfinite(values).all():
            raise UnusableOutput
        return [ComputedValue(value) for value in values]

    def _value(self, row: RowOutputs) -> float | list[float]:
        output = row.get(self._output.name)
        if output is None or output.dtype.kind not in "fiu":
            raise UnusableOutput(f"The model did not give numbers in its output {self._output.name!r}.")
        listed: list[float] = output.astype(np.float64).ravel().tolist()
        if not _is_single(self._output):
            return listed
        if len(listed) != 1:
            raise UnusableOutput(
                f"The model gives {len(listed):,} numbers for a row, not one as its file says."
            )
        return listed[0]

    def tensors_of(self, answers: Sequence[ComputedValue]) -> Tensors:
        return {"value": np.array([answer.value for answer in answers], np.float64)}


def _read_regression(config: Config) -> tuple[ColumnFields, str]:
    fields = Fields(config)
    said = ColumnFields(fields), fields.text("output")
    fields.end()
    return said


def _find_numbers(signature: Signature, name: str) -> TensorSpec:
    """The output with the numbers of each row."""
    fitting = [
        spec
        for spec in signature.outputs
        if spec.datatype not in {"BYTES", "BOOL"}
        and (spec.any_rank or len(spec.shape) in {1, 2})
        and name in {"", spec.name}
    ]
    if len(fitting) != 1:
        why = "Name the output with the numbers" if fitting else "No output has numbers for each row"
        raise BadTaskConfig(f"{why}; the model has {shown(signature.outputs)}.", field="output")
    return fitting[0]


def _is_single(spec: TensorSpec) -> bool:
    return spec.shape[1:] in {(), (1,)}
