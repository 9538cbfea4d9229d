"""roundhouse.Predictor and roundhouse.ModelService: one input of numbers, one output of numbers."""

import math
from collections.abc import Iterator, Sequence

import grpc
import numpy as np
from django.conf import settings

from inference.doors.asking import Asked, let_in
from inference.doors.grpc.callers import Caller, answering
from inference.doors.grpc.generated import predictor_pb2 as pb
from inference.doors.grpc.weighing import ONE_TENSOR, TENSORS
from inference.doors.memory import hold_answer
from inference.doors.oip.describing import parse_name
from inference.doors.oip.errors import BadRequest, BadTensor
from inference.doors.oip.messages import Array, terms_of
from inference.doors.oip.tensors import check_shape
from inference.engine.loop import complete
from inference.engine.signature import TensorSpec
from inference.errors import UnknownModel
from inference.serving import services
from inference.serving.calls import Call, Description, Prediction
from registry.access.key_ring import Principal
from registry.access.policies import Right

NAMES = ("roundhouse.Predictor", "roundhouse.ModelService")

_MOST_REQUESTS = 1024
_TIMES_WRITTEN = 3  # tensors lie in the message, perhaps wider, and then in its bytes


def handlers() -> tuple[grpc.GenericRpcHandler, ...]:
    predictor, model_service = NAMES
    return (
        grpc.method_handlers_generic_handler(
            predictor, {"Predict": answering(predict_features, pb.FeaturesRequest, ONE_TENSOR)}
        ),
        grpc.method_handlers_generic_handler(
            model_service,
            {
                "Predict": answering(predict, pb.PredictRequest, ONE_TENSOR),
                "BatchPredict": answering(batch_predict, pb.BatchPredictRequest, TENSORS),
            },
        ),
    )


def predict_features(request: pb.FeaturesRequest, caller: Caller) -> pb.FeaturesResponse:
    asked = _Asked(caller)
    prediction, output = asked.run(asked.as_row(request.features))
    row = output.ravel()
    if not row.size:
        raise BadRequest(f"{prediction.model} answered with an empty tensor, which is no prediction.")
    if prediction.labels is None:
        return pb.FeaturesResponse(prediction=row[0], outputs=row)
    best = int(np.argmax(row))
    return pb.FeaturesResponse(prediction=best, confidence=row[best], outputs=row)


def predict(request: pb.PredictRequest, caller: Caller) -> pb.PredictResponse:
    asked = _Asked(caller)
    _, output = asked.run(asked.tensor_of(request))
    return pb.PredictResponse(output=output.ravel(), shape=output.shape)


def batch_predict(request: pb.BatchPredictRequest, caller: Caller) -> pb.BatchPredictResponse:
    asked = _Asked(caller)
    if len(request.requests) > _MOST_REQUESTS:
        raise BadRequest(
            f"The batch has {len(request.requests)} requests; send at most {_MOST_REQUESTS} at once."
        )
    tensors = [asked.tensor_of(one) for one in request.requests]
    outputs = [output for group in asked.groups(tensors) for output in asked.run_together(group)]
    return pb.BatchPredictResponse(
        responses=[pb.PredictResponse(output=output.ravel(), shape=output.shape) for output in outputs]
    )


