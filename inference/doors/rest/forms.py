"""The forms of a prediction request. Each reads a body into tensors, and writes an answer.

Unknown fields are refused: a request with a misspelt `version` must not be answered by a different version.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from functools import partial
from itertools import islice
from typing import Any

import numpy as np

from inference.doors.errors import NotAPrediction, UnfitForm, UnknownField
from inference.doors.wire import pointer_to
from inference.pipelines.pipeline import ItemPipeline
from inference.pipelines.tasks import ITEM_OPTIONS, ITEM_TASKS
from inference.serving.calls import Inputs, Items, Prediction
from inference.serving.routes import Route
from inference.tensors.arrays import Array
from inference.tensors.errors import InvalidInput, MissingTensor, UnknownTensor
from inference.tensors.names import nearest
from inference.tensors.signature import Signature, TensorSpec
from registry.catalogue.models import KeySource

# Fields that the Celery door reads from the body, or callers may expect there, and where they go over HTTP.
ELSEWHERE_IN_HTTP = {
    "model": "the Model is named in the address",
    "version": "put the number in the address, /api/v1/models/{slug}/versions/NUMBER/predict",
    "alias": "put the alias in the address, /api/v1/models/{slug}@ALIAS/predict",
    "routing_key": "send it in the header X-Routing-Key",
    "within_s": "send the header X-Deadline-Ms, in milliseconds",
    "dry_run": "add ?dry_run=1 to the address",
}
_NOTHING: Mapping[str, str] = {}


def routing_fields(route: Route) -> tuple[str, ...]:
    """The field that the Model takes its routing key from, if there is one."""
    return (route.key_field,) if route.key_source == KeySource.FIELD else ()


def check_fields(
    names: Iterable[str], known: Sequence[str], *, slug: str = "", elsewhere: Mapping[str, str] = _NOTHING
) -> None:
    """Raise UnknownField for a field that is not known; `elsewhere` has advice by field."""
    for name in names:
        if name not in known:
            raise _unknown(name, known, elsewhere.get(name, "").format(slug=slug))


def _unknown(name: str, known: Sequence[str], advice: str) -> UnknownField:
    if not advice:
        *others, last = (f"`{field}`" for field in known)
        names = f"{', '.join(others)} and {last} are" if others else f"{last} is"
        advice = f"only {names}. Remove or rename it"
    text = f"Field {name[:80]!r} is not read from the body: {advice}. Nothing was run."
    return UnknownField(text, pointer=pointer_to(name[:80]))


Body = Mapping[str, Any]


class Form(ABC):
    """One form of a request, recognized by the field `name` of its body."""

    name: str

    def __init__(self, body: Body) -> None:
        self.content = body[self.name]

    def place(self, error: InvalidInput) -> None:
        """Point to the error's place in the body; only `inputs` names tensors."""
        error.pointer = f"#/{self.name}"

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of the body that belong to the form."""
        return (self.name,)

    @property
    def asked(self) -> Items | Callable[[Signature], Inputs]:
        """What serving is asked."""
        return self.inputs

    @abstractmethod
    def inputs(self, signature: Signature) -> Inputs: ...

    @abstractmethod
    def answer(self, prediction: Prediction) -> dict[str, Any]: ...


class NamedTensors(Form):
    """`{"inputs": {"x": [[…]]}}` → `{"outputs": {"y": [[…]]}}`"""

    name = "inputs"

    def place(self, error: InvalidInput) -> None:
        error.pointer = pointer_to(self.name, error.field)

    def inputs(self, signature: Signature) -> Inputs:
        if not isinstance(self.content, dict):
            raise NotAPrediction("Field `inputs` is not an object; send tensors by name.")
        return self.content

    def answer(self, prediction: Prediction) -> dict[str, Any]:
        return {"outputs": prediction.outputs}


class Rows(Form):
    """`{"instances": [row, …]}` → `{"predictions": [row, …]}`; a row is an object where there are several tensors."""

    name = "instances"

    def inputs(self, signature: Signature) -> Inputs:
        rows = self.content
        if not isinstance(rows, list) or not rows:
            raise NotAPrediction("Field `instances` is not a list of rows; send at least one row.")
        if isinstance(rows[0], dict):
            return _columns(rows)
        return {_only_input(signature).name: rows}

    def answer(self, prediction: Prediction) -> dict[str, Any]:
        count = len(self.content)
        for name, tensor in prediction.outputs.items():
            if not tensor.ndim or tensor.shape[0] != count:
                raise UnfitForm(f"Output {name!r} does not have one row for each instance; send `inputs`.")
        if len(prediction.outputs) == 1:
            return {"predictions": next(iter(prediction.outputs.values()))}
        names = list(prediction.outputs)
        columns = zip(*prediction.outputs.values(), strict=True)
        return {"predictions": [dict(zip(names, row, strict=True)) for row in columns]}


class OneRow(Form):
    """`{"features": [1, 2, 3]}` → `{"prediction": [0.1, 0.9]}`"""

    name = "features"

    def inputs(self, signature: Signature) -> Inputs:
        if not isinstance(self.content, list):
            raise NotAPrediction(f"Field `{self.name}` is not a list; send the values of one row.")
        if len(signature.outputs) != 1:
            names = ", ".join(spec.name for spec in signature.outputs)
            raise UnfitForm(
                f"The version returns {names}, but `{self.name}` allows only one output; send `inputs`."
            )
        spec = _only_input(signature)
        return {spec.name: [self.content] if _has_rows(spec) else self.content}

    def answer(self, prediction: Prediction) -> dict[str, Any]:
        return {"prediction": _row(prediction)}


class OneRowForOneNumber(OneRow):
    """`{"data": [1, 2, 3]}` → `{"prediction": 1, "confidence": 0.9}`, as gRPC's Predictor answers"""

    name = "data"

    def inputs(self, signature: Signature) -> Inputs:
        inputs = super().inputs(signature)
        if signature.outputs[0].datatype == "BYTES":
            raise UnfitForm(
                "The version returns texts, but `data` is answered with one number; send `features`."
            )
        return inputs

    def answer(self, prediction: Prediction) -> dict[str, Any]:
        return prediction.pipeline.one_number(_row(prediction))._asdict()


