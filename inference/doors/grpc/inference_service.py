"""inference.GRPCInferenceService: the protocol's calls. gRPC answers all others with UNIMPLEMENTED."""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import grpc
from google.protobuf.json_format import ParseDict

from inference.doors.entry import LOOP_BYTES, admit, run_on_loop_or_thread
from inference.doors.errors import BadRequest, BadTensor
from inference.doors.grpc.callers import Caller, Context, parse, refuse, run, unary
from inference.doors.grpc.codes import refusal_for
from inference.doors.grpc.generated import open_inference_pb2 as pb
from inference.doors.grpc.messages import INFER
from inference.doors.memory import MemoryHolding, hold_answer
from inference.doors.oip import descriptions
from inference.doors.oip.codec import (
    check_name,
    hold_texts,
    refuse_shared_memory,
    requested_output,
    requested_outputs,
    response_parameters,
)
from inference.doors.oip.door import call_of
from inference.doors.oip.messages import (
    Array,
    InferRequest,
    Parameters,
    RequestedOutput,
    RequestLimits,
    check_load,
    request_limits,
    terms_of,
)
from inference.doors.oip.tensors import check_datatype, check_shape, read_binary, read_values, write_binary
from inference.errors import TooManyRequests
from inference.serving import runtime, services
from inference.serving.calls import ModelRequest, Prediction
from inference.serving.off_loop import off_loop
from inference.serving.routes import Route, Target
from registry.access.policies import Right

NAME = "inference.GRPCInferenceService"
_TIMES_WRITTEN = 2  # tensors are held in the message, and again in its bytes
# Which list of InferTensorContents holds a datatype's values; FP16 has none.
_FIELD = {
    "BOOL": "bool_contents", "INT8": "int_contents", "INT16": "int_contents", "INT32": "int_contents",
    "INT64": "int64_contents", "UINT8": "uint_contents", "UINT16": "uint_contents", "UINT32": "uint_contents",
    "UINT64": "uint64_contents", "FP32": "fp32_contents", "FP64": "fp64_contents", "BYTES": "bytes_contents",
}  # fmt: skip


def handlers(*, max_streams: int) -> grpc.GenericRpcHandler:
    predict, read, write = (Right.PREDICT,), (Right.PREDICT, Right.READ), (Right.WRITE,)
    calls = {
        "ServerLive": unary(server_live, pb.ServerLiveRequest),
        "ServerReady": unary(server_ready, pb.ServerReadyRequest),
        "ModelReady": unary(model_ready, pb.ModelReadyRequest, *read),
        "ServerMetadata": unary(server_metadata, pb.ServerMetadataRequest, *read),
        "ModelMetadata": unary(model_metadata, pb.ModelMetadataRequest, *read),
        "ModelInfer": unary(model_infer, pb.ModelInferRequest, *predict, fields=INFER),
        "ModelStreamInfer": grpc.stream_stream_rpc_method_handler(_Streams(max_streams).handle),
        "ModelConfig": unary(model_config, pb.ModelConfigRequest, *read),
        "ModelStatistics": unary(model_statistics, pb.ModelStatisticsRequest, *read),
        "RepositoryIndex": unary(repository_index, pb.RepositoryIndexRequest, *read),
        "RepositoryModelLoad": unary(repository_load, pb.RepositoryModelLoadRequest, *write),
        "RepositoryModelUnload": unary(repository_unload, pb.RepositoryModelUnloadRequest, *write),
    }
    return grpc.method_handlers_generic_handler(NAME, calls)


async def server_live(_: pb.ServerLiveRequest, __: Caller) -> pb.ServerLiveResponse:
    return pb.ServerLiveResponse(live=True)


async def server_ready(_: pb.ServerReadyRequest, __: Caller) -> pb.ServerReadyResponse:
    return pb.ServerReadyResponse(ready=runtime.report().can_predict)


def model_ready(request: pb.ModelReadyRequest, caller: Caller) -> pb.ModelReadyResponse:
    return pb.ModelReadyResponse(ready=_describe(request.name, request.version, caller).is_ready)


def server_metadata(_: pb.ServerMetadataRequest, __: Caller) -> pb.ServerMetadataResponse:
    return pb.ServerMetadataResponse(**descriptions.server())


