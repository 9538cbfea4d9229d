"""The examples of docs/exporting.md run as they are written, and the files they write are served."""

import os
import re
import subprocess

import numpy as np
import pytest

from inference.engine.backends import SessionOptions
from inference.engine.onnx_backend import OnnxBackend
from registry.intake.file_scan import ScanLimits, scan_file
from tests.converters.conftest import HOW, python_of
from tests.support.missing import missing
from tests.support.processes import ROOT

EXAMPLES = re.findall(
    r"## ([^\n]+)\n(?:(?!\n## ).)*?<!-- (\w+) -->\n```python\n(.*?)```",
    (ROOT / "docs" / "exporting.md").read_text(),
    re.DOTALL,
)


def test_every_example_is_found():
    assert len(EXAMPLES) == (ROOT / "docs" / "exporting.md").read_text().count("```python") == 4


@pytest.mark.parametrize(
    ("environment", "code"), [one[1:] for one in EXAMPLES], ids=[one[0] for one in EXAMPLES]
)
def test_an_example_writes_a_file_that_is_served(tmp_path, environment, code):
    python = python_of(environment)
    if python is None:
        missing(f"no environment `{environment}`: {HOW.format(environment)}")
    variables = {"PATH": os.environ["PATH"], "CUDA_VISIBLE_DEVICES": "-1", "HOME": str(tmp_path)}

    done = subprocess.run(
        [python, "-I", "-c", code],
        cwd=tmp_path,
        env=variables,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert done.returncode == 0, done.stderr[-3_000:]
    file = tmp_path / "model.onnx"
    scan_file(file, ScanLimits())
    session = OnnxBackend().load(file, SessionOptions())
    (only,) = session.signature.required_inputs
    assert only.shape[0] is None  # rows of different requests can share a run
    answer = session.run({only.name: np.zeros((3, *only.shape[1:]), only.dtype)})
    assert all(len(output) == 3 for output in answer.values())
