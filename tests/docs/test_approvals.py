"""docs/approvals.md, pasted from top to bottom into a shell beside a served Roundhouse."""

import subprocess

import pytest

from tests.docs.snippets import check_printed, snippets_of
from tests.processes import ROOT, clean_environment, serving

pytestmark = pytest.mark.early
PAGE = snippets_of(ROOT / "docs" / "approvals.md")


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    """A shell at an installation that nobody else has changed, so that its numbers are the page's."""
    with serving(tmp_path_factory.mktemp("approvals"), "--demo", WEB_PROCESSES=1) as served:
        served.wait_ready()
        told = served.credentials
        yield {
            **clean_environment(DATA=served.data, URL=served.url, KEY=told["api_key"]),
            "ADMIN_PASSWORD": told["admin_password"],
            "APPROVER_PASSWORD": told["approver_password"],
        }


def test_the_page_holds_what_it_promises(shell):
    for snippet in PAGE:
        assert snippet.kind == "shell", f"line {snippet.line}"
        made = subprocess.run(
            ["bash", "-eu", "-o", "pipefail", "-c", snippet.code],
            cwd=ROOT, env=shell, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        check_printed(made, snippet)