def model_metadata(request: pb.ModelMetadataRequest, caller: Caller) -> pb.ModelMetadataResponse:
    return pb.ModelMetadataResponse(**descriptions.metadata(_describe(request.name, request.version, caller)))


def model_config(request: pb.ModelConfigRequest, caller: Caller) -> pb.ModelConfigResponse:
    response_parameters = descriptions.config(_describe(request.name, request.version, caller))
    response: pb.ModelConfigResponse = ParseDict({"config": response_parameters}, pb.ModelConfigResponse())
    return response


async def model_infer(message: pb.ModelInferRequest, caller: Caller) -> pb.ModelInferResponse:
    request = caller.ask(message.model_name, message.model_version)
    route, target, flight = await admit(request)
    try:
        flight.begin()
        return await run_on_loop_or_thread(
            route, target, partial(_infer, message, caller, request, route, target)
        )
    finally:
        flight.end()


async def _infer(
    message: pb.ModelInferRequest, caller: Caller, request: ModelRequest, route: Route, target: Target | None
) -> pb.ModelInferResponse:
    infer = read_infer(message, request_limits(), caller.holding)
    terms = terms_of(infer.parameters, within_s=caller.within_s)
    routing_key = caller.metadata.get("x-routing-key")
    prediction = await services.predict(
        call_of(infer, terms, request, route, target, routing_key=routing_key, holding=caller.holding)
    )
    caller.set_request_id(prediction.request_id)
    hold_answer(caller.holding, prediction.nbytes, _TIMES_WRITTEN * prediction.nbytes)
    if prediction.nbytes > LOOP_BYTES:
        return await off_loop(partial(write_infer, infer, prediction))
    return write_infer(infer, prediction)


def model_statistics(request: pb.ModelStatisticsRequest, caller: Caller) -> pb.ModelStatisticsResponse:
    name, version, _ = (
        descriptions.parse_name(request.name, request.version) if request.name else (None, None, None)
    )
    statistics = services.statistics(caller.by, name, version)
    return pb.ModelStatisticsResponse(model_stats=[descriptions.statistics(*entry) for entry in statistics])


def repository_index(request: pb.RepositoryIndexRequest, caller: Caller) -> pb.RepositoryIndexResponse:
    versions = services.repository_index(caller.by, request.ready)
    return pb.RepositoryIndexResponse(models=descriptions.index(versions))


def repository_load(request: pb.RepositoryModelLoadRequest, caller: Caller) -> pb.RepositoryModelLoadResponse:
    check_load(request.parameters)
    services.load(caller.by, request.model_name)
    return pb.RepositoryModelLoadResponse()


def repository_unload(
    request: pb.RepositoryModelUnloadRequest, caller: Caller
) -> pb.RepositoryModelUnloadResponse:
    services.unload(caller.by, request.model_name)
    return pb.RepositoryModelUnloadResponse()


class _Streams:
    """ModelStreamInfer: requests of a stream are answered in order. Used on the loop only."""

    def __init__(self, most: int) -> None:
        self._most, self._open = most, 0

    async def handle(self, _: object, context: Context) -> None:
        try:
            await Caller(context).authenticate(Right.PREDICT)
            if self._open >= self._most:
                raise TooManyRequests("Too many streams are open; close one or call ModelInfer.")
        except Exception as error:  # noqa: BLE001 (the caller gets a status in any case)
            await refuse(context, error)
            return
        self._open += 1
        try:
            while (raw := await context.read()) is not grpc.aio.EOF:
                caller = Caller(context)
                try:
                    await context.write(await _answer_in_stream(raw, caller))
                finally:
                    caller.holding.end()
        finally:
            self._open -= 1


async def _answer_in_stream(raw: bytes, caller: Caller) -> bytes:
    """One answer of a stream; an error does not end the stream."""
    request = pb.ModelInferRequest()
    try:
        request = parse(pb.ModelInferRequest, raw, INFER, caller.holding)
        await caller.authenticate(
            Right.PREDICT
        )  # again: the key may have been revoked since the stream began
        response = await run(model_infer, request, caller, is_long=len(raw) > LOOP_BYTES)
        written = bytes(pb.ModelStreamInferResponse(infer_response=response).SerializeToString())
    except Exception as error:  # noqa: BLE001 (the stream's other requests still get their answers)
        caller.count_turned_away(error)
        failed = pb.ModelInferResponse(id=request.id, model_name=request.model_name)
        response = pb.ModelStreamInferResponse(error_message=refusal_for(error).text, infer_response=failed)
        return bytes(response.SerializeToString())
    caller.count_answer()
    return written


