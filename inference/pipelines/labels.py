"""Labels with scores: which output of a model holds them, and what a request gets of them."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from inference.pipelines.errors import BadTaskConfig, UnusableOutput
from inference.pipelines.pipeline import Fields, RowOutputs, read_top_k
from inference.pipelines.scores import ScoreFunction, Scores, best
from inference.tensors.arrays import Array
from inference.tensors.signature import Signature, TensorSpec

MAX_LABELS, LONGEST_LABEL = 10_000, 200
_REFUSED = re.compile(
    r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]"
)  # control characters, and halves of surrogate pairs


@dataclass(frozen=True, slots=True)
class Label:
    label: str
    score: float


class LabelFields:
    """What a task configuration says about the labels of a classification."""

    def __init__(
        self, fields: Fields, *, usual_top_k: int = MAX_LABELS, usual_function: ScoreFunction | None = None
    ) -> None:
        """`usual_top_k` is how many labels an answer has, unless the version or the request says so."""
        self.labels = read_labels(fields)
        self.output = fields.text("output")
        count = len(self.labels)
        usual = usual_function or (ScoreFunction.SOFTMAX if count > 1 else ScoreFunction.SIGMOID)
        self.function = ScoreFunction(fields.choice("function", list(ScoreFunction), usual))
        self.top_k = fields.number("top_k", min(count, usual_top_k), least=1, most=count)


class LabelOutput:
    """The labels of a classification, and the output with a number for each."""

    def __init__(self, said: LabelFields, signature: Signature) -> None:
        self.labels = said.labels
        self.name = find_scores(signature, len(said.labels), rank=2, name=said.output).name
        self._function, self._top_k = said.function, said.top_k

    @property
    def hashed(self) -> Sequence[Any]:
        return [self.labels, self.name, self._function, self._top_k]

    def read_top_k(self, body: Mapping[str, Any]) -> int:
        """How many labels the request wants."""
        return min(read_top_k(body, self._top_k) or self._top_k, len(self.labels))

    def scores(self, rows: Sequence[RowOutputs]) -> Scores:
        """The scores of each row, in the order of the labels."""
        scores = self._function(np.stack(read_output(rows, self.name, len(self.labels), rank=1)))
        if not np.isfinite(scores).all():
            raise UnusableOutput
        return scores

    def best(self, scores: Scores, top_k: int) -> list[Label]:
        """The labels of one row, best first."""
        return [Label(self.labels[at], float(scores[at])) for at in best(scores, top_k)]


class Labelled(Protocol):
    """An answer with a best label, and labels with their scores."""

    @property
    def label(self) -> str: ...

    @property
    def confidence(self) -> float: ...

    @property
    def labels(self) -> Sequence[Label]: ...


def label_specs(labels: int) -> tuple[TensorSpec, ...]:
    """Answers with labels as tensors."""
    return (
        TensorSpec("label", "BYTES", (None,)),
        TensorSpec("confidence", "FP64", (None,)),
        TensorSpec("scores", "FP64", (None, labels)),
    )


def label_tensors(answers: Sequence[Labelled], labels: Sequence[str]) -> dict[str, Array]:
    """`scores` has them in the order of the version's labels; each answer must have all of them."""
    by_label = [{one.label: one.score for one in answer.labels} for answer in answers]
    return {
        "label": np.array([answer.label for answer in answers], object),
        "confidence": np.array([answer.confidence for answer in answers]),
        "scores": np.array([[scores[label] for label in labels] for scores in by_label]),
    }


def read_labels(fields: Fields, *, most: int = MAX_LABELS) -> list[str]:
    labels = fields.texts("labels", most=most, longest=LONGEST_LABEL)
    if not labels:
        raise BadTaskConfig("Name the labels, in the order of the model's output.", field="labels")
    if odd := next((one for one in labels if not one.strip() or _REFUSED.search(one)), None):
        raise BadTaskConfig(f"{odd!r} is blank, has a control character, or is no Unicode.", field="labels")
    if twice := next((one for one, times in Counter(labels).items() if times > 1), None):
        raise BadTaskConfig(f"{twice!r} is there twice; each score needs its own label.", field="labels")
    return labels


def find_scores(
    signature: Signature, labels: int, *, rank: int, name: str = "", of: str = "labels"
) -> TensorSpec:
    """The output with a number for each label, or of other things."""
    tables = [
        spec
        for spec in signature.outputs
        if spec.datatype in {"FP16", "FP32", "FP64"}
        and (spec.any_rank or len(spec.shape) == rank)
        and name in {"", spec.name}
    ]
    if not tables:
        raise BadTaskConfig(
            f"Its scores must be an output with {rank} axes{f' named {name!r}' if name else ''};"
            f" the model has {shown(signature.outputs)}.",
            field="output",
        )
    fitting = [spec for spec in tables if spec.any_rank or spec.shape[-1] in {None, labels}]
    if not fitting:
        raise BadTaskConfig(
            f"There are {labels:,} {of}, but the model gives another number of scores: {shown(tables)}.",
            field=of,
        )
    if len(fitting) > 1:
        raise BadTaskConfig(f"Name the output with the scores: {shown(fitting)} would fit.", field="output")
    return fitting[0]


def read_output(
    rows: Sequence[RowOutputs], name: str, labels: int, *, rank: int, of: str = "labels"
) -> list[Array]:
    """This output of each row, which must have `rank` axes, the last one with a number for each label, or of other things.

    A file may declare no sizes, or wrong ones: then only a run shows them. Raises UnusableOutput; BadTaskConfig for
    another number of labels.
    """
    outputs = []
    for row in rows:
        if name not in row:
            raise UnusableOutput(f"The model did not give its output {name!r}.")
        output = row[name]
        if output.ndim != rank or output.dtype.kind not in "fiu":
            raise UnusableOutput(
                f"The model's output {name!r} must have rows of numbers with {rank} {'axis' if rank == 1 else 'axes'};"
                f" it has {output.ndim} of {output.dtype}."
            )
        if output.shape[-1] != labels:
            raise BadTaskConfig(
                f"The model gives {output.shape[-1]:,} numbers for {labels:,} {of}.", field=of
            )
        outputs.append(output)
    return outputs


def shown(specs: Sequence[TensorSpec]) -> str:
    return ", ".join(
        f"`{spec.name}` {'of any shape' if spec.any_rank else [-1 if dim is None else dim for dim in spec.shape]}"
        for spec in specs
    )
