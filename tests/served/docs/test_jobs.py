"""The code of docs/jobs.md, pasted into processes that start jobs on a served Roundhouse."""

import shutil

import pytest

from tests.served.docs.snippets import ALONE, check_printed, run, snippets_of
from tests.support.missing import missing
from tests.support.processes import ROOT

COMMANDS = {"curl": ["bash", "-eu"], "client": ALONE}
TRIED = [snippet for snippet in snippets_of(ROOT / "docs" / "jobs.md") if snippet.kind in COMMANDS]


@pytest.mark.parametrize("snippet", TRIED, ids=str)
def test_prints_what_the_page_says(snippet, environment, folder):
    if snippet.kind == "curl" and shutil.which("curl") is None:
        missing("no curl: install the distribution's package `curl`")

    made = run(COMMANDS[snippet.kind], snippet, folder, environment)

    check_printed(made, snippet)
