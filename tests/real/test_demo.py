"""`make demo-real`, from its second step: its Models answer as README.md says, and visibly right."""

import json
import re
import shutil

import pytest

from examples.real.models import models
from tests.served.docs.snippets import check_printed, run, snippets_of
from tests.support.processes import ROOT, serving, wait_until


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    models()
    with serving(tmp_path_factory.mktemp("demo"), "--demo", "real") as served:
        served.wait_ready()
        yield served


def test_first_answer_of_the_readme_is_real(demo, tmp_path):
    asked, answered = snippets_of(ROOT / "README.md")[:2]
    code = asked.code.replace("http://127.0.0.1:8000", demo.url).replace("curl ", "curl -s ")

    made = run(
        [shutil.which("bash"), "-eu"],
        asked._replace(code=code),
        tmp_path,
        {"KEY": demo.credentials["api_key"]},
    )

    check_printed(made, answered._replace(prints=answered.code))


def test_printed_answers_are_right(demo):
    wait_until(
        lambda: re.search(r"contraband answers:\n.+\n", demo.output), within_s=30, what="the last answer"
    )

    answers = {
        name: json.loads(answer)
        for name, answer in re.findall(r"^([\w-]+) answers:\n(.+)$", demo.output, re.MULTILINE)
    }

    assert answers["toxicity"]["label"] == "toxic" and answers["toxicity"]["confidence"] > 0.99
    assert answers["nsfw"]["label"] == "sfw" and answers["nsfw"]["confidence"] > 0.99
    assert {entity["label"]: entity["text"] for entity in answers["personal-data"]["entities"]} == {
        "GIVEN_NAME": "Maria", "SURNAME": "Rossi", "PHONE": "(312) 555-0142", "EMAIL": "maria.rossi@example.com",
    }  # fmt: skip
    assert {one["label"] for one in answers["contraband"]["objects"]} == {"weapon", "drugs"}
