"""The client of docs/uploads.md, pasted into a process that uploads to a served Roundhouse."""

import subprocess
import sys

from tests.served.docs.snippets import check_printed, snippets_of
from tests.support.processes import ROOT


def test_client_uploads_a_version(environment, tmp_path):
    (snippet,) = snippets_of(ROOT / "docs" / "uploads.md")
    program = tmp_path / "client.py"
    program.write_text(snippet.code)
    model = ROOT / "examples" / "demand" / "model.onnx"

    made = subprocess.run(
        [sys.executable, "-P", program, model, "demand"],
        env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    # Which number it gets depends on who else has uploaded.
    check_printed(made, snippet._replace(prints=snippet.prints.replace("demand 2", "demand …")))
