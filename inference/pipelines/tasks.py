"""All tasks. A new one is a module beside this one, and a line here."""

from collections.abc import Mapping

from inference.pipelines.entities import Entities
from inference.pipelines.image_classification import ImageClassification
from inference.pipelines.object_detection import ObjectDetection
from inference.pipelines.pipeline import ItemPipeline, Pipeline
from inference.pipelines.plain import PlainClassification, PlainTensors
from inference.pipelines.ranking import Ranking
from inference.pipelines.recommendation import Recommendation
from inference.pipelines.tables import TabularClassification, TabularRegression
from inference.pipelines.text_classification import TextClassification

TASKS: Mapping[str, type[Pipeline]] = {
    pipeline.task: pipeline
    for pipeline in (
        PlainTensors,
        PlainClassification,
        TextClassification,
        Entities,
        ImageClassification,
        ObjectDetection,
        TabularClassification,
        TabularRegression,
        Recommendation,
        Ranking,
    )
}
ITEM_TASKS = [pipeline for pipeline in TASKS.values() if issubclass(pipeline, ItemPipeline)]
# Every option of a request in words, whatever its task is.
ITEM_OPTIONS: Mapping[str, type] = {
    name: kind for pipeline in ITEM_TASKS for name, kind in pipeline.options.items()
}
