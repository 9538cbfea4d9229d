"""Rows for a Roundhouse whose versions crash: `double` with two innocent ones, and so many Models with one that does not.

crash-N    answers with its crashing version, which somebody approved
untried-N  answers with an innocent version; version 2 crashes, and nobody approved it
"""

import sys
import tempfile
from pathlib import Path

from tests.support.factories import a_key, a_split
from tests.support.live_models import put_ready
from tests.support.onnx_models import CRASHES_AT, crashing_at, scaled


def prepare(crashing: int, untried: int) -> str:
    """The text of a key that may ask all."""
    with tempfile.TemporaryDirectory() as folder:
        for number, factor in enumerate((2.0, 3.0)):
            double = put_ready("double", scaled(Path(folder, f"{number}.onnx"), factor, columns=1))
        a_split(double.model, 50, 50)
        for number in range(crashing):
            path = crashing_at(Path(folder, f"c{number}.onnx"), CRASHES_AT + number)
            a_split(put_ready(f"crash-{number}", path).model, 100)
        for number in range(untried):
            path = scaled(Path(folder, f"s{number}.onnx"), 100.0 + number)
            a_split(put_ready(f"untried-{number}", path).model, 100)
            put_ready(f"untried-{number}", crashing_at(Path(folder, f"u{number}.onnx"), -CRASHES_AT - number))
    return a_key("predict.unapproved")[1]


def main(crashing: int, untried: int) -> None:
    sys.stdout.write(f"key {prepare(crashing, untried)}\n")