def _describe(name: str, version: str, caller: Caller) -> Any:
    return services.describe(caller.by, *descriptions.parse_name(name, version))


def read_infer(message: pb.ModelInferRequest, limits: RequestLimits, holding: MemoryHolding) -> InferRequest:
    if len(message.inputs) > limits.tensors or len(message.outputs) > limits.tensors:
        raise BadRequest(f"The request has more than {limits.tensors} tensors.")
    return InferRequest(
        inputs=_inputs(message, limits, holding),
        outputs=_outputs(message.outputs),
        id=message.id or None,
        parameters=read_parameters(message.parameters),
    )


def write_infer(request: InferRequest, prediction: Prediction) -> pb.ModelInferResponse:
    """Every tensor is written raw: stock clients cannot read typed contents."""
    response = pb.ModelInferResponse(
        model_name=prediction.model, model_version=str(prediction.version), id=request.id or ""
    )
    for name, value in response_parameters(prediction).items():
        parameter = response.parameters[name]
        if isinstance(value, bool):
            parameter.bool_param = value
        elif isinstance(value, int):
            parameter.int64_param = value
        else:
            parameter.string_param = value
    for output, tensor, datatype in requested_outputs(request, prediction):
        response.outputs.add(name=output.name, datatype=datatype, shape=tensor.shape)
        data, _ = write_binary(tensor, datatype)
        response.raw_output_contents.append(data if isinstance(data, bytes) else data.tobytes())
    return response


def read_parameters(message: Mapping[str, Any]) -> Parameters:
    parameters = {}
    for name, value in message.items():
        choice = value.WhichOneof("parameter_choice")
        if choice is not None:
            parameters[name] = getattr(value, choice)
    return parameters


def _inputs(
    message: pb.ModelInferRequest, request_limits: RequestLimits, holding: MemoryHolding
) -> dict[str, Array]:
    raw = list(message.raw_input_contents)
    if raw and len(raw) != len(message.inputs):
        raise BadRequest(
            f"raw_input_contents has {len(raw)} entries for {len(message.inputs)} inputs; send one for each."
        )
    inputs: dict[str, Array] = {}
    for index, item in enumerate(message.inputs):
        name = check_name(item.name, inputs, "inputs")
        refuse_shared_memory(name, item.parameters)
        datatype, shape = check_datatype(name, item.datatype), check_shape(name, list(item.shape))
        if not raw:
            inputs[name] = read_values(
                name, datatype, shape, _values(name, datatype, item.contents), request_limits
            )
        elif item.HasField("contents"):
            raise BadTensor(
                f"Input {name[:80]!r} has contents as well as raw_input_contents; send only one.", field=name
            )
        else:
            hold_texts(holding, datatype, shape, request_limits)
            inputs[name] = read_binary(name, datatype, shape, raw[index], request_limits)
    return inputs


def _values(name: str, datatype: str, contents: pb.InferTensorContents) -> list[Any]:
    contents_field = _FIELD.get(datatype)
    if contents_field is None:
        raise BadTensor(
            f"Input {name[:80]!r} is {datatype}, which only raw_input_contents can hold.", field=name
        )
    others = [field.name for field, _ in contents.ListFields() if field.name != contents_field]
    if others:
        raise BadTensor(
            f"Input {name[:80]!r} is {datatype} and has {others[0]}; send {contents_field}.", field=name
        )
    return list(getattr(contents, contents_field))


def _outputs(
    given: Iterable[pb.ModelInferRequest.InferRequestedOutputTensor],
) -> tuple[RequestedOutput, ...] | None:
    outputs: dict[str, RequestedOutput] = {}
    for item in given:
        name = check_name(item.name, outputs, "outputs")
        outputs[name] = requested_output(name, read_parameters(item.parameters))
    return tuple(outputs.values()) or None
