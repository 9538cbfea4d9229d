"""A converter without packages: it does what the options say, as a file that controls its converter could."""

import json
import os
import signal
import time
from pathlib import Path

from inference.convert.programs.base import CONVERTED, OUTPUTS, Program, Refused, run_program

START = (
    "import sys; sys.path.insert(0, sys.argv.pop(1));"
    "from tests.support.converter_programs import main; program = {!r}; main()"
)
UNGUARDED_START = (
    "import sys; sys.path.insert(0, sys.argv.pop(1));"
    "from inference.convert.programs import base; base.confine = lambda **_: None;"
    "from inference.{} import main; main()"
)


def main() -> None:
    run_program(Program(load_packages=lambda _: None, convert=_convert, run=_run))


def _convert(job):
    act = job.options["act"]
    if act in {"convert", "describe"}:
        described = b"\x32\x01c" if act == "describe" else b""  # a doc_string of ONNX
        Path(CONVERTED).write_bytes(job.source.read_bytes() + described)
        return {"opset": 17}
    return _ACTS[act](job)


def _run(job, sets):
    written = job.options.get("writes")
    if written is None:
        return [{name: array * 2 for name, array in inputs.items()} for inputs in sets]
    Path(OUTPUTS).write_bytes(bytes.fromhex(written))
    _say({"phase": "done", "resident_bytes": 1, "code": "done", "facts": {}})
    os._exit(0)


def _refuse(_):
    raise Refused("The file is of the wrong colour; paint it.")


def _raise(_):
    raise ValueError("It says\n\x1b[31m this.")


def _take_memory(_):
    kept = []
    while True:
        kept.append(b"x" * (8 << 20))


def _crash(_):
    os.kill(os.getpid(), signal.SIGSEGV)


def _wait(_):
    time.sleep(60)


def _signal(_):
    os.kill(os.getpid(), 40)  # one that has no name


def _fill(_):
    """Fill the disk, in folders and files of 4 MiB."""
    for number in range(1_000):
        folder = Path(f"folder-{number}")
        folder.mkdir()
        (folder / "file").write_bytes(bytes(4 << 20))
        time.sleep(0.01)  # not faster than disks are


def _litter(_):
    for number in range(1_000_000):
        Path(f"file-{number}").touch()


def _nest(_):
    """Nest folders deeper than functions can call themselves, and close the last one."""
    for _ in range(1_200):
        os.mkdir("in")
        os.chdir("in")
    os.mkdir("closed", mode=0)


def _link(_):
    os.symlink("/etc/passwd", CONVERTED)


def _say_as_told(job):
    """Write to the pipe of the report, as a file could whose code runs."""
    for line in job.options["lines"]:
        _write(line.replace("LONG", "x" * 300_000).encode() + b"\n")
    os._exit(0)


def _say(answer):
    _write(json.dumps(answer).encode() + b"\n")


def _write(line):
    """The report's pipe is the only one that the child has."""
    for number in range(3, 16):
        try:
            if os.readlink(f"/proc/self/fd/{number}").startswith("pipe:"):
                os.write(number, line)
                return
        except OSError:
            continue


_ACTS = {
    "refuse": _refuse, "raise": _raise, "take memory": _take_memory, "crash": _crash, "signal": _signal, "wait": _wait,
    "fill": _fill, "litter": _litter, "nest": _nest, "link": _link, "say": _say_as_told, "nothing": lambda _: {},
}  # fmt: skip
