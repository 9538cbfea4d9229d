"""Requests whose address names no Model: the body names it, or the default one answers."""

from abc import abstractmethod
from typing import Any

from django.conf import settings

from inference.doors.errors import NoDefaultModel, UnsupportedBody
from inference.doors.rest.bodies import BodyKind, kind_of, read_fields
from inference.doors.rest.door import DryRunDoor, ReadForm, RestDoor
from inference.doors.rest.forms import FORMS_OF_ONE_ROW, Forms, form_of, forms_of_items
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


class DefaultModelDoor(RestDoor):
    """Some of the forms, and `model` if the default is not meant."""

    def __init__(self, address: str, forms: Forms) -> None:
        self._address, self._forms = address, forms

    @abstractmethod
    def default_name(self, field: str) -> str:
        """What the setting calls the default Model for the form with this field."""

    def model_request(
        self, by: Principal, model: str, version: str, alias: str, cancellation: Cancellation | None = None
    ) -> ModelRequest:
        return ModelRequest(by, "", cancellation=cancellation)

    def longest_body(self, environ: Environ) -> int:
        if kind_of(environ) is BodyKind.BINARY:
            raise UnsupportedBody("Tensors in binary go to a Model's own address; send JSON here.")
        return super().longest_body(environ)

    def name_model(self, request: ModelRequest, environ: Environ, body: bytes) -> None:
        request.fields = fields = read_fields(kind_of(environ), environ, body)
        default = self.default_name(form_of(fields, self._forms).name)
        named = fields.pop("model", settings.DEFAULT_MODELS.get(default))
        if named is None:
            raise NoDefaultModel(
                f"No Model answers such requests at {self._address} by default. Name one in `model`, or have an"
                f" operator set ROUNDHOUSE_DEFAULT_MODELS={default}=MODEL."
            )
        if not isinstance(named, str) or not named:
            raise BadBody("`model` must be the name of a Model, such as `tone` or `tone@champion`.")
        request.model, _, alias = named.partition("@")
        request.alias = alias or None


class TaskDoor(DefaultModelDoor):
    """`{"text": "…"}`, `{"images": ["…"]}` and the like."""

    def __init__(self, name: str) -> None:
        """`name`: the last part of the address."""
        self._tasks = _TASKS[name]
        forms = {form: read for task in self._tasks.values() for form, read in forms_of_items(task).items()}
        super().__init__(f"/api/v1/{name}", forms)

    def default_name(self, field: str) -> str:
        return next(name for name, task in self._tasks.items() if field in task.request_fields())

    def read_form(self, fields: Any) -> ReadForm:
        form = form_of(fields, self._forms)
        task = self._tasks[self.default_name(form.name)]
        return ReadForm(form, (form.name, *task.options), task.task)


class TaskDryRunDoor(TaskDoor, DryRunDoor):
    """Checks such a request, and runs nothing."""


class OneRowDoor(DefaultModelDoor):
    """`{"features": […]}` or `{"data": […]}` at `/predict`, where clients of small model servers send them."""

    def __init__(self) -> None:
        super().__init__("/predict", FORMS_OF_ONE_ROW)

    def default_name(self, field: str) -> str:
        return "predict"

    def read_form(self, fields: Any) -> ReadForm:
        form = form_of(fields, self._forms)
        return ReadForm(form, form.fields)


class OneRowDryRunDoor(OneRowDoor, DryRunDoor):
    """Checks such a request, and runs nothing."""


TASK_DOORS = {name: TaskDoor(name) for name in _TASKS}
TASK_DRY_RUNS = {name: TaskDryRunDoor(name) for name in _TASKS}
ONE_ROW, ONE_ROW_DRY_RUN = OneRowDoor(), OneRowDryRunDoor()
