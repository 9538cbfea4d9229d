"""The worker's side: runs the batches that come over the pool's queue, and replies on the lane that each names."""

import socket
import time
from functools import partial
from os import getpid
from typing import Any

import structlog

from inference.engine import loop
from inference.engine.errors import NotLoaded
from inference.engine.requests import EngineRequest
from inference.serving import runtime
from inference.serving.executors.workers import broker
from inference.serving.executors.workers.broker import LoopConnection
from inference.serving.executors.workers.clock import RedisClock
from inference.serving.executors.workers.messages import Ask, BadPacket, refusal_bytes, reply_bytes
from inference.serving.executors.workers.packing import unpack
from inference.serving.off_loop import off_loop
from inference.tensors.errors import InferenceError
from registry.errors import RoundhouseError

log = structlog.get_logger("roundhouse.lane")

_LANE_LASTS_S = 60  # a process that is gone reads no replies; nobody else would remove them


class Answering:
    """Runs batches in this process's engine, any number at once. It lives on the engine's loop, as its connection does."""

    def __init__(self, connection: LoopConnection) -> None:
        self._connection, self._clock = connection, RedisClock()
        self._name = f"{socket.gethostname()}:{getpid()}"

    async def use(self, connection: LoopConnection) -> None:
        """Answer over this one from now on, also what was asked over another that has broken. Call it before `answer`,
        and every few seconds."""
        if self._connection is not connection:
            self._connection, self._clock = connection, RedisClock()
        await self._clock.ask(connection)

    async def answer(self, ask: Ask) -> None:
        """Run what a message asks for and reply; what is too late is dropped."""
        deadline, packed = self._clock.monotonic(ask.deadline), ask.tensors
        if packed is None and ask.data_key is not None:
            [packed] = await self._connection.ask(("GET", ask.data_key))
        if deadline > time.monotonic() and packed is not None:  # tensors go when their deadline is over
            self._reply(ask, await self._run(ask, packed, deadline))

    async def _run(self, ask: Ask, packed: bytes, deadline: float) -> bytes:
        try:
            here = runtime.started()
            target = here.target(ask.version_id)
            if target is None:
                raise NotLoaded("This worker does not know the version yet; try again.")
            if loop.is_large(len(packed)):  # texts are looked at one by one
                answer = await off_loop(
                    lambda: loop.complete(here.infer(target, _request(ask, packed, deadline)))
                )
            else:
                answer = await here.infer(target, _request(ask, packed, deadline))
            nbytes = sum(output.nbytes for output in answer.outputs.values())
            pack_reply = partial(reply_bytes, ask, self._name, answer.outputs, answer.compute_s)
            return await loop.off_loop_if_large(nbytes, pack_reply)
        except (InferenceError, RoundhouseError) as error:
            return refusal_bytes(ask, self._name, error)
        except Exception as error:
            log.error("batch ended in an error", version_id=ask.version_id, exc_info=error)
            return refusal_bytes(ask, self._name, error)

    def _reply(self, ask: Ask, reply: bytes) -> None:
        self._connection.send("RPUSH", ask.lane, reply, then=_look_at_reply)
        self._connection.send("EXPIRE", ask.lane, _LANE_LASTS_S, then=_ignore)
        if ask.data_key is not None:
            self._connection.send("UNLINK", ask.data_key, then=_ignore)


async def answer_one(url: str, told: dict[str, Any]) -> None:
    """The same over a connection of its own."""
    try:
        ask = Ask.from_kwargs(told)
    except BadPacket as odd:
        log.error("message is no batch", reason=str(odd))
        return
    async with broker.connection(url) as connection:
        answering = Answering(connection)
        await answering.use(connection)
        await answering.answer(ask)
        await connection.ask(("PING",))  # the reply has been sent when this is answered


def _request(ask: Ask, packed: bytes, deadline: float) -> EngineRequest:
    return EngineRequest(
        unpack(packed).tensors,
        deadline,
        ask.priority,
        outputs=ask.outputs,
        allow_non_finite=True,  # who asks has looked, by settings that may be newer than ours
    )


def _look_at_reply(answer: Any) -> None:
    if isinstance(answer, Exception):
        log.warning("a reply could not be sent; it will be asked for again", reason=str(answer))


def _ignore(_answer: Any) -> None: ...
