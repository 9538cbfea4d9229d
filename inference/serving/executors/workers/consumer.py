"""A worker's way to its pool's queue: takes as many messages as it has room for, and runs them on the engine's loop.

They do not come through Celery's own pool, and are not in its prefetch: what chores and jobs hold can then never make
somebody wait who is online. The messages are Celery's, so any Celery worker can run them as well.
"""

import asyncio
from collections.abc import Callable

import structlog

from inference.engine.loop import EngineLoop
from inference.serving.executors.workers import broker
from inference.serving.executors.workers.answering import Answering
from inference.serving.executors.workers.messages import Ask, BadPacket, queue_of, read_message
from registry.kit.loops import Backoff, Loop, ThreadGroup, success_noter

log = structlog.get_logger("roundhouse.lane")

_LOOK_AT_STOP_EVERY_S = 1
_BACKOFF = Backoff(first_s=0.5, longest_s=2.0)


class BatchConsumer:
    """Takes batches of one pool, so many at once. A message is gone from Redis when it is taken: a lost one is sent again.

    One thread sleeps while the connections are good, and opens them again when they are not.
    """

    def __init__(self, url: str, loop: EngineLoop, *, pool: str, at_once: int) -> None:
        """`loop`: the engine's."""
        self._url, self._loop, self._at_once = url, loop, at_once
        self._key = broker.key(queue_of(pool))
        self._answering: Answering | None = None
        self._under_way: set[asyncio.Task[None]] = set()
        self._one_ended = asyncio.Event()
        self._thread = ThreadGroup(
            "batches",
            Loop(
                "batches",
                lambda: self._loop.wait_for(self._take(success_noter())),
                meanwhile="this worker takes no batches",
                backoff=_BACKOFF,
                expected=broker.BROKEN,
            ),
        )

    def start(self) -> "BatchConsumer":
        self._thread.start()
        return self

    def stop(self, within_s: float) -> None:
        """Take nothing more, and finish what is under way."""
        self._thread.stop(within_s)

    async def _take(self, note_success: Callable[[], None]) -> None:
        """Until a connection breaks, or the worker stops."""
        async with broker.connections(self._url, blocks_s=_LOOK_AT_STOP_EVERY_S) as (sending, taking):
            answering = self._answering = self._answering or Answering(sending)
            while not self._thread.stopping.is_set():
                await answering.use(sending)
                note_success()
                room = self._at_once - len(self._under_way)
                if room > 0:
                    for raw in await taking.take("R", self._key, most=room, wait_s=_LOOK_AT_STOP_EVERY_S):
                        self._begin(raw, answering)
                else:
                    await self._wait_for_one()
            while self._under_way:
                await self._wait_for_one()
            await sending.ask(("PING",))  # the replies have been sent when this is answered

    async def _wait_for_one(self) -> None:
        self._one_ended.clear()
        await self._one_ended.wait()

    def _begin(self, raw: bytes, answering: Answering) -> None:
        task = self._loop.asyncio.create_task(_answer(raw, answering))
        self._under_way.add(task)
        task.add_done_callback(self._end)

    def _end(self, task: "asyncio.Task[None]") -> None:
        self._under_way.discard(task)
        self._one_ended.set()


async def _answer(raw: bytes, answering: Answering) -> None:
    """Nothing that is in a message ends more than this."""
    try:
        await answering.answer(Ask.from_kwargs(read_message(raw)))
    except BadPacket as odd:
        log.error("message is no batch", reason=str(odd))
    except broker.BROKEN as error:
        log.warning("a batch was lost with the connection; it will be sent again", reason=str(error))
    except Exception as error:
        log.error("a batch was lost in an error", exc_info=error)
