"""The environments of converters: a virtual environment for each, with the pinned packages of `requirements/converters`."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from django.conf import settings

_PINNED = Path(__file__).resolve().parents[2] / "requirements" / "converters"
_INSTALLED = "installed"  # holds the hash of the requirements that were installed


def python_of(environment: str) -> Path | None:
    """The interpreter of an environment that is installed and up to date; else none."""
    folder = _folder(environment)
    try:
        installed = (folder / _INSTALLED).read_text()
    except OSError:
        return None
    return folder / "bin" / "python" if installed == _wanted(environment) else None


def is_installed(environment: str) -> bool:
    return python_of(environment) is not None


def install(environment: str) -> Path:
    """Make the environment from its pinned, hashed requirements; return its folder. Nothing is left of one that fails.

    Raises CalledProcessError with pip's output.
    """
    folder = _folder(environment)
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True, capture_output=True, text=True)  # noqa: S603
        subprocess.run(  # noqa: S603  our own interpreter and requirements
            [folder / "bin" / "python", "-m", "pip", "install", "--disable-pip-version-check", "--no-input",
             "--only-binary", ":all:", "--require-hashes", "-r", _requirements(environment)],
            check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        (folder / _INSTALLED).write_text(_wanted(environment))
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder


def _folder(environment: str) -> Path:
    return Path(settings.DATA_DIR) / "converters" / environment


def _requirements(environment: str) -> Path:
    return _PINNED / f"{environment}.txt"


def _wanted(environment: str) -> str:
    return hashlib.sha256(_requirements(environment).read_bytes()).hexdigest()
