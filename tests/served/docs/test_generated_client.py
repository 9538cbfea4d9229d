"""A client generated from the OpenAPI description, and its answers."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.served.docs.snippets import check_printed, run, snippets_of
from tests.support.peers import openapi_client_python
from tests.support.processes import ROOT

SCORES = pytest.approx([0.98188, 0.01812, 0.0], abs=1e-4)
(PUBLISHED,) = (
    snippet for snippet in snippets_of(ROOT / "docs" / "clients.md") if snippet.kind == "generated"
)


@pytest.fixture(scope="module", params=["schema", "schema-3.0"])
def generated(request, environment, tmp_path_factory):
    """The Python and the folder of a client made from one version of the description, without a warning."""
    python, folder = openapi_client_python(), tmp_path_factory.mktemp(request.param)
    made = subprocess.run(
        [python, "-m", "openapi_python_client", "generate",
         "--url", f"{environment['ROUNDHOUSE_URL']}/api/{request.param}",
         "--meta", "none", "--output-path", folder / "roundhouse_client", "--fail-on-warning"],
        env={**environment, "PATH": f"{python.parent}{os.pathsep}{environment['PATH']}"},  # it formats with its ruff
        cwd=folder, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stdout + made.stderr
    return python, folder


@pytest.fixture(scope="module")
def answers(generated, environment):
    """The type and the contents of each answer, by case."""
    python, folder = generated
    made = subprocess.run(
        [python, "-P", Path(__file__).with_name("generated_calls.py")],
        env={**environment, "PYTHONPATH": str(folder)}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    return json.loads(made.stdout)


def test_snippet_prints_what_the_page_says(generated, environment):
    python, folder = generated

    made = run([python], PUBLISHED, folder, environment)

    check_printed(made, PUBLISHED)


@pytest.mark.parametrize(
    ("case", "kind", "scores"),
    [
        ("tensors", "TensorsPredicted", lambda answer: answer["outputs"]["probabilities"][0]),
        ("rows", "RowsPredicted", lambda answer: answer["predictions"][0]),
        ("features", "RowPredicted", lambda answer: answer["prediction"]),
        ("version", "RowPredicted", lambda answer: answer["prediction"]),
        ("alias", "RowPredicted", lambda answer: answer["prediction"]),
    ],
    ids=["tensors", "rows", "features", "version", "alias"],
)
def test_prediction_has_its_type_and_numbers(answers, case, kind, scores):
    named, answer = answers[case]

    assert named == kind
    assert scores(answer) == SCORES
    assert (answer["model"], answer["version"], answer["split"]) == ("ripeness", 1, 1)
    assert answer["request_id"]


@pytest.mark.parametrize("case", ["data", "default"])
def test_one_number_has_its_type(answers, case):
    named, answer = answers[case]

    assert named == "NumberPredicted"
    assert (answer["prediction"], answer["confidence"]) == (0, pytest.approx(0.98188, abs=1e-4))
    assert answer["model"] == "ripeness"


def test_dry_run_has_its_type(answers):
    named, answer = answers["dry-run"]

    assert named == "DryRun"
    assert answer["inputs"] == {"features": {"datatype": "FP32", "shape": [1, 3]}}


@pytest.mark.parametrize(
    ("case", "status", "code"),
    [
        ("wrong-shape", 422, "wrong_dimension"),
        ("unknown-model", 404, "unknown_model"),
        ("no-key", 401, "not_authenticated"),
    ],
    ids=["wrong-shape", "unknown-model", "no-key"],
)
def test_refusal_is_a_problem(answers, case, status, code):
    named, problem = answers[case]

    assert named == "Problem"
    assert (problem["status"], problem["code"], problem["retryable"]) == (status, code, False)


def test_descriptions_have_their_types(answers):
    (schema, described), (models, page) = answers["schema"], answers["models"]

    assert schema == "SignatureResponse"
    assert described["inputs"] == [
        {"name": "features", "datatype": "FP32", "shape": [None, 3], "optional": False}
    ]
    assert models != "Problem"
    assert {model["slug"] for model in page["results"]} >= {"ripeness", "demand"}
