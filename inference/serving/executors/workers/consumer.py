"""The worker's side: takes batches from its pool's queue, runs them on the engine's loop, and sends the replies.

The batches bypass Celery's own pool and prefetch, so that chores and jobs never delay an online request. The messages
are Celery's, so an ordinary Celery worker can run them as well.
"""

import asyncio
import socket
import time
from collections.abc import Callable
from functools import partial
from os import getpid
from typing import Any, Protocol

import structlog

from inference.engine import loop as engine_loop
from inference.engine.errors import NotLoaded
from inference.engine.loop import EngineLoop
from inference.engine.requests import EngineAnswer, EngineRequest
from inference.serving.executors.workers import broker
from inference.serving.executors.workers.broker import LoopConnection, RedisClock
from inference.serving.executors.workers.messages import (
    BatchRequest,
    queue_of,
    read_message,
    refusal_bytes,
    reply_bytes,
)
from inference.serving.executors.workers.packing import BadPacket, unpack
from inference.serving.off_loop import off_loop
from inference.serving.routes import Target
from inference.tensors.errors import InferenceError
from registry.errors import RoundhouseError
from registry.kit.loops import Backoff, Loop, ThreadGroup, success_noter

log = structlog.get_logger("roundhouse.lane")

_LANE_EXPIRES_S = 60  # for replies to a process that has ended
_CHECK_STOP_EVERY_S = 1
_BACKOFF = Backoff(first_s=0.5, longest_s=2.0)


class BatchEngine(Protocol):
    """What runs the batches: this process's runtime."""

    @property
    def loop(self) -> EngineLoop: ...

    def target(self, version_id: int) -> Target | None: ...

    async def infer(self, target: Target, request: EngineRequest) -> EngineAnswer: ...


class WorkerBatchRunner:
    """Runs batches in this process's engine, any number at once. Lives on the engine's loop, like its connection."""

    def __init__(self, engine: BatchEngine, connection: LoopConnection) -> None:
        self._engine = engine
        self._connection, self._clock = connection, RedisClock()
        self._name = f"{socket.gethostname()}:{getpid()}"

    async def use(self, connection: LoopConnection) -> None:
        """Reply over this connection from now on. Call it before `run`, and every few seconds."""
        if self._connection is not connection:
            self._connection, self._clock = connection, RedisClock()
        await self._clock.sync(connection)

    async def run(self, batch: BatchRequest) -> None:
        """Run a batch and reply; one that is too late is dropped."""
        deadline, packed = self._clock.monotonic(batch.deadline), batch.tensors
        if packed is None and batch.data_key is not None:
            [packed] = await self._connection.ask(("GET", batch.data_key))
        if deadline > time.monotonic() and packed is not None:  # the key expires at the deadline
            self._reply(batch, await self._run(batch, packed, deadline))

    async def _run(self, batch: BatchRequest, packed: bytes, deadline: float) -> bytes:
        try:
            target = self._engine.target(batch.version_id)
            if target is None:
                raise NotLoaded("This worker does not know the version yet; try again.")
            if engine_loop.is_large(len(packed)):  # unpacking looks at each text
                answer = await off_loop(
                    lambda: engine_loop.complete(
                        self._engine.infer(target, _engine_request(batch, packed, deadline))
                    )
                )
            else:
                answer = await self._engine.infer(target, _engine_request(batch, packed, deadline))
            nbytes = sum(output.nbytes for output in answer.outputs.values())
            pack_reply = partial(reply_bytes, batch, self._name, answer.outputs, answer.compute_s)
            return await engine_loop.off_loop_if_large(nbytes, pack_reply)
        except (InferenceError, RoundhouseError) as error:
            return refusal_bytes(batch, self._name, error)
        except Exception as error:
            log.error("batch ended in an error", version_id=batch.version_id, exc_info=error)
            return refusal_bytes(batch, self._name, error)

    def _reply(self, batch: BatchRequest, reply: bytes) -> None:
        self._connection.send("RPUSH", batch.lane, reply, then=_log_lost_reply)
        self._connection.send("EXPIRE", batch.lane, _LANE_EXPIRES_S, then=_ignore)
        if batch.data_key is not None:
            self._connection.send("UNLINK", batch.data_key, then=_ignore)


