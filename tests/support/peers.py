"""Environments of other people's packages, which must not share one with the product: their caps would bind it."""

import fcntl
import hashlib
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.missing import missing
from tests.support.processes import ROOT

PEERS = ROOT / "bench" / ".peers"
TRITONCLIENT = (
    "tritonclient[http,grpc]==2.73.0",
    "protobuf>=6.33.5,<7",
    "ml-dtypes<0.6",
    "grpcio-tools==1.81.1",  # generates inference/doors/grpc/generated
)
REQUESTS = ("requests==2.34.2", "numpy>=2,<3")
OLD_HUGGINGFACE_HUB = ("huggingface_hub==0.34.4",)  # of 2025; the last versions that call with `requests`
OPENAPI_CLIENT = ("openapi-python-client==0.29.1",)
SCHEMATHESIS = ("schemathesis==4.32.5",)


def tritonclient_python() -> Path:
    """The Python of an environment with stock tritonclient; built the first time, skipped where it cannot be."""
    return _environment("tritonclient", TRITONCLIENT)


def requests_python() -> Path:
    """The Python of somebody who calls with `requests`, which the product does without."""
    return _environment("requests", REQUESTS)


def old_huggingface_hub_python() -> Path:
    """The Python of somebody whose huggingface_hub is a year old; the product's own environment has a new one."""
    return _environment("huggingface-hub", OLD_HUGGINGFACE_HUB)


def openapi_client_python() -> Path:
    """The Python of somebody who makes a client from the OpenAPI description."""
    return _environment("openapi-client", OPENAPI_CLIENT)


def schemathesis_python() -> Path:
    """The Python of schemathesis, which makes requests from the OpenAPI description and compares the answers with it."""
    return _environment("schemathesis", SCHEMATHESIS)


def _environment(name: str, packages: tuple[str, ...]) -> Path:
    folder = PEERS / name
    python, mark = folder / "bin" / "python", folder / "packages"
    wanted = hashlib.sha256("\n".join(packages).encode()).hexdigest()
    with _one_builder(name):
        if not (mark.exists() and mark.read_text() == wanted):
            _build(folder, python, packages)
            mark.write_text(wanted)
    return python


@contextmanager
def _one_builder(name: str) -> Iterator[None]:
    """Of several test processes one builds, and the others wait for what it made."""
    PEERS.mkdir(parents=True, exist_ok=True)
    with (PEERS / f".{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _build(folder: Path, python: Path, packages: tuple[str, ...]) -> None:
    try:
        for command, timeout in (
            # Without a pip of its own, and compiled when it is imported: building takes half as long.
            ([sys.executable, "-m", "venv", "--clear", "--without-pip", folder], 120),
            ([sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-compile", *packages], 500),
        ):  # fmt: skip
            subprocess.run(command, check=True, capture_output=True, timeout=timeout)
    except (OSError, subprocess.SubprocessError) as error:
        missing(f"no environment with {packages[0]}: {error}")
