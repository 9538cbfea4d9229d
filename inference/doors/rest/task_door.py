"""Requests whose address names a task instead of a Model: the body names the Model, or the default one answers."""

from typing import Any

from django.conf import settings

from inference.doors.errors import NoDefaultModel, NotAPrediction, UnsupportedBody
from inference.doors.rest.door import DryRunDoor, JsonForm, RestDoor, is_binary, read_json
from inference.doors.rest.forms import form_of, forms_of_items
from inference.doors.wire import Environ
from inference.engine.requests import Cancellation
from inference.errors import BadBody
from inference.pipelines.entities import Entities
from inference.pipelines.pipeline import ItemPipeline
from inference.pipelines.text_classification import TextClassification
from inference.serving.calls import ModelRequest
from registry.access.key_ring import Principal

_TASKS: dict[str, type[ItemPipeline[Any]]] = {"classify": TextClassification, "entities": Entities}


class TaskDoor(RestDoor):
    """`{"text": "…"}` or `{"texts": ["…"]}`, and `model` if the default is not meant."""

    def __init__(self, name: str) -> None:
        """`name`: the last part of the address, and the default Model's name in the setting."""
        self.name, self._task = name, _TASKS[name]

    def model_request(
        self, by: Principal, model: str, version: str, alias: str, cancellation: Cancellation | None = None
    ) -> ModelRequest:
        return ModelRequest(by, "", cancellation=cancellation)

    def longest_body(self, environ: Environ) -> int:
        if is_binary(environ):
            raise UnsupportedBody("Send application/json; tensors go to a Model's own address.")
        return super().longest_body(environ)

    def name_model(self, request: ModelRequest, body: bytes) -> None:
        fields = read_json(body)
        if not isinstance(fields, dict):
            raise NotAPrediction("Send a JSON object with `text` or `texts`.")
        named = fields.get("model", settings.DEFAULT_MODELS.get(self.name))
        if named is None:
            raise NoDefaultModel(
                f"No Model answers /api/v1/{self.name} by default. Name one in `model`, or have an operator set"
                f" ROUNDHOUSE_DEFAULT_MODELS={self.name}=MODEL."
            )
        if not isinstance(named, str) or not named:
            raise BadBody("`model` must be the name of a Model, such as `tone` or `tone@champion`.")
        request.model, _, alias = named.partition("@")
        request.alias = alias or None

    def read_form(self, fields: Any) -> JsonForm:
        fields.pop("model", None)
        form = form_of(fields, forms_of_items(self._task))
        return JsonForm(form, (form.name, *self._task.options), self._task.task)


class TaskDryRunDoor(TaskDoor, DryRunDoor):
    """Checks such a request, and runs nothing."""


TASK_DOORS = {name: TaskDoor(name) for name in _TASKS}
TASK_DRY_RUNS = {name: TaskDryRunDoor(name) for name in _TASKS}
