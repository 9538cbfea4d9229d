"""Predictor and ModelService: one input of numbers, one output of numbers."""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import grpc
import numpy as np
from django.conf import settings

from inference.doors.entry import admit, run_on_loop_or_thread
from inference.doors.errors import BadRequest, BadTensor
from inference.doors.grpc.callers import Caller, unary
from inference.doors.grpc.generated import predictor_pb2 as pb
from inference.doors.grpc.messages import ONE_TENSOR, TENSORS, define_service
from inference.doors.memory import hold_answer, hold_rows
from inference.doors.oip.descriptions import parse_name
from inference.doors.oip.messages import Array, terms_of
from inference.doors.oip.tensors import check_shape
from inference.errors import UnknownModel
from inference.serving import services
from inference.serving.calls import Call, Description, Inputs, ModelRequest, Prediction
from inference.serving.off_loop import off_loop
from inference.tensors.signature import Signature, TensorSpec
from registry.access.policies import Right

# Each is also served under a second name, which other servers' stubs use.
_PREDICTOR = ("roundhouse.Predictor", "Predictor")
_MODEL_SERVICE = ("roundhouse.ModelService", "model.ModelService")
NAMES = (*_PREDICTOR, *_MODEL_SERVICE)
for _name, _second_name in (_PREDICTOR, _MODEL_SERVICE):
    define_service(_second_name, like=_name)

_MOST_REQUESTS = 1024
_TIMES_WRITTEN = 3  # tensors are held in the message, perhaps in a wider type, and again in its bytes


def handlers() -> list[grpc.GenericRpcHandler]:
    predictor = {"Predict": unary(predict_features, pb.FeaturesRequest, Right.PREDICT, fields=ONE_TENSOR)}
    model_service = {
        "Predict": unary(predict, pb.PredictRequest, Right.PREDICT, fields=ONE_TENSOR),
        "BatchPredict": unary(batch_predict, pb.BatchPredictRequest, Right.PREDICT, fields=TENSORS),
    }
    return [
        grpc.method_handlers_generic_handler(name, calls)
        for names, calls in ((_PREDICTOR, predictor), (_MODEL_SERVICE, model_service))
        for name in names
    ]


async def predict_features(request: pb.FeaturesRequest, caller: Caller) -> pb.FeaturesResponse:
    model = _NamedModel(caller)
    prediction, output = await model.run(model.input_of(partial(_as_row, request.features)))
    one = prediction.pipeline.one_number(output)
    return pb.FeaturesResponse(prediction=one.prediction, confidence=one.confidence, outputs=output.ravel())


async def predict(request: pb.PredictRequest, caller: Caller) -> pb.PredictResponse:
    model = _NamedModel(caller)
    _, output = await model.run(model.input_of(partial(_tensor_of, request)))
    return pb.PredictResponse(output=output.ravel(), shape=output.shape)


async def batch_predict(request: pb.BatchPredictRequest, caller: Caller) -> pb.BatchPredictResponse:
    model = _NamedModel(caller)
    if len(request.requests) > _MOST_REQUESTS:
        raise BadRequest(
            f"The batch has {len(request.requests)} requests; send at most {_MOST_REQUESTS} per batch."
        )
    description = await off_loop(model.describe)
    spec = model.only_input(description.signature)
    tensors = [_tensor_of(message, spec) for message in request.requests]
    outputs = [
        output
        for group in _groups(tensors, description.merged_rows)
        for output in await model.run_together(spec.name, group, description.version)
    ]
    return pb.BatchPredictResponse(
        responses=[pb.PredictResponse(output=output.ravel(), shape=output.shape) for output in outputs]
    )