class _Asked:
    """The Model that a call's metadata names, and its one input."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._by: Principal = caller.admitted(Right.PREDICT)
        name = caller.metadata.get("x-model") or settings.DEFAULT_MODEL
        if not name:
            raise UnknownModel("The call names no Model and there is no default; send metadata `x-model`.")
        self._model, self._version, self._alias = parse_name(name, caller.metadata.get("x-model-version", ""))
        self.description: Description = services.describe(self._by, self._model, self._version, self._alias)
        self._input = _only(self.description.signature.inputs, f"{self._model} takes", "input")

    def as_row(self, values: Sequence[float]) -> Array:
        """Give one row the shape that the model takes."""
        flat = np.array(values, np.float32)
        dims = self._input.shape
        if self._input.any_rank or len(dims) == 1:
            return flat
        rest = math.prod(dim or 1 for dim in dims[1:])
        if dims[1:].count(None) > 1 or not rest or flat.size % rest:
            raise BadTensor(
                f"Input {self._input.name!r} has {flat.size} numbers and the model takes rows of shape "
                f"{[dim or -1 for dim in dims[1:]]}; send that many.",
                field=self._input.name,
            )
        return flat.reshape([1, *(flat.size // rest if dim is None else dim for dim in dims[1:])])

    def tensor_of(self, request: pb.PredictRequest) -> Array:
        if not request.shape:
            return self.as_row(request.input)
        shape = check_shape(self._input.name, list(request.shape))
        if math.prod(shape) != len(request.input):
            raise BadTensor(
                f"Input {self._input.name!r} has {len(request.input)} numbers and shape {list(shape)}; make them agree.",
                field=self._input.name,
            )
        return np.array(request.input, np.float32).reshape(shape)

    def run(self, tensor: Array) -> tuple[Prediction, Array]:
        prediction = complete(self._predict(tensor))
        self._caller.tell(prediction.request_id)
        hold_answer(self._caller.holding, prediction.nbytes, _TIMES_WRITTEN * prediction.nbytes)
        output = _only(prediction.signature.outputs, f"{self._model} gives", "output")
        return prediction, prediction.outputs[output.name]

    async def _predict(self, tensor: Array) -> Prediction:
        terms = terms_of({}, within_s=self._caller.within_s)
        route, target, flight = await let_in(Asked(self._by, self._model, self._version, self._alias))
        try:
            flight.begin()
            return await services.predict(
                Call(
                    by=self._by,
                    route=route,
                    version=self._version,
                    alias=self._alias,
                    foregone=target,
                    inputs={self._input.name: tensor},
                    routing_key=self._caller.metadata.get("x-routing-key"),
                    within_s=terms.within_s,
                    cancellation=self._caller.cancellation(),
                )
            )
        finally:
            flight.end()

    def groups(self, tensors: list[Array]) -> Iterator[list[Array]]:
        """Neighbours that may share a run: of one shape, and as many rows as the version's batch proof allows."""
        group: list[Array] = []
        for tensor in tensors:
            if group and not self._may_join(tensor, group):
                yield group
                group = []
            group.append(tensor)
        if group:
            yield group

    def _may_join(self, tensor: Array, group: list[Array]) -> bool:
        is_alike = tensor.ndim and tensor.ndim == group[0].ndim and tensor.shape[1:] == group[0].shape[1:]
        return bool(is_alike) and sum(map(len, [*group, tensor])) <= self.description.merged_rows

    def run_together(self, tensors: list[Array]) -> list[Array]:
        """Answer all in one run, unless it was another version's, whose rows may not share one, or has no rows."""
        if len(tensors) == 1:
            return [self.run(tensors[0])[1]]
        stacked = np.concatenate(tensors)
        prediction, output = self.run(stacked)
        is_described = prediction.version == self.description.version
        if not is_described or output.ndim == 0 or output.shape[0] != len(stacked):
            return [self.run(tensor)[1] for tensor in tensors]
        return np.split(output, np.cumsum([len(tensor) for tensor in tensors])[:-1])


def _only(specs: tuple[TensorSpec, ...], who: str, what: str) -> TensorSpec:
    """The one tensor, which these messages do not name and which must hold numbers."""
    needed = [spec for spec in specs if not spec.optional]
    if len(needed) != 1 or needed[0].datatype == "BYTES":
        held = ", ".join(f"{spec.name} ({spec.datatype})" for spec in needed) or "none"
        raise BadRequest(f"{who} {held}: this call is for one {what} of numbers; use GRPCInferenceService.")
    return needed[0]
