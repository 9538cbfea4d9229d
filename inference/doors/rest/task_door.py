"""Requests whose address names a task instead of a Model: the body names the Model, or the default one answers."""

from typing import Any

from django.conf import settings

from inference.doors.errors import NoDefaultModel, UnsupportedBody
from inference.doors.rest.bodies import BodyKind, kind_of, read_fields
from inference.doors.rest.door import DryRunDoor, ReadForm, RestDoor
from inference.doors.rest.forms import form_of, forms_of_items
from inference.doors.wire import Environ
from inference.engine.requests import Cancellation
from inference.errors import BadBody
from inference.pipelines.entities import Entities
from inference.pipelines.image_classification import ImageClassification
from inference.pipelines.object_detection import ObjectDetection
from inference.pipelines.pipeline import ItemPipeline
from inference.pipelines.ranking import Ranking
from inference.pipelines.recommendation import Recommendation
from inference.pipelines.text_classification import TextClassification
from inference.serving.calls import ModelRequest
from registry.access.key_ring import Principal

# By the last part of the address: its tasks, by the names that the setting has for their default Models.
_TASKS: dict[str, dict[str, type[ItemPipeline[Any]]]] = {
    "classify": {"classify": TextClassification, "classify-images": ImageClassification},
    "detect": {"detect": ObjectDetection},
    "entities": {"entities": Entities},
    "rank": {"rank": Ranking},
    "recommend": {"recommend": Recommendation},
}


class TaskDoor(RestDoor):
    """`{"text": "…"}`, `{"images": ["…"]}` and the like, and `model` if the default is not meant."""

    def __init__(self, name: str) -> None:
        """`name`: the last part of the address."""
        self.name, self._tasks = name, _TASKS[name]
        self._forms = {
            form: read for task in self._tasks.values() for form, read in forms_of_items(task).items()
        }

    def model_request(
        self, by: Principal, model: str, version: str, alias: str, cancellation: Cancellation | None = None
    ) -> ModelRequest:
        return ModelRequest(by, "", cancellation=cancellation)

    def longest_body(self, environ: Environ) -> int:
        if kind_of(environ) is BodyKind.BINARY:
            raise UnsupportedBody("Tensors go to a Model's own address; send JSON, a picture or a form here.")
        return super().longest_body(environ)

    def name_model(self, request: ModelRequest, environ: Environ, body: bytes) -> None:
        request.fields = fields = read_fields(kind_of(environ), environ, body)
        default = self._task_of(form_of(fields, self._forms).name)
        named = fields.pop("model", settings.DEFAULT_MODELS.get(default))
        if named is None:
            raise NoDefaultModel(
                f"No Model answers such requests at /api/v1/{self.name} by default. Name one in `model`, or have an"
                f" operator set ROUNDHOUSE_DEFAULT_MODELS={default}=MODEL."
            )
        if not isinstance(named, str) or not named:
            raise BadBody("`model` must be the name of a Model, such as `tone` or `tone@champion`.")
        request.model, _, alias = named.partition("@")
        request.alias = alias or None

    def read_form(self, fields: Any) -> ReadForm:
        form = form_of(fields, self._forms)
        task = self._tasks[self._task_of(form.name)]
        return ReadForm(form, (form.name, *task.options), task.task)

    def _task_of(self, field: str) -> str:
        """The task whose items are in this field, by its name in the setting."""
        return next(name for name, task in self._tasks.items() if field in task.request_fields())


class TaskDryRunDoor(TaskDoor, DryRunDoor):
    """Checks such a request, and runs nothing."""


TASK_DOORS = {name: TaskDoor(name) for name in _TASKS}
TASK_DRY_RUNS = {name: TaskDryRunDoor(name) for name in _TASKS}
