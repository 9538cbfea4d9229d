"""The client of docs/jobs.md, pasted into a process that orders a job of a served Roundhouse."""

import sys

from tests.served.docs.snippets import check_printed, run, snippets_of
from tests.support.processes import ROOT


def test_client_runs_a_job(environment, tmp_path):
    (snippet,) = (snippet for snippet in snippets_of(ROOT / "docs" / "jobs.md") if snippet.kind == "jobs")

    made = run([sys.executable, "-P"], snippet, tmp_path, environment)

    check_printed(made, snippet)
