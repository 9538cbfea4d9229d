"""Tasks as Hugging Face's clients know them: `inputs` and `parameters` become a request in words, and answers their lists."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from inference.doors.errors import BadParameter
from inference.errors import WrongTask
from inference.pipelines.entities import Entities, Grouping, TextEntities
from inference.pipelines.image_classification import ImageClassification, PictureLabels
from inference.pipelines.object_detection import ObjectDetection, PictureObjects
from inference.pipelines.pipeline import Pipeline
from inference.pipelines.text_classification import TextClassification, TextLabels
from inference.serving.calls import Prediction

# The least confidence of a box that these clients expect.
USUAL_THRESHOLD = 0.5
PARAMETERS: Mapping[str, tuple[str, ...]] = {
    TextClassification.task: ("top_k", "function_to_apply"),
    Entities.task: ("aggregation_strategy", "ignore_labels", "stride"),
    ImageClassification.task: ("top_k", "function_to_apply"),
    ObjectDetection.task: ("threshold",),
}

Parameters = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Question:
    """What a body asks of a Model."""

    model: str
    inputs: Any  # a text or a picture, or a list of them
    parameters: Parameters

    def body_for(self, pipeline: Pipeline) -> dict[str, Any]:
        """The same in words, for the version's task. What would have no effect is refused."""
        match pipeline:
            case TextClassification() | ImageClassification():
                options = _label_options(pipeline, self._known(pipeline))
            case Entities():
                options = _entity_options(pipeline, self._known(pipeline))
            case ObjectDetection():
                usual = {"threshold": max(USUAL_THRESHOLD, pipeline.threshold)}
                options = usual | self._known(pipeline)
            case _:
                raise WrongTask(
                    f"The task of Model {self.model} is {pipeline.task}; Hugging Face's clients know {', '.join(PARAMETERS)}."
                    f" Send the request to /api/v1/models/{self.model}/predict."
                )
        if isinstance(self.inputs, bytes) and not pipeline.reads_files:
            raise WrongTask(
                f"The task of Model {self.model} is {pipeline.task}: send a text in JSON, as `inputs`."
            )
        field = pipeline.several if isinstance(self.inputs, list) else pipeline.one
        return {field: self.inputs, **options}

    def answer(self, prediction: Prediction) -> list[Any]:
        """As the clients read it: a list for one text or picture, a list of lists for several.

        The labels of one text are a list in a list, too.
        """
        pipeline = prediction.pipeline
        found = [self._elements(pipeline, answer) for answer in prediction.answers or ()]
        is_nested = isinstance(self.inputs, list) or isinstance(pipeline, TextClassification)
        return found if is_nested else found[0]

    def _known(self, pipeline: Pipeline) -> dict[str, Any]:
        """The parameters that are given, all of which the task has."""
        known = PARAMETERS[pipeline.task]
        for name in self.parameters:
            if name not in known:
                listed = ", ".join(f"`{one}`" for one in known)
                raise BadParameter(
                    f"Parameter {name[:80]!r} is not known for {pipeline.task}, only {listed}. Remove or rename it."
                )
        return {name: value for name, value in self.parameters.items() if value is not None}

    def _elements(self, pipeline: Pipeline, answer: Any) -> list[Any]:
        match answer:
            case TextLabels() | PictureLabels():
                return list(answer.labels)
            case TextEntities():
                return self._entities(pipeline, answer)
            case PictureObjects():
                return [
                    {
                        "label": one.label,
                        "score": one.confidence,
                        "box": {
                            "xmin": int(one.box.x1),
                            "ymin": int(one.box.y1),
                            "xmax": int(one.box.x2),
                            "ymax": int(one.box.y2),
                        },
                    }
                    for one in answer.objects
                ]
        raise AssertionError(f"`body_for` refuses {pipeline.task}")

    def _entities(self, pipeline: Pipeline, answer: TextEntities) -> list[dict[str, Any]]:
        usual = pipeline.grouping if isinstance(pipeline, Entities) else Grouping.SIMPLE
        is_single = (self.parameters.get("aggregation_strategy") or usual) == Grouping.NONE
        ignored = frozenset(self.parameters.get("ignore_labels") or ())
        return [
            {
                "entity" if is_single else "entity_group": one.label,
                "score": one.score,
                "word": one.text,
                "start": one.start,
                "end": one.end,
            }
            for one in answer.entities
            if one.label not in ignored
        ]


def _label_options(pipeline: TextClassification | ImageClassification, known: Parameters) -> dict[str, Any]:
    function = known.get("function_to_apply", pipeline.function)
    if function != pipeline.function:
        raise BadParameter(
            f"Parameter 'function_to_apply' is {str(function)[:80]!r}, but the scores of this version are made by"
            f" {pipeline.function.value!r}, which requests cannot change. Leave it out."
        )
    return {name: value for name, value in known.items() if name == "top_k"}


def _entity_options(pipeline: Entities, known: Parameters) -> dict[str, Any]:
    if "stride" in known:
        raise BadParameter(
            "Parameter 'stride': how far the parts of a long text overlap belongs to the version. Leave it out."
        )
    ignored = known.get("ignore_labels", pipeline.ignored)
    if not isinstance(ignored, list) or not all(isinstance(label, str) for label in ignored):
        raise BadParameter("Parameter 'ignore_labels' is not a list of labels.")
    given = frozenset(ignored)
    if kept := [label for label in pipeline.ignored if label not in given]:
        raise BadParameter(
            f"Parameter 'ignore_labels' lacks {kept[0]!r}, which this version never returns. Add it, or leave the parameter out."
        )
    grouping = known.get("aggregation_strategy", pipeline.grouping)
    if grouping not in list(Grouping):
        raise BadParameter(f"Parameter 'aggregation_strategy' must be one of {', '.join(Grouping)}.")
    return {"grouping": grouping}
