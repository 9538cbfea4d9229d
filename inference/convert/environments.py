"""The environments of converters: a virtual environment for each, with the pinned packages of `requirements/converters`."""

import hashlib
import shutil
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from django.conf import settings

_PINNED = Path(__file__).resolve().parents[2] / "requirements" / "converters"
_INSTALLED = "installed"  # holds the hash of the requirements that were installed
_LINES_KEPT = 20

State = Literal["installed", "outdated", "missing"]


def python_of(environment: str) -> Path | None:
    """The interpreter of an environment that is installed and up to date; else none."""
    return folder_of(environment) / "bin" / "python" if state_of(environment) == "installed" else None


def state_of(environment: str) -> State:
    """Whether it is installed; outdated means that this release pins other packages."""
    try:
        installed = (folder_of(environment) / _INSTALLED).read_text()
    except OSError:
        return "missing"
    return "installed" if installed == _wanted(environment) else "outdated"


def size_of(environment: str) -> int:
    """Bytes on disk."""
    paths = folder_of(environment).rglob("*")
    return sum(path.lstat().st_size for path in paths if not path.is_dir())


def install(environment: str, *, report: Callable[[str], object] = lambda line: None) -> Path:
    """Make the environment from its pinned, hashed requirements; return its folder. Nothing is left of one that fails.

    `report` gets pip's lines. Raises CalledProcessError with the last of them.
    """
    folder = folder_of(environment)
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        _run([sys.executable, "-m", "venv", str(folder)], report)
        _run(
            [str(folder / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check", "--no-input",
             "--no-cache-dir", "--progress-bar", "off",
             "--only-binary", ":all:", "--require-hashes", "-r", str(_requirements(environment))],
            report,
        )  # fmt: skip
        (folder / _INSTALLED).write_text(_wanted(environment))
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder


def _run(command: list[str], report: Callable[[str], object]) -> None:
    last: deque[str] = deque(maxlen=_LINES_KEPT)
    with subprocess.Popen(  # noqa: S603  our own interpreter and requirements
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None  # noqa: S101  for the type checker
        for line in process.stdout:
            last.append(line)
            report(line.rstrip())
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, output="".join(last))


def folder_of(environment: str) -> Path:
    return Path(settings.DATA_DIR) / "converters" / environment


def _requirements(environment: str) -> Path:
    return _PINNED / f"{environment}.txt"


def _wanted(environment: str) -> str:
    return hashlib.sha256(_requirements(environment).read_bytes()).hexdigest()
