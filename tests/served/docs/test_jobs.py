"""The code of docs/jobs.md, pasted into processes that start jobs on a served Roundhouse."""

import shutil

import pytest

from tests.served.docs.snippets import ALONE, check_printed, run, snippets_of
from tests.support.missing import missing
from tests.support.processes import ROOT

CURL, CLIENT = (
    next(snippet for snippet in snippets_of(ROOT / "docs" / "jobs.md") if snippet.kind == kind)
    for kind in ("curl", "client")
)
COMMANDS = {CURL: ["bash", "-eu"], CLIENT: ALONE}


@pytest.mark.parametrize("snippet", COMMANDS, ids=str)
def test_prints_what_the_page_says(snippet, environment, folder):
    if snippet is CURL and shutil.which("curl") is None:
        missing("no curl: install the distribution's package `curl`")

    made = run(COMMANDS[snippet], snippet, folder, environment)

    check_printed(made, snippet)
