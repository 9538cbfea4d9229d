"""The gRPC server: started once by an entry point, after the last fork and after the runtime."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2

from inference.doors.grpc import inference_service, predictor_service
from inference.doors.grpc.messages import POOL
from inference.doors.oip.conf import limits
from inference.serving import runtime
from registry.loops import Loop, ThreadGroup

log = structlog.get_logger("roundhouse.grpc")

_MESSAGE_ROOM = 1 << 20  # names and shapes around the tensors
_DRAIN_S = 5.0  # an open stream would use all of it, and the runtime drains after
_LOOK_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Address:
    bind: str
    port: int  # 0: any that is free
    is_shared: bool = False  # with the other processes of this server; the kernel deals out connections

    def __str__(self) -> str:
        return f"[{self.bind}]:{self.port}" if ":" in self.bind else f"{self.bind}:{self.port}"


class PortTaken(Exception):
    """The port cannot be listened on."""


class GrpcServer:
    def __init__(self, address: Address, *, threads: int) -> None:
        self._server = grpc.server(
            ThreadPoolExecutor(threads, thread_name_prefix="grpc"),
            # What waits for a thread is refused by gRPC with RESOURCE_EXHAUSTED before its message is parsed.
            maximum_concurrent_rpcs=threads * 2,
            options=[
                ("grpc.so_reuseport", int(address.is_shared)),
                ("grpc.max_receive_message_length", limits().body_bytes + _MESSAGE_ROOM),
                ("grpc.max_send_message_length", -1),
            ],
        )
        self._health = _Health()
        services = (inference_service.NAME, *predictor_service.NAMES)
        self._health.names = ("", *services)
        self._server.add_generic_rpc_handlers(
            (inference_service.handlers(streams=max(1, threads // 2)), *predictor_service.handlers())
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection(
            (*services, health.SERVICE_NAME, reflection.SERVICE_NAME), self._server, pool=_reflected_pool()
        )
        try:
            self.port = self._server.add_insecure_port(str(address))
        except RuntimeError:
            raise PortTaken(
                f"gRPC cannot listen on {address}: another program does, or the address is not here."
            ) from None

    def start(self) -> "GrpcServer":
        self._health.look()
        self._health.start()
        self._server.start()
        return self

    def stop(self) -> None:
        """Take no more calls, let those under way end."""
        self._health.end()
        self._server.stop(_DRAIN_S).wait()


class _Health(health.HealthServicer):  # type: ignore[misc]  # comes without types
    """grpc.health.v1, which says what /readyz says."""

    names: tuple[str, ...] = ("",)

    def __init__(self) -> None:
        super().__init__()
        self._thread = ThreadGroup(
            "grpc-health",
            Loop("gRPC health", self.look, _LOOK_EVERY_S, "gRPC's health is told as it was"),
        )

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        self._thread.stop()
        self.enter_graceful_shutdown()

    def look(self) -> None:
        state = health_pb2.HealthCheckResponse
        status = state.SERVING if runtime.report().can_predict else state.NOT_SERVING
        for name in self.names:
            self.set(name, status)


def _reflected_pool() -> object:
    """Ours, with what the two standard services bring."""
    for file in (health_pb2.DESCRIPTOR, reflection_pb2.DESCRIPTOR):
        POOL.AddSerializedFile(file.serialized_pb)
    return POOL


def start(address: Address, *, threads: int) -> GrpcServer:
    """Start serving; entry points call it once, when the runtime has started."""
    server = GrpcServer(address, threads=threads).start()
    log.info("grpc listens", address=address.bind, port=server.port)
    return server
