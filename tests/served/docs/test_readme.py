"""Requests of README.md, pasted into a shell beside a served Roundhouse. tests/real does so with a public model."""

import shutil

import pytest

from tests.served.docs.snippets import check_printed, run, snippets_of
from tests.support.missing import missing
from tests.support.processes import ROOT


@pytest.mark.parametrize("address", ["/tone/predict", "/api/v1/moderate"])
def test_a_request_is_answered_as_the_page_says(embedded, tmp_path, address):
    if shutil.which("curl") is None:
        missing("no curl: install the distribution's package `curl`")
    page = snippets_of(ROOT / "README.md")
    at, asked = next((at, snippet) for at, snippet in enumerate(page) if address in snippet.code)
    answered = page[at + 1]
    code = asked.code.replace("http://127.0.0.1:8000", embedded.url).replace("curl ", "curl -s ")
    environment = {"KEY": embedded.credentials["api_key"]}

    made = run([shutil.which("bash"), "-eu"], asked._replace(code=code), tmp_path, environment)

    check_printed(made, answered._replace(prints=answered.code))
