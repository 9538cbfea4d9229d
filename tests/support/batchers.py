"""Batchers on a loop that the tests of a process share."""

import time
from functools import cache

import uvloop

from inference.engine.batcher import Batcher
from inference.engine.loop import EngineLoop
from inference.engine.requests import EngineRequest
from inference.engine.threads import Runners


@cache
def shared_loop() -> EngineLoop:
    return EngineLoop.in_thread(uvloop.new_event_loop)


@cache
def shared_runners() -> Runners:
    return Runners("test-run")


def a_batcher(session, config=None, **more) -> Batcher:
    return Batcher(session, config, **{"loop": shared_loop(), "runners": shared_runners(), **more})


def a_request(tensors, *, within_s=20.0, **more) -> EngineRequest:
    return EngineRequest(tensors, time.monotonic() + within_s, **more)
