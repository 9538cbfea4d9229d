"""Requests whose address names a task instead of a Model: the body names the Model, or the default one answers."""

from collections.abc import Mapping
from typing import Any

from django.conf import settings

from inference.doors.errors import NoDefaultModel, NotAPrediction, UnsupportedBody
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
from inference.pipelines.text_classification import TextClassification
from inference.serving.calls import ModelRequest
from registry.access.key_ring import Principal

# By the last part of the address: its tasks, by the names that the setting has for their default Models.
_TASKS: dict[str, dict[str, type[ItemPipeline[Any]]]] = {
    "classify": {"classify": TextClassification, "classify-images": ImageClassification},
    "detect": {"detect": ObjectDetection},
    "entities": {"entities": Entities},
}


class TaskDoor(RestDoor):
    """`{"text": "…"}`, `{"images": ["…"]}` and the like, and `model` if the default is not meant."""

    def __init__(self, name: str) -> None:
        """`name`: the last part of the address."""
        self.name, self._tasks = name, _TASKS[name]

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
        if not isinstance(fields, dict):
            listed = ", ".join(f"`{name}`" for task in self._tasks.values() for name in task.request_fields())
            raise NotAPrediction(f"Send a JSON object with one of {listed}.")
        default = self._task_of(fields)
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
        task = self._tasks[self._task_of(fields)]
        forms = {name: form for each in self._tasks.values() for name, form in forms_of_items(each).items()}
        form = form_of(fields, forms)
        return ReadForm(form, (form.name, *task.options), task.task)

    def _task_of(self, fields: Mapping[str, Any]) -> str:
        """The task of a body with these fields, by its name in the setting; the first one if none fits."""
        fitting = (name for name, task in self._tasks.items() if task.request_fields().keys() & fields.keys())
        return next(fitting, next(iter(self._tasks)))


class TaskDryRunDoor(TaskDoor, DryRunDoor):
    """Checks such a request, and runs nothing."""


TASK_DOORS = {name: TaskDoor(name) for name in _TASKS}
TASK_DRY_RUNS = {name: TaskDryRunDoor(name) for name in _TASKS}
