"""What the pages need to let people choose a picture: how large it may be, and an example."""

from typing import Any, NamedTuple

from inference.checks.version_tasks import example_of
from inference.pipelines.pictures import MAX_BYTES
from inference.pipelines.pipeline import ItemPipeline
from inference.pipelines.tasks import TASKS
from inference.tensors.samples import EMPTY_SAMPLE
from registry.catalogue.models import Version


class PictureForm(NamedTuple):
    name: str  # the form of a request with one picture
    example: Any  # in base64
    most_bytes: int


def picture_form(version: Version) -> PictureForm | None:
    """None for a task that does not read pictures."""
    kind = TASKS[version.model.task]
    if not issubclass(kind, ItemPipeline) or not kind.reads_files:
        return None
    most_bytes = min(MAX_BYTES, version.task_config.get("max_bytes", MAX_BYTES))
    return PictureForm(kind.one, example_of(version, EMPTY_SAMPLE)[kind.one], most_bytes)