async def run_one(url: str, engine: BatchEngine, kwargs: dict[str, Any]) -> None:
    """Run a single batch over its own connection."""
    try:
        batch = BatchRequest.from_kwargs(kwargs)
    except BadPacket as error:
        log.error("message is no batch", reason=str(error))
        return
    async with broker.connection(url) as connection:
        runner = WorkerBatchRunner(engine, connection)
        await runner.use(connection)
        await runner.run(batch)
        await connection.ask(("PING",))  # its answer means that the reply has been sent


class BatchConsumer:
    """Takes as many batches of one pool as it has room for. Taking removes a message from Redis; if lost, it is sent again.

    One thread sleeps while the connections are good, and reopens them when they break.
    """

    def __init__(self, url: str, engine: BatchEngine, *, pool: str, at_once: int) -> None:
        self._url, self._engine, self._at_once = url, engine, at_once
        self._key = broker.key(queue_of(pool))
        self._runner: WorkerBatchRunner | None = None
        self._running: set[asyncio.Task[None]] = set()
        self._one_ended = asyncio.Event()
        self._thread = ThreadGroup(
            "batches",
            Loop(
                "batches",
                lambda: engine.loop.wait_for(self._consume(success_noter())),
                meanwhile="this worker takes no batches",
                backoff=_BACKOFF,
                expected=broker.BROKEN,
            ),
        )

    def start(self) -> "BatchConsumer":
        self._thread.start()
        return self

    def stop(self, within_s: float) -> None:
        """Take no more batches, and finish those under way."""
        self._thread.stop(within_s)

    async def _consume(self, note_success: Callable[[], None]) -> None:
        """Take batches until a connection breaks or the worker stops."""
        async with broker.connections(self._url, blocks_s=_CHECK_STOP_EVERY_S) as (sending, taking):
            runner = self._runner = self._runner or WorkerBatchRunner(self._engine, sending)
            while not self._thread.stopping.is_set():
                await runner.use(sending)
                note_success()
                room = self._at_once - len(self._running)
                if room > 0:
                    for raw in await taking.take("R", self._key, most=room, wait_s=_CHECK_STOP_EVERY_S):
                        self._begin(raw, runner)
                else:
                    await self._wait_for_one()
            while self._running:
                await self._wait_for_one()
            await sending.ask(("PING",))  # its answer means that the replies have been sent

    async def _wait_for_one(self) -> None:
        self._one_ended.clear()
        await self._one_ended.wait()

    def _begin(self, raw: bytes, runner: WorkerBatchRunner) -> None:
        task = self._engine.loop.asyncio.create_task(_run_message(raw, runner))
        self._running.add(task)
        task.add_done_callback(self._end)

    def _end(self, task: "asyncio.Task[None]") -> None:
        self._running.discard(task)
        self._one_ended.set()


async def _run_message(raw: bytes, runner: WorkerBatchRunner) -> None:
    """Whatever a message contains, it must not end more than its own task."""
    try:
        await runner.run(BatchRequest.from_kwargs(read_message(raw)))
    except BadPacket as error:
        log.error("message is no batch", reason=str(error))
    except broker.BROKEN as error:
        log.warning("a batch was lost with the connection; it will be sent again", reason=str(error))
    except Exception as error:
        log.error("a batch was lost in an error", exc_info=error)


def _engine_request(batch: BatchRequest, packed: bytes, deadline: float) -> EngineRequest:
    return EngineRequest(
        unpack(packed).tensors,
        deadline,
        batch.priority,
        outputs=batch.outputs,
        allow_non_finite=True,  # the sender has checked this, with settings that may be newer than ours
    )


def _log_lost_reply(answer: Any) -> None:
    if isinstance(answer, Exception):
        log.warning("a reply could not be sent; it will be asked for again", reason=str(answer))


def _ignore(_answer: Any) -> None: ...
