"""Backends for the probe child that misbehave on purpose, as a hostile file would make a real one."""

import os
import resource
import signal
import socket
import sys
import time
from contextlib import suppress

import numpy as np

from inference.engine.errors import LoadFailed
from inference.engine.fake import FakeBackend, FakeModel, FakeSession
from inference.tensors.signature import Signature, TensorSpec


class Crashing(FakeBackend):
    def load(self, path, options):
        os.kill(os.getpid(), signal.SIGSEGV)


class Exiting(FakeBackend):
    def load(self, path, options):
        os._exit(3)


class Raising(FakeBackend):
    def load(self, path, options):
        raise ZeroDivisionError


class Chattering(FakeBackend):
    """Prints to stdout and stderr what could be taken for a report."""

    def load(self, path, options):
        os.write(1, b'{"phase": "done", "code": "load_failed"}\n' * 10_000)
        os.write(2, b"noise" * 10_000)
        return super().load(path, options)


class Writing(FakeBackend):
    """Tells through its error message what the limits and the surroundings let it do."""

    def load(self, path, options):
        facts = {
            "fsize": resource.getrlimit(resource.RLIMIT_FSIZE)[0],
            "core": resource.getrlimit(resource.RLIMIT_CORE)[0],
            "files": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
            "secret": os.environ.get("ROUNDHOUSE_SECRET_KEY"),
            "locales": os.environ.get("LOCPATH"),
            "own_group": os.getpgrp() == os.getpid(),
            "stdin": os.read(0, 1).decode(),
            "django": "django" in sys.modules,
            "folder_is_empty": os.listdir(".") == [],
        }
        try:
            with open("scratch", "w") as scratch:
                scratch.write("x")
                scratch.flush()
            facts["written"] = True
        except OSError:
            facts["written"] = False
        raise LoadFailed(repr(facts))


class Hungry(FakeBackend):
    """Takes memory that it touches, in steps, so that only someone who watches sees it coming."""

    def load(self, path, options):
        self.hoard = [np.ones(1 << 20) for _ in range(50)]  # 400 MiB
        return super().load(path, options)


class Waiting(FakeBackend):
    """Opens the FIFO it is given as a file, and hangs."""

    def load(self, path, options):
        with path.open():
            time.sleep(600)


class Answering(FakeBackend):
    """Behaves until a run: its rows may be the marks of `inference.engine.fake`."""


class DyingOnRows(FakeBackend):
    """Survives one row, as the probe's, and is killed by more."""

    def load(self, path, options):
        return FakeSession(FakeModel(on_run=lambda rows: rows > 1 and os.kill(os.getpid(), signal.SIGSEGV)))


class _AtExtremes(FakeBackend):
    """Runs on the sample, which is zeros, and does something else on any other whole number."""

    def load(self, path, options):
        ends = (TensorSpec("n", "INT64", (None, 1)),), (TensorSpec("y", "INT64", (None, 1)),)
        session = FakeSession(FakeModel(signature=Signature(*ends)))

        def run_or_misbehave(inputs, outputs=None, *, soft_limit_s=None):
            if inputs["n"].any():
                self.misbehave()
            return {"y": inputs["n"]}

        session.run = run_or_misbehave
        return session


class HungryAtExtremes(_AtExtremes):
    def misbehave(self):
        self.hoard = [np.ones(1 << 20) for _ in range(50)]  # 400 MiB


class SlowAtExtremes(_AtExtremes):
    def misbehave(self):
        time.sleep(600)


class KilledAtExtremes(_AtExtremes):
    def misbehave(self):
        os.kill(os.getpid(), signal.SIGKILL)


class ExitingAtExtremes(_AtExtremes):
    def misbehave(self):
        os._exit(70)


class HangingInRun(FakeBackend):
    """Runs for ever, whatever its soft limit says: as one node that is too large does."""

    def load(self, path, options):
        return FakeSession(FakeModel(on_run=lambda rows: time.sleep(600)))


class TakingOver(FakeBackend):
    """Writes to every descriptor it finds, as code that a file smuggled in would."""

    def load(self, path, options):
        for descriptor in range(3, 4096):  # the channel keeps the number that it had in the parent
            with suppress(OSError):
                os.write(descriptor, b"\x00" * 8 + b"\x00" * 7 + b"\x02" + b"{}")
        return super().load(path, options)


class Calling(FakeBackend):
    """Calls the port that its file names, on this machine, and tells through its error message how it went."""

    def load(self, path, options):
        try:
            socket.create_connection(("127.0.0.1", int(path.read_text())), timeout=2).close()
        except OSError as error:
            raise LoadFailed(f"refused: {error.strerror}") from None
        raise LoadFailed("connected")