class _NamedModel:
    """The Model that a call's metadata names. It must have one input and one output."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        name = caller.metadata.get("x-model") or settings.DEFAULT_MODELS.get("predict")
        if not name:
            raise UnknownModel(
                "The call does not name a Model, and there is no default; send metadata `x-model`."
            )
        self._name = (name, caller.metadata.get("x-model-version", ""))
        self._first: ModelRequest | None = caller.ask(*self._name)
        self._model = self._first.model

    def describe(self) -> Description:
        return services.describe(self._caller.by, *parse_name(*self._name))

    def only_input(self, signature: Signature) -> TensorSpec:
        return _only(signature.inputs, f"{self._model} expects", "input")

    def input_of(self, tensor_for: Callable[[TensorSpec], Array]) -> Callable[[Signature], Inputs]:
        def inputs(signature: Signature) -> Inputs:
            spec = self.only_input(signature)
            return {spec.name: tensor_for(spec)}

        return inputs

    async def run(self, inputs: Inputs | Callable[[Signature], Inputs]) -> tuple[Prediction, Array]:
        prediction = await self._predict(inputs)
        self._caller.set_request_id(prediction.request_id)
        hold_answer(self._caller.holding, prediction.nbytes, _TIMES_WRITTEN * prediction.nbytes)
        output = _only(prediction.signature.outputs, f"{self._model} returns", "output")
        return prediction, prediction.outputs[output.name]

    async def _predict(self, inputs: Inputs | Callable[[Signature], Inputs]) -> Prediction:
        caller = self._caller
        request, self._first = self._first or caller.ask(*self._name), None
        terms = terms_of({}, within_s=caller.within_s)
        route, target, flight = await admit(request)
        call = Call(
            request,
            route,
            inputs,
            hold=partial(hold_rows, caller.holding),
            fixed_target=target,
            routing_key=caller.metadata.get("x-routing-key"),
            within_s=terms.within_s,
        )
        try:
            flight.begin()
            return await run_on_loop_or_thread(route, target, partial(services.predict, call))
        finally:
            flight.end()

    async def run_together(self, name: str, tensors: list[Array], version: int) -> list[Array]:
        """Answer all in one run, or one by one if another version answered or the output's rows do not match."""
        if len(tensors) > 1:
            stacked = np.concatenate(tensors)
            prediction, output = await self.run({name: stacked})
            if prediction.version == version and output.ndim and output.shape[0] == len(stacked):
                return np.split(output, np.cumsum([len(tensor) for tensor in tensors])[:-1])
        return [(await self.run({name: tensor}))[1] for tensor in tensors]


def _groups(tensors: list[Array], most_rows: int) -> Iterator[list[Array]]:
    """Consecutive tensors that may share a run: the same shape, and no more rows than the batch proof allows."""
    group: list[Array] = []
    for tensor in tensors:
        if group and not _may_join(tensor, group, most_rows):
            yield group
            group = []
        group.append(tensor)
    if group:
        yield group


def _may_join(tensor: Array, group: list[Array], most_rows: int) -> bool:
    has_same_shape = tensor.ndim and tensor.ndim == group[0].ndim and tensor.shape[1:] == group[0].shape[1:]
    return bool(has_same_shape) and sum(map(len, [*group, tensor])) <= most_rows


def _as_row(values: Sequence[float], spec: TensorSpec) -> Array:
    """One row in the model's shape."""
    flat = np.array(values, np.float32)
    dims = spec.shape
    if spec.any_rank or len(dims) == 1:
        return flat
    rest = math.prod(dim or 1 for dim in dims[1:])
    if dims[1:].count(None) > 1 or not rest or flat.size % rest:
        raise BadTensor(
            f"Input {spec.name!r} has {flat.size} numbers, but the model expects rows of shape "
            f"{[dim or -1 for dim in dims[1:]]}; send that many.",
            field=spec.name,
        )
    return flat.reshape([1, *(flat.size // rest if dim is None else dim for dim in dims[1:])])


def _tensor_of(request: pb.PredictRequest, spec: TensorSpec) -> Array:
    if not request.shape:
        return _as_row(request.input, spec)
    shape = check_shape(spec.name, list(request.shape))
    if math.prod(shape) != len(request.input):
        raise BadTensor(
            f"Input {spec.name!r} has {len(request.input)} numbers but shape {list(shape)}; make them match.",
            field=spec.name,
        )
    return np.array(request.input, np.float32).reshape(shape)


def _only(specs: tuple[TensorSpec, ...], who: str, what: str) -> TensorSpec:
    """The only tensor, which these messages do not name and which must hold numbers."""
    required = [spec for spec in specs if not spec.optional]
    if len(required) != 1 or required[0].datatype == "BYTES":
        listed = ", ".join(f"{spec.name} ({spec.datatype})" for spec in required) or "none"
        raise BadRequest(
            f"{who} {listed}: this call supports only one {what} of numbers; use GRPCInferenceService."
        )
    return required[0]
