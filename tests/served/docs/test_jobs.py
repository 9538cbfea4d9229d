"""The code of docs/jobs.md, pasted into processes that start jobs on a served Roundhouse."""

import shutil
import sys

import pytest

from tests.served.docs.snippets import check_printed, run, snippets_of
from tests.support.missing import missing
from tests.support.processes import ROOT

CURL, CLIENT = (
    next(snippet for snippet in snippets_of(ROOT / "docs" / "jobs.md") if snippet.kind == kind)
    for kind in ("curl", "jobs")
)
COMMANDS = {CURL: ["bash", "-eu"], CLIENT: [sys.executable, "-P"]}


@pytest.mark.parametrize("snippet", COMMANDS, ids=str)
def test_prints_what_the_page_says(snippet, environment, tmp_path):
    if snippet is CURL and shutil.which("curl") is None:
        missing("no curl: install the distribution's package `curl`")

    made = run(COMMANDS[snippet], snippet, tmp_path, environment)

    check_printed(made, snippet)
