"""Labels with scores: which output of a model holds them, and what a request gets of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inference.pipelines.errors import BadTaskConfig, InvalidItem
from inference.pipelines.pipeline import Fields
from inference.pipelines.scores import ScoreFunction, Scores, best
from inference.tensors.arrays import Tensors
from inference.tensors.signature import Signature, TensorSpec

MAX_LABELS, LONGEST_LABEL = 10_000, 200


@dataclass(frozen=True, slots=True)
class Label:
    label: str
    score: float


class LabelOutput:
    """The labels of a classification, and the output with a number for each."""

    def __init__(self, fields: Fields, signature: Signature, *, usual_top_k: int = MAX_LABELS) -> None:
        """`usual_top_k` is how many labels an answer has, unless the version or the request says so."""
        self.labels = fields.texts("labels", most=MAX_LABELS, longest=LONGEST_LABEL)
        if not self.labels:
            raise BadTaskConfig("Name the labels, in the order of the model's output.", field="labels")
        count = len(self.labels)
        self._name = find_scores(signature, count, rank=2, name=fields.text("output")).name
        usual = ScoreFunction.SOFTMAX if count > 1 else ScoreFunction.SIGMOID
        self._function = ScoreFunction(fields.choice("function", list(ScoreFunction), usual))
        self._top_k = fields.number("top_k", min(count, usual_top_k), least=1, most=count)

    @property
    def hashed(self) -> Sequence[Any]:
        return [self.labels, self._name, self._function]

    def read_top_k(self, body: Mapping[str, Any]) -> int:
        """How many labels the request wants."""
        top_k = body.get("top_k", self._top_k)
        if not isinstance(top_k, int) or isinstance(top_k, bool) or top_k < 1:
            raise InvalidItem("`top_k` must be a whole number, 1 or more.", field="top_k")
        return min(top_k, len(self.labels))

    def best(self, outputs: Tensors, top_k: int) -> list[list[Label]]:
        """The labels of each row, best first."""
        check_outputs_fit(outputs, self._name, len(self.labels))
        return [self._best_of(row, top_k) for row in self._function(outputs[self._name])]

    def _best_of(self, scores: Scores, top_k: int) -> list[Label]:
        return [Label(self.labels[at], float(scores[at])) for at in best(scores, top_k)]


def find_scores(signature: Signature, labels: int, *, rank: int, name: str = "") -> TensorSpec:
    """The output with a number for each label."""
    fitting = [
        spec
        for spec in signature.outputs
        if spec.datatype in {"FP16", "FP32", "FP64"}
        and (spec.any_rank or (len(spec.shape) == rank and spec.shape[-1] in {None, labels}))
    ]
    if name:
        fitting = [spec for spec in fitting if spec.name == name]
    if len(fitting) != 1:
        shown = ", ".join(f"`{spec.name}`" for spec in signature.outputs)
        raise BadTaskConfig(
            f"{labels} labels need one output with as many numbers; the model has {shown}. Name it.",
            field="output",
        )
    return fitting[0]


def check_outputs_fit(outputs: Mapping[str, Any], name: str, labels: int) -> None:
    """A file may declare no size of its last axis: then only a run shows it."""
    if outputs[name].shape[-1] != labels:
        raise BadTaskConfig(
            f"The model gives {outputs[name].shape[-1]:,} numbers for {labels} labels.", field="labels"
        )
