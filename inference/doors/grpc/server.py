"""The gRPC server on the process's event loop. An entry point starts it once, after the last fork."""

from dataclasses import dataclass

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2

from inference.doors.grpc import inference_service, predictor_service
from inference.doors.grpc.messages import POOL
from inference.doors.oip.messages import request_limits
from inference.engine.loop import EngineLoop
from inference.serving import runtime
from registry.kit.loops import Loop, ThreadGroup

log = structlog.get_logger("roundhouse.grpc")

# gRPC refuses further calls with RESOURCE_EXHAUSTED before it receives any of their data.
MAX_CALLS = 1024
_MESSAGE_ROOM = 1 << 20  # names and shapes around the tensors
_DRAIN_S = 5.0  # open streams use all of it, and the runtime drains afterwards
_CHECK_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class ListenAddress:
    bind: str
    port: int  # 0: any free port
    is_shared: bool = False  # with the server's other processes; the kernel distributes connections

    def __str__(self) -> str:
        return f"[{self.bind}]:{self.port}" if ":" in self.bind else f"{self.bind}:{self.port}"


class PortTaken(Exception):
    """The port cannot be bound."""


class GrpcServer:
    def __init__(self, address: ListenAddress, loop: EngineLoop, *, max_calls: int = MAX_CALLS) -> None:
        """At most half of the calls may be streams, which their callers may keep open."""
        self._loop = loop
        self._health = _Health(loop)
        self.port = loop.wait_for(self._listen(address, max_calls))

    async def _listen(self, address: ListenAddress, max_calls: int) -> int:
        self._server = grpc.aio.server(
            maximum_concurrent_rpcs=max_calls,
            options=[
                ("grpc.so_reuseport", int(address.is_shared)),
                ("grpc.max_receive_message_length", request_limits().body_bytes + _MESSAGE_ROOM),
                ("grpc.max_send_message_length", -1),
            ],
        )
        services = (inference_service.NAME, *predictor_service.NAMES)
        self._health.names = ("", *services)
        oip = inference_service.handlers(max_streams=max_calls // 2)
        self._server.add_generic_rpc_handlers([oip, *predictor_service.handlers()])
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection(
            (*services, health.SERVICE_NAME, reflection.SERVICE_NAME), self._server, pool=_reflected_pool()
        )
        try:
            return int(self._server.add_insecure_port(str(address)))
        except RuntimeError:
            raise PortTaken(
                f"gRPC cannot listen on {address}: the address is in use, or does not belong to this host."
            ) from None

    def start(self) -> "GrpcServer":
        self._health.update()
        self._loop.wait_for(self._server.start())
        self._health.start()
        return self

    def stop(self) -> None:
        """Accept no more calls, and let those in progress finish."""
        self._health.end()
        self._loop.wait_for(self._server.stop(_DRAIN_S))


class _Health(health.aio.HealthServicer):  # type: ignore[misc]  # comes without types
    """grpc.health.v1, with the same answer as /readyz."""

    names: tuple[str, ...] = ("",)

    def __init__(self, loop: EngineLoop) -> None:
        super().__init__()
        self._loop = loop
        self._thread = ThreadGroup(
            "grpc-health",
            Loop("gRPC health", self.update, _CHECK_EVERY_S, "gRPC's health status may be outdated"),
        )

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        self._thread.stop()
        self._loop.wait_for(self.enter_graceful_shutdown())

    def update(self) -> None:
        state = health_pb2.HealthCheckResponse
        self._loop.wait_for(
            self._set_all(state.SERVING if runtime.report().can_predict else state.NOT_SERVING)
        )

    async def _set_all(self, status: int) -> None:
        for name in self.names:
            await self.set(name, status)


def _reflected_pool() -> object:
    """Our messages, and those of the two standard services."""
    for file in (health_pb2.DESCRIPTOR, reflection_pb2.DESCRIPTOR):
        POOL.AddSerializedFile(file.serialized_pb)
    return POOL


def start(address: ListenAddress, loop: EngineLoop) -> GrpcServer:
    """Start serving. Entry points call this once, after they have started the runtime on the same loop."""
    server = GrpcServer(address, loop).start()
    log.info("grpc listens", address=address.bind, port=server.port)
    return server
