"""The child of a trial: limits itself, loads one file, and answers questions about it until nobody asks any more."""

import importlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

from inference.checks.frames import Frame, read_frame, write_frame
from inference.checks.network import leave_network
from inference.checks.probe_child import code_of, die_with, limit, take_stdout
from inference.engine.backends import Backend, LoadedSession, SessionOptions, Tensors
from inference.engine.batch_proof import prove_batches
from inference.engine.memory import resident_bytes
from inference.engine.onnx_file import operators
from inference.engine.samples import Sample
from inference.engine.warmup import measured_warm_up
from inference.tensors.errors import InferenceError


def main() -> NoReturn:
    order = json.loads(sys.argv[1])
    channel = _Channel(order["channel"])
    os.close(take_stdout())
    leave_network()
    die_with(order["parent"])
    module, _, name = order["backend"].partition(":")
    backend: Backend = getattr(importlib.import_module(module), name)()
    backend.runtime_version()  # imports the runtime, whose own memory does not count
    limit(order)
    channel.send({"resident_bytes": resident_bytes()})
    try:
        session = _load(backend, order, channel)
        while True:
            _answer(session, channel)
    except EOFError:
        os._exit(0)  # tearing a hostile model down could still crash


def _load(backend: Backend, order: dict[str, Any], channel: "_Channel") -> LoadedSession:
    options = SessionOptions(**{**order["options"], "providers": tuple(order["options"]["providers"])})
    started = time.monotonic()
    try:
        session = backend.load(Path(order["path"]), options)
    except (InferenceError, MemoryError) as error:
        channel.send({"code": code_of(error), "text": str(error)})
        raise EOFError from error
    told = {"provider": session.provider, "load_s": time.monotonic() - started}
    channel.send({**told, "signature": session.signature.to_json()})
    return session


def _answer(session: LoadedSession, channel: "_Channel") -> None:
    asked, tensors = channel.receive()
    try:
        if asked["do"] == "warm up":
            channel.send(_warm_up(session, asked))
        elif asked["do"] == "prove batches":
            channel.send(_prove_batches(session, asked, tensors))
        else:
            channel.send({}, session.run(tensors, asked["outputs"], soft_limit_s=asked["soft_limit_s"]))
    except (InferenceError, MemoryError) as error:
        engine_code = error.code if isinstance(error, InferenceError) else ""
        channel.send({"code": code_of(error), "text": str(error), "engine_code": engine_code})


def _prove_batches(session: LoadedSession, asked: dict[str, Any], examples: Tensors) -> dict[str, Any]:
    proof = prove_batches(
        session,
        operators(Path(asked["path"]).read_bytes()),
        max_rows=asked["max_rows"],
        examples=examples or None,
        sample=Sample.from_json(asked["sample"]),
        time_limit_s=asked["time_limit_s"],
    )
    return {"proof": proof.to_json()}  # a `code` beside it would be an error's


def _warm_up(session: LoadedSession, asked: dict[str, Any]) -> dict[str, Any]:
    profile, memory = measured_warm_up(
        session,
        max_batch=asked["max_batch"],
        limit_bytes=asked["limit_bytes"],
        sample=Sample.from_json(asked["sample"]),
        soft_limit_s=asked["soft_limit_s"],
    )
    return {"profile": list(profile.items()), "memory": memory.to_json()}


class _Channel:
    """Our end of the socket; `receive` raises EOFError when the other end is closed."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def send(self, message: dict[str, Any], tensors: Any = None) -> None:
        rest = memoryview(write_frame(message, tensors))
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]

    def receive(self) -> Frame:
        return read_frame(self._read)

    def _read(self, count: int) -> bytes:
        got = bytearray()
        while len(got) < count:
            chunk = os.read(self._descriptor, min(count - len(got), 1 << 20))
            if not chunk:
                raise EOFError
            got += chunk
        return bytes(got)