class OneItem(Form):
    """`{"text": "…"}` → `{"label": "positive", "confidence": 0.9, …}`, as the version's task answers"""

    def __init__(self, name: str, body: Body) -> None:
        self.name = name
        super().__init__(body)
        self._body = {field: value for field, value in body.items() if field == name or field in ITEM_OPTIONS}

    @property
    def fields(self) -> tuple[str, ...]:
        return tuple(self._body)

    @property
    def asked(self) -> Items:
        return Items(self._body)

    def place(self, error: InvalidInput) -> None:
        """Errors about options, and about one of several items, name their place themselves: `images[3]`."""
        name, _, index = error.field.partition("[")
        error.pointer = (
            pointer_to(name, *filter(None, [index[:-1]])) if name in self._body else pointer_to(self.name)
        )

    def inputs(self, signature: Signature) -> Inputs:
        raise AssertionError("serving reads `asked`")

    def answer(self, prediction: Prediction) -> dict[str, Any]:
        (answer,) = prediction.answers or ()
        return {field.name: getattr(answer, field.name) for field in fields(answer)}


class SeveralItems(OneItem):
    """`{"texts": ["…", "…"]}` → `{"answers": [{…}, {…}]}`"""

    def answer(self, prediction: Prediction) -> dict[str, Any]:
        return {"answers": prediction.answers}


Forms = Mapping[str, Callable[[Body], Form]]


def forms_of_items(task: type[ItemPipeline[Any]]) -> Forms:
    return {
        name: partial(SeveralItems if is_several else OneItem, name)
        for name, is_several in task.request_fields().items()
    }


FORMS_OF_ONE_ROW: Forms = {form.name: form for form in (OneRow, OneRowForOneNumber)}
FORMS: Forms = {
    **{form.name: form for form in (NamedTensors, Rows)},
    **FORMS_OF_ONE_ROW,
    **{name: form for task in ITEM_TASKS for name, form in forms_of_items(task).items()},
}


def form_of(body: object, forms: Forms = FORMS) -> Form:
    """The form of a body, which must have exactly one of these."""
    *others, last = (f"`{name}`" for name in forms)
    listed = f"{', '.join(others)} and {last}"
    if not isinstance(body, dict):
        raise NotAPrediction(f"The body is not an object; send one with exactly one of {listed}.")
    named = forms.keys() & body.keys()
    if len(named) != 1:
        near = next((near for name in islice(body, len(forms)) if (near := nearest(str(name), forms))), None)
        advice = f" Did you mean `{near}`?" if near and not named else ""
        raise NotAPrediction(
            f"The body has {' and '.join(sorted(f'`{name}`' for name in named)) or 'none of the forms'}; "
            f"send exactly one of {listed}.{advice}"
        )
    return forms[named.pop()](body)


def _columns(rows: Sequence[Any]) -> Inputs:
    """Turn rows that name their values into tensors; all rows must have the same names."""
    names = rows[0].keys()
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            raise InvalidInput(
                f"Instance {number} is not an object but instance 0 is; send rows of one kind.",
                field=str(number),
            )
        if row.keys() != names:
            missing, extra = sorted(names - row.keys()), sorted(row.keys() - names)
            word, kind = ("lacks", MissingTensor) if missing else ("has", UnknownTensor)
            name = (missing or extra)[0]
            raise kind(f"Instance {number} {word} {name[:80]!r}, unlike instance 0.", field=name[:80])
    return {name: [row[name] for row in rows] for name in names}


def _only_input(signature: Signature) -> TensorSpec:
    """The only input, which these forms do not name."""
    required = [spec for spec in signature.inputs if not spec.optional]
    if len(required) != 1:
        names = ", ".join(spec.name for spec in required) or "no input at all"
        raise UnfitForm(
            f"The version expects {names}; name them in `inputs` or in the objects of `instances`."
        )
    return required[0]


def _has_rows(spec: TensorSpec) -> bool:
    """Whether the first axis counts rows, or has size one, before the row's own axes."""
    return spec.any_rank or (len(spec.shape) > 1 and spec.shape[0] in {None, 1})


def _row(prediction: Prediction) -> Array:
    """The only output's row, which is a list even if the output has no axis but that of the rows."""
    (tensor,) = prediction.outputs.values()
    return tensor[0] if tensor.ndim > 1 and tensor.shape[0] == 1 else np.atleast_1d(tensor)
