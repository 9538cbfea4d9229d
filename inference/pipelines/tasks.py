"""All tasks. A new one is a module beside this one, and a line here."""

from collections.abc import Mapping

from inference.pipelines.entities import Entities
from inference.pipelines.pipeline import ItemPipeline, Pipeline
from inference.pipelines.plain import PlainClassification, PlainTensors
from inference.pipelines.text_classification import TextClassification
from inference.pipelines.texts import TokenRows

TASKS: Mapping[str, type[Pipeline]] = {
    pipeline.task: pipeline for pipeline in (PlainTensors, PlainClassification, TextClassification, Entities)
}
ITEM_TASKS = [pipeline for pipeline in TASKS.values() if issubclass(pipeline, ItemPipeline)]
# Every option of a request in words, whatever its task is.
ITEM_OPTIONS = frozenset(name for pipeline in ITEM_TASKS for name in pipeline.options)


def token_rows_of(pipeline: Pipeline | None) -> TokenRows | None:
    """How a pipeline's texts become rows of tokens; None if its model reads no tokens."""
    texts = pipeline.texts if isinstance(pipeline, (TextClassification, Entities)) else None
    return texts if isinstance(texts, TokenRows) else None
