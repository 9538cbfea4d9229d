"""inference.GRPCInferenceService: the protocol's calls. What is not here, gRPC answers UNIMPLEMENTED."""

from functools import partial
from typing import Any

import grpc
from google.protobuf.json_format import ParseDict

from inference.doors.asking import LOOP_BYTES, Asked, answered, let_in
from inference.doors.grpc.callers import Caller, Context, parse, refuse, run, unary
from inference.doors.grpc.codes import refusal_for
from inference.doors.grpc.generated import open_inference_pb2 as pb
from inference.doors.grpc.message_size import INFER
from inference.doors.grpc.translating import read_infer, write_infer
from inference.doors.memory import hold_answer
from inference.doors.oip import describing
from inference.doors.oip.conf import limits
from inference.doors.oip.door import call_of
from inference.doors.oip.messages import check_load, terms_of
from inference.errors import TooManyRequests
from inference.serving import runtime, services
from inference.serving.off_loop import off_loop
from inference.serving.routes import Route, Target
from registry.access.policies import Right

NAME = "inference.GRPCInferenceService"
_TIMES_WRITTEN = 2  # tensors lie in the message, and then in its bytes


def handlers(*, most_streams: int) -> grpc.GenericRpcHandler:
    asks, looks, writes = (Right.PREDICT,), (Right.PREDICT, Right.READ), (Right.WRITE,)
    calls = {
        "ServerLive": unary(server_live, pb.ServerLiveRequest),
        "ServerReady": unary(server_ready, pb.ServerReadyRequest),
        "ModelReady": unary(model_ready, pb.ModelReadyRequest, *looks),
        "ServerMetadata": unary(server_metadata, pb.ServerMetadataRequest, *looks),
        "ModelMetadata": unary(model_metadata, pb.ModelMetadataRequest, *looks),
        "ModelInfer": unary(model_infer, pb.ModelInferRequest, *asks, fields=INFER),
        "ModelStreamInfer": grpc.stream_stream_rpc_method_handler(_Streams(most_streams).handle),
        "ModelConfig": unary(model_config, pb.ModelConfigRequest, *looks),
        "ModelStatistics": unary(model_statistics, pb.ModelStatisticsRequest, *looks),
        "RepositoryIndex": unary(repository_index, pb.RepositoryIndexRequest, *looks),
        "RepositoryModelLoad": unary(repository_load, pb.RepositoryModelLoadRequest, *writes),
        "RepositoryModelUnload": unary(repository_unload, pb.RepositoryModelUnloadRequest, *writes),
    }
    return grpc.method_handlers_generic_handler(NAME, calls)


async def server_live(_: pb.ServerLiveRequest, __: Caller) -> pb.ServerLiveResponse:
    return pb.ServerLiveResponse(live=True)


async def server_ready(_: pb.ServerReadyRequest, __: Caller) -> pb.ServerReadyResponse:
    return pb.ServerReadyResponse(ready=runtime.report().can_predict)


def model_ready(request: pb.ModelReadyRequest, caller: Caller) -> pb.ModelReadyResponse:
    return pb.ModelReadyResponse(ready=_describe(request.name, request.version, caller).is_ready)


def server_metadata(_: pb.ServerMetadataRequest, __: Caller) -> pb.ServerMetadataResponse:
    return pb.ServerMetadataResponse(**describing.server())


def model_metadata(request: pb.ModelMetadataRequest, caller: Caller) -> pb.ModelMetadataResponse:
    return pb.ModelMetadataResponse(**describing.metadata(_describe(request.name, request.version, caller)))


def model_config(request: pb.ModelConfigRequest, caller: Caller) -> pb.ModelConfigResponse:
    told = describing.config(_describe(request.name, request.version, caller))
    response: pb.ModelConfigResponse = ParseDict({"config": told}, pb.ModelConfigResponse())
    return response


async def model_infer(message: pb.ModelInferRequest, caller: Caller) -> pb.ModelInferResponse:
    name = describing.parse_name(message.model_name, message.model_version)
    asked = Asked(caller.by, *name, caller.cancellation)
    route, target, flight = await let_in(asked)
    try:
        flight.begin()
        return await answered(route, target, partial(_infer, message, caller, asked, route, target))
    finally:
        flight.end()


async def _infer(
    message: pb.ModelInferRequest, caller: Caller, asked: Asked, route: Route, target: Target | None
) -> pb.ModelInferResponse:
    request = read_infer(message, limits(), caller.holding)
    terms = terms_of(request.parameters, within_s=caller.within_s)
    routing_key = caller.metadata.get("x-routing-key")
    prediction = await services.predict(
        call_of(request, terms, asked, route, target, routing_key=routing_key)
    )
    caller.tell(prediction.request_id)
    hold_answer(caller.holding, prediction.nbytes, _TIMES_WRITTEN * prediction.nbytes)
    if prediction.nbytes > LOOP_BYTES:
        return await off_loop(partial(write_infer, request, prediction))
    return write_infer(request, prediction)


def model_statistics(request: pb.ModelStatisticsRequest, caller: Caller) -> pb.ModelStatisticsResponse:
    name, version, _ = (
        describing.parse_name(request.name, request.version) if request.name else (None, None, None)
    )
    found = services.statistics(caller.by, name, version)
    return pb.ModelStatisticsResponse(model_stats=[describing.statistics(*one) for one in found])


def repository_index(request: pb.RepositoryIndexRequest, caller: Caller) -> pb.RepositoryIndexResponse:
    found = services.repository_index(caller.by, request.ready)
    return pb.RepositoryIndexResponse(models=describing.index(found))


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
    """ModelStreamInfer: each request is answered in its turn. Known on the loop only."""

    def __init__(self, most: int) -> None:
        self._most, self._open = most, 0

    async def handle(self, _: object, context: Context) -> None:
        try:
            await Caller(context).admit(Right.PREDICT)
            if self._open >= self._most:
                raise TooManyRequests("Too many streams are open; close one or call ModelInfer.")
        except Exception as error:  # noqa: BLE001 (whatever it is, the caller is owed a status)
            await refuse(context, error)
            return
        self._open += 1
        try:
            while (raw := await context.read()) is not grpc.aio.EOF:
                caller = Caller(context)
                try:
                    response = await _streamed(raw, caller)
                    await context.write(response.SerializeToString())
                finally:
                    caller.holding.end()
        finally:
            self._open -= 1


async def _streamed(raw: bytes, caller: Caller) -> pb.ModelStreamInferResponse:
    """One answer of a stream; an error belongs to its request and does not end the stream."""
    request = pb.ModelInferRequest()
    try:
        request = parse(pb.ModelInferRequest, raw, INFER, caller.holding)
        await caller.admit(Right.PREDICT)  # once more: a stream may be older than the end of its key
        response = await run(model_infer, request, caller, is_long=len(raw) > LOOP_BYTES)
        return pb.ModelStreamInferResponse(infer_response=response)
    except Exception as error:  # noqa: BLE001 (the stream's other requests are owed their answers)
        failed = pb.ModelInferResponse(id=request.id, model_name=request.model_name)
        return pb.ModelStreamInferResponse(error_message=refusal_for(error).text, infer_response=failed)


def _describe(name: str, version: str, caller: Caller) -> Any:
    return services.describe(caller.by, *describing.parse_name(name, version))
