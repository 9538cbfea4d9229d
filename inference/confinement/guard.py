"""Whether this host can confine a child: one is confined, and tries what it must not be able to do."""

import subprocess
import sys
from functools import cache
from pathlib import Path

_PRODUCT = Path(__file__).resolve().parents[2]
_TRY = """
import os, socket, sys
sys.path.insert(0, sys.argv[1])
from inference.confinement.child import confine
from inference.confinement.errors import NotConfined
acts = {
    "read a file outside": lambda: os.listdir("/"),
    "open a socket": socket.socket,
    "start a process": lambda: os.fork() or os._exit(0),
}
try:
    confine(readable=[])
except NotConfined as error:
    sys.exit(print(error))
for act, do in acts.items():
    try:
        do()
    except OSError:
        continue
    print(f"a confined process can still {act}", flush=True)
    os._exit(0)
print("confined")
"""
_LIMIT_S = 30


@cache
def why_not_confined() -> str:
    """What this host lacks to confine a child; empty if it can. Found out once, by trying."""
    try:
        tried = subprocess.run(  # noqa: S603  our own interpreter and program
            [sys.executable, "-I", "-c", _TRY, str(_PRODUCT)],
            capture_output=True, text=True, timeout=_LIMIT_S, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"a confined process could not be started ({type(error).__name__})"
    said = tried.stdout.strip()
    return "" if said == "confined" else said or f"a confined process ended with {tried.returncode}"
