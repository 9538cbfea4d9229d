"""The peers' environments, created on demand under bench/.peers: their pins must not affect the product."""

import subprocess
import sys
from importlib import metadata
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / ".peers"
SERVERS = Path(__file__).resolve().parent / "peer_servers"

# orjson is used by the product too; peers that let a server choose its JSON get it.
_PACKAGES = {
    "mosec": ["mosec==0.9.*", "orjson"],
    "litserve": ["litserve==0.2.*"],
    # MLServer's worker gets its event loop in a way that later versions of uvloop refuse.
    "mlserver": ["mlserver==1.7.*", "uvloop==0.21.*"],
}


class PeerMissing(Exception):
    """A peer cannot be measured here."""


def python_of(name: str) -> Path:
    """The interpreter of a peer's environment, which is created if necessary; or PeerMissing."""
    folder = FOLDER / name
    python, stamp = folder / "bin" / "python", folder / ".installed"
    wanted = [*_PACKAGES[name], *_same_as_ours("numpy", "onnxruntime")]
    if stamp.exists() and stamp.read_text() == "\n".join(wanted):
        return python
    print(f"installing {name} into {folder} ...", flush=True)
    _call(sys.executable, "-m", "venv", "--clear", folder)
    _call(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wanted)
    stamp.write_text("\n".join(wanted))
    return python


def version_of(name: str) -> str:
    found = next((FOLDER / name).glob(f"lib/*/site-packages/{name}-*.dist-info"), None)
    return found.name.removeprefix(f"{name}-").removesuffix(".dist-info") if found else "?"


def _same_as_ours(*names: str) -> list[str]:
    """All servers run the same ONNX Runtime; ours may be the distribution with CUDA."""
    return [f"{name}=={_our_version(name)}" for name in names]


def _our_version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return metadata.version(f"{name}-gpu")


def _call(*command: str | Path) -> None:
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PeerMissing(type(error).__name__) from None
    if ended.returncode:
        # pip's warnings contain index addresses; its error says what is missing.
        errors = [line for line in ended.stderr.splitlines() if line.startswith("ERROR")]
        raise PeerMissing(errors[-1] if errors else f"exit status {ended.returncode}")
