"""docs/approvals.md, pasted from top to bottom into a shell beside a served Roundhouse."""

import subprocess

import pytest

from tests.served.docs.snippets import check_printed, snippets_of
from tests.support.processes import ROOT, clean_environment

PAGE = snippets_of(ROOT / "docs" / "approvals.md")


@pytest.fixture
def shell(production):
    """A shell beside an installation whose Model `demand` nobody else has changed, so that its numbers are the page's."""
    told = production.credentials
    return {
        **clean_environment(**production.variables, URL=production.url, KEY=told["api_key"]),
        "OPERATOR_PASSWORD": told["operator_password"],
        "APPROVER_PASSWORD": told["approver_password"],
    }


def test_the_page_prints_what_it_says(shell):
    for snippet in PAGE:
        assert snippet.kind == "shell", f"line {snippet.line}"
        made = subprocess.run(
            ["bash", "-eu", "-o", "pipefail", "-c", snippet.code],
            cwd=ROOT, env=shell, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        check_printed(made, snippet)
