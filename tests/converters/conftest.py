"""The converters' environments, models made in them, and the table of parities at the end."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from inference.convert import converting
from inference.convert.converting import Conversion, SourceFile
from inference.convert.errors import ConversionRefused
from tests.support.missing import missing
from tests.support.processes import ROOT

FOLDER = Path(os.environ.get("ROUNDHOUSE_TEST_CONVERTERS") or ROOT / "var" / "converters")
HOW = "run `manage.py install_converter {0}`, or name the folder of environments with ROUNDHOUSE_TEST_CONVERTERS"

_rows: list[tuple[str, str, float, float]] = []


def python_of(environment: str) -> Path | None:
    python = FOLDER / environment / "bin" / "python"
    return python if python.exists() else None


def make_models(environment: str, program: str, *words: object) -> None:
    """Run one of the programs that write models, in an environment."""
    python = python_of(environment)
    if python is None:
        missing(f"no environment `{environment}`: {HOW.format(environment)}")
    command = [python, "-I", ROOT / "tests" / "converters" / program, *map(str, words)]
    variables = {"PATH": os.environ["PATH"], "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3_000:]


def refusal_of(source: SourceFile) -> tuple[str, str]:
    """The code and the sentence with which a file is refused."""
    with pytest.raises(ConversionRefused) as caught, Conversion(source):
        pass
    return caught.value.code, str(caught.value)


@pytest.fixture(autouse=True)
def environments(monkeypatch, tmp_path, settings) -> Iterator[None]:
    settings.DATA_DIR = tmp_path / "data"
    monkeypatch.setattr(converting, "python_of", python_of)
    yield


@pytest.fixture
def parities() -> list[tuple[str, str, float, float]]:
    """Rows of the table: model, what was compared, largest difference relative to the range, and how much is allowed."""
    return _rows


def pytest_terminal_summary(terminalreporter) -> None:
    if _rows:
        terminalreporter.section("parity with the original runtime")
        for model, compared, found, allowed in sorted(_rows):
            terminalreporter.write_line(f"{model:<28}{compared:<34}{found:>9.1e}  allowed {allowed:.0e}")
