"""inference.GRPCInferenceService: the protocol's calls. What is not here, gRPC answers UNIMPLEMENTED."""

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import grpc
from google.protobuf.json_format import ParseDict

from inference.doors.asking import Asked, let_in
from inference.doors.grpc.callers import Caller, answering, database_thread, read, serialize
from inference.doors.grpc.codes import refusal_for
from inference.doors.grpc.generated import open_inference_pb2 as pb
from inference.doors.grpc.translating import read_infer, write_infer
from inference.doors.grpc.weighing import INFER, NO_FIELDS
from inference.doors.memory import Holding, hold_answer, memory
from inference.doors.oip import describing
from inference.doors.oip.conf import limits
from inference.doors.oip.door import call_of
from inference.doors.oip.messages import check_load, terms_of
from inference.engine.loop import complete
from inference.serving import runtime, services
from registry.access.key_ring import Principal
from registry.access.policies import Right

NAME = "inference.GRPCInferenceService"
_TIMES_WRITTEN = 2  # tensors lie in the message, and then in its bytes


def handlers(*, streams: int) -> grpc.GenericRpcHandler:
    """At most so many streams at once: each keeps a thread for as long as it lives."""
    calls: dict[str, tuple[Callable[[Any, Caller], Any], Any]] = {
        "ServerLive": (server_live, pb.ServerLiveRequest),
        "ServerReady": (server_ready, pb.ServerReadyRequest),
        "ModelReady": (model_ready, pb.ModelReadyRequest),
        "ServerMetadata": (server_metadata, pb.ServerMetadataRequest),
        "ModelMetadata": (model_metadata, pb.ModelMetadataRequest),
        "ModelInfer": (model_infer, pb.ModelInferRequest),
        "ModelConfig": (model_config, pb.ModelConfigRequest),
        "ModelStatistics": (model_statistics, pb.ModelStatisticsRequest),
        "RepositoryIndex": (repository_index, pb.RepositoryIndexRequest),
        "RepositoryModelLoad": (repository_load, pb.RepositoryModelLoadRequest),
        "RepositoryModelUnload": (repository_unload, pb.RepositoryModelUnloadRequest),
    }
    unary = {
        name: answering(answer, message, INFER if message is pb.ModelInferRequest else NO_FIELDS)
        for name, (answer, message) in calls.items()
    }
    stream = grpc.stream_stream_rpc_method_handler(_streaming(threading.BoundedSemaphore(streams)))
    return grpc.method_handlers_generic_handler(NAME, {**unary, "ModelStreamInfer": stream})


def server_live(_: pb.ServerLiveRequest, __: Caller) -> pb.ServerLiveResponse:
    return pb.ServerLiveResponse(live=True)


def server_ready(_: pb.ServerReadyRequest, __: Caller) -> pb.ServerReadyResponse:
    return pb.ServerReadyResponse(ready=runtime.report().can_predict)


def model_ready(request: pb.ModelReadyRequest, caller: Caller) -> pb.ModelReadyResponse:
    return pb.ModelReadyResponse(ready=_describe(request.name, request.version, caller).is_ready)


def server_metadata(_: pb.ServerMetadataRequest, caller: Caller) -> pb.ServerMetadataResponse:
    _admitted(caller)
    return pb.ServerMetadataResponse(**describing.server())


def model_metadata(request: pb.ModelMetadataRequest, caller: Caller) -> pb.ModelMetadataResponse:
    return pb.ModelMetadataResponse(**describing.metadata(_describe(request.name, request.version, caller)))


def model_config(request: pb.ModelConfigRequest, caller: Caller) -> pb.ModelConfigResponse:
    told = describing.config(_describe(request.name, request.version, caller))
    response: pb.ModelConfigResponse = ParseDict({"config": told}, pb.ModelConfigResponse())
    return response


def model_infer(message: pb.ModelInferRequest, caller: Caller) -> pb.ModelInferResponse:
    asked = Asked(
        caller.admitted(Right.PREDICT),
        *describing.parse_name(message.model_name, message.model_version),
        caller.cancellation(),
    )
    return complete(_infer(message, caller, asked))


async def _infer(message: pb.ModelInferRequest, caller: Caller, asked: Asked) -> pb.ModelInferResponse:
    route, target, flight = await let_in(asked)
    try:
        flight.begin()
        request = read_infer(message, limits(), caller.holding)
        terms = terms_of(request.parameters, within_s=caller.within_s)
        routing_key = caller.metadata.get("x-routing-key")
        call = call_of(request, terms, asked, route, target, routing_key=routing_key)
        prediction = await services.predict(call)
        caller.tell(prediction.request_id)
        hold_answer(caller.holding, prediction.nbytes, _TIMES_WRITTEN * prediction.nbytes)
        return write_infer(request, prediction)
    finally:
        flight.end()


def model_statistics(request: pb.ModelStatisticsRequest, caller: Caller) -> pb.ModelStatisticsResponse:
    by = _admitted(caller)
    name, version, _ = (
        describing.parse_name(request.name, request.version) if request.name else (None, None, None)
    )
    found = services.statistics(by, name, version)
    return pb.ModelStatisticsResponse(model_stats=[describing.statistics(*one) for one in found])


def repository_index(request: pb.RepositoryIndexRequest, caller: Caller) -> pb.RepositoryIndexResponse:
    found = services.repository_index(_admitted(caller), request.ready)
    return pb.RepositoryIndexResponse(models=describing.index(found))


def repository_load(request: pb.RepositoryModelLoadRequest, caller: Caller) -> pb.RepositoryModelLoadResponse:
    by = caller.admitted(Right.WRITE)
    check_load(request.parameters)
    services.load(by, request.model_name)
    return pb.RepositoryModelLoadResponse()


def repository_unload(
    request: pb.RepositoryModelUnloadRequest, caller: Caller
) -> pb.RepositoryModelUnloadResponse:
    services.unload(caller.admitted(Right.WRITE), request.model_name)
    return pb.RepositoryModelUnloadResponse()


def _streaming(room: threading.BoundedSemaphore) -> Callable[..., Iterator[bytes]]:
    def handle(requests: Iterable[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        if not room.acquire(blocking=False):
            context.abort(
                grpc.StatusCode.RESOURCE_EXHAUSTED, "Too many streams are open; close one or call ModelInfer."
            )
        try:
            for request in requests:
                holding = Holding(memory)
                try:
                    yield serialize(_streamed(request, context, holding))
                finally:
                    holding.end()
        finally:
            room.release()

    return handle


def _streamed(raw: bytes, context: grpc.ServicerContext, holding: Holding) -> pb.ModelStreamInferResponse:
    """One answer of a stream; an error belongs to its request and does not end the stream."""
    request = pb.ModelInferRequest()
    with database_thread():
        try:
            request = read(raw, pb.ModelInferRequest, INFER, holding)
            return pb.ModelStreamInferResponse(infer_response=model_infer(request, Caller(context, holding)))
        except Exception as error:  # noqa: BLE001 (the stream's other requests are owed their answers)
            failed = pb.ModelInferResponse(id=request.id, model_name=request.model_name)
            return pb.ModelStreamInferResponse(error_message=refusal_for(error).text, infer_response=failed)


def _admitted(caller: Caller) -> Principal:
    return caller.admitted(Right.PREDICT, Right.READ)


def _describe(name: str, version: str, caller: Caller) -> Any:
    by = _admitted(caller)
    model, number, alias = describing.parse_name(name, version)
    return services.describe(by, model, number, alias)
