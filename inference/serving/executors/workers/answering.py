"""The worker's side: runs the batches that come over the pool's queue, and replies on the lane that each names."""

import socket
import time
from collections.abc import Mapping
from os import getpid
from typing import Any, cast

import redis
import structlog

from inference.engine.errors import EngineError, NotLoaded
from inference.engine.loop import complete
from inference.engine.requests import EngineRequest
from inference.serving import runtime
from inference.serving.executors.workers import broker
from inference.serving.executors.workers.clock import RedisClock
from inference.serving.executors.workers.messages import Ask, BadPacket, refusal_bytes, reply_bytes
from inference.serving.executors.workers.packing import unpack
from registry.errors import RoundhouseError

log = structlog.get_logger("roundhouse.lane")

_LANE_LASTS_S = 60  # a process that is gone reads no replies; nobody else would remove them


class Answering:
    """Runs batches in this process's engine; any number of threads may call it at once."""

    def __init__(self, url: str) -> None:
        self._client = broker.redis_client(url)
        self._clock = RedisClock()
        self._name = f"{socket.gethostname()}:{getpid()}"
        self.expired = 0

    def answer(self, told: Mapping[str, Any]) -> None:
        """Run what a message asks for and reply; what is too late, or cannot be read, is dropped."""
        try:
            ask = Ask.from_kwargs(told)
        except BadPacket as odd:
            log.error("message is no batch", reason=str(odd))
            return
        self._clock.ask(self._client)
        deadline = self._clock.monotonic(ask.deadline)
        packed = ask.tensors if ask.data_key is None else cast("bytes | None", self._client.get(ask.data_key))
        if deadline <= time.monotonic() or packed is None:  # tensors go when their deadline is over
            self.expired += 1
            return
        self._reply(ask, self._run(ask, packed, deadline))

    def length_of(self, queue_key: str) -> int:
        return int(self._client.llen(queue_key))

    def _run(self, ask: Ask, packed: bytes, deadline: float) -> bytes:
        try:
            here = runtime.started()
            target = here.target(ask.version_id)
            if target is None:
                raise NotLoaded("This worker does not know the version yet; try again.")
            request = EngineRequest(
                unpack(packed).tensors,
                deadline,
                ask.priority,
                outputs=ask.outputs,
                allow_non_finite=True,  # who asks has looked, by settings that may be newer than ours
            )
            answer = complete(here.infer(target, request))
        except (EngineError, RoundhouseError) as error:
            return refusal_bytes(ask, self._name, error)
        except Exception as error:
            log.error("batch ended in an error", version_id=ask.version_id, exc_info=error)
            return refusal_bytes(ask, self._name, error)
        return reply_bytes(ask, self._name, answer.outputs, answer.compute_s)

    def _reply(self, ask: Ask, reply: bytes) -> None:
        try:
            with self._client.pipeline(transaction=False) as pipe:
                pipe.rpush(ask.lane, reply)
                pipe.expire(ask.lane, _LANE_LASTS_S)
                if ask.data_key is not None:
                    pipe.unlink(ask.data_key)
                pipe.execute()
        except redis.RedisError as error:
            log.warning("a reply could not be sent; it will be asked for again", reason=str(error))
