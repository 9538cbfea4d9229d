"""The first prediction of README.md, pasted into a shell beside a served Roundhouse. tests/real does so with a public model."""

import shutil

from tests.served.docs.snippets import check_printed, run, snippets_of
from tests.support.missing import missing
from tests.support.processes import ROOT


def test_the_first_prediction_answers_what_the_page_says(embedded, tmp_path):
    if shutil.which("curl") is None:
        missing("no curl: install the distribution's package `curl`")
    page = snippets_of(ROOT / "README.md")
    at, asked = next((at, snippet) for at, snippet in enumerate(page) if "/tone/predict" in snippet.code)
    answered = page[at + 1]
    code = asked.code.replace("http://127.0.0.1:8000", embedded.url).replace("curl ", "curl -s ")
    environment = {"KEY": embedded.credentials["api_key"]}

    made = run([shutil.which("bash"), "-eu"], asked._replace(code=code), tmp_path, environment)

    check_printed(made, answered._replace(prints=answered.code))
