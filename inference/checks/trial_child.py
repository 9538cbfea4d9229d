"""A trial's child: limits itself, loads one file, and runs commands on it until its parent closes the socket."""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

from inference.checks.frames import Frame, read_frame, write_frame
from inference.checks.probe_child import backend_of, error_code, give_up, limit_for, options_of
from inference.confinement.child import take_stdout
from inference.engine.backends import Backend, LoadedSession
from inference.engine.batch_proof import prove_batches
from inference.engine.memory import resident_bytes
from inference.engine.onnx_file import operators
from inference.engine.warmup import measured_warm_up
from inference.tensors.arrays import Tensors
from inference.tensors.errors import InferenceError
from inference.tensors.samples import Sample


def main() -> NoReturn:
    config = json.loads(sys.argv[1])
    channel = _Channel(config["channel"])
    os.close(take_stdout())
    backend = backend_of(config)
    give_up(config, Path(config["path"]))
    backend.runtime_version()  # imports the runtime, whose own memory does not count
    limit_for(config)
    channel.send({"resident_bytes": resident_bytes()})
    try:
        session = _load(backend, config, channel)
        while True:
            _run_command(session, channel)
    except EOFError:
        os._exit(0)  # tearing a hostile model down could still crash


def _load(backend: Backend, config: dict[str, Any], channel: "_Channel") -> LoadedSession:
    started = time.monotonic()
    try:
        session = backend.load(Path(config["path"]), options_of(config))
    except (InferenceError, MemoryError) as error:
        channel.send({"code": error_code(error), "text": str(error)})
        raise EOFError from error
    load_s = time.monotonic() - started
    channel.send({"provider": session.provider, "load_s": load_s, "signature": session.signature.to_json()})
    return session


def _run_command(session: LoadedSession, channel: "_Channel") -> None:
    command, tensors = channel.receive()
    try:
        if command["do"] == "warm up":
            channel.send(_warm_up(session, command))
        elif command["do"] == "prove batches":
            channel.send(_prove_batches(session, command, tensors))
        else:
            outputs = session.run(tensors, command["outputs"], soft_limit_s=command["soft_limit_s"])
            channel.send({}, outputs)
    except (InferenceError, MemoryError) as error:
        engine_code = error.code if isinstance(error, InferenceError) else ""
        channel.send({"code": error_code(error), "text": str(error), "engine_code": engine_code})


def _prove_batches(session: LoadedSession, command: dict[str, Any], examples: Tensors) -> dict[str, Any]:
    proof = prove_batches(
        session,
        operators(Path(command["path"]).read_bytes()),
        max_rows=command["max_rows"],
        examples=examples or None,
        sample=Sample.from_json(command["sample"]),
        time_limit_s=command["time_limit_s"],
    )
    return {"proof": proof.to_json()}  # nested, because a `code` at the top means an error


def _warm_up(session: LoadedSession, command: dict[str, Any]) -> dict[str, Any]:
    profile, memory = measured_warm_up(
        session,
        max_batch=command["max_batch"],
        limit_bytes=command["limit_bytes"],
        sample=Sample.from_json(command["sample"]),
        soft_limit_s=command["soft_limit_s"],
    )
    return {"profile": list(profile.items()), "memory": memory.to_json()}


class _Channel:
    """The child's end of the socket. `receive` raises EOFError when the parent has closed it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def send(self, message: dict[str, Any], tensors: Any = None) -> None:
        rest = memoryview(write_frame(message, tensors))
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]

    def receive(self) -> Frame:
        return read_frame(self._read)

    def _read(self, count: int) -> bytes:
        data = bytearray()
        while len(data) < count:
            chunk = os.read(self._descriptor, min(count - len(data), 1 << 20))
            if not chunk:
                raise EOFError
            data += chunk
        return bytes(data)
