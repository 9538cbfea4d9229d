"""The code of docs/uploads.md, pasted into a process that uploads to a served Roundhouse."""

from tests.served.docs.snippets import ALONE, check_printed, run, snippets_of
from tests.support.processes import ROOT


def test_client_uploads_a_version(environment, folder):
    (snippet,) = (one for one in snippets_of(ROOT / "docs" / "uploads.md") if one.kind)

    made = run(ALONE, snippet, folder, environment)

    # Which number it gets depends on who else has uploaded.
    check_printed(made, snippet._replace(prints=snippet.prints.replace("demand 2", "demand …")))
