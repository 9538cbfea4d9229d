"""From staging to production: two installations, each with its own data folder."""

import json
import zipfile
from urllib.request import Request, urlopen

import onnx
import pytest

from tests.support.onnx_models import scaled
from tests.support.processes import manage, post, serving

TEXT = {"text": "The food was wonderful and the staff were kind."}
EXAMPLE = {"inputs": {"x": [[1, 2, 3, 4]]}, "expected": {"y": [[2, 4, 6, 8]]}}
PADDING = 3 << 20
PATIENCE_S = 240


def beside(served, *arguments, **options):
    """A command beside it, which may take long while other tests run."""
    return served.manage(*arguments, timeout=PATIENCE_S, **options)


def done(result):
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def key(embedded):
    return done(beside(embedded, "bundle_key", "staging")).strip()


@pytest.fixture(scope="module")
def production_side(tmp_path_factory, key):
    """A Roundhouse that trusts the demo's."""
    with serving(tmp_path_factory.mktemp("live"), WEB_PROCESSES=1, TRUSTED_BUNDLE_KEYS=key) as served:
        served.wait_ready()
        yield served


def test_a_version_goes_from_staging_to_production_and_answers_alike(embedded, production_side, tmp_path):
    path = tmp_path / "tone.roundhouse"
    done(beside(embedded, "export_version", "tone", "1", str(path)))

    told = done(beside(production_side, "import_version", str(path)))
    again = done(beside(production_side, "import_version", str(path)))
    done(beside(production_side, "approval_rule", "tone", "off", "--reason", "x"))
    done(beside(production_side, "set_split", "tone", "1=100", "--reason", "x"))

    keys = [
        embedded.credentials["api_key"],
        done(beside(production_side, "issue_key", "caller")).strip(),
    ]

    answers = [
        post(
            f"{served.url}/api/v1/models/tone/predict",
            TEXT,
            Authorization=f"Bearer {key}",
            **{"Content-Type": "application/json"},
        )
        for served, key in zip((embedded, production_side), keys, strict=True)
    ]
    assert "tone 1 is registered and ready, but not live" in told
    assert "has the same files and configuration and is ready; nothing was registered" in again
    assert [status for status, _ in answers] == [200, 200], answers
    staging, production = ({**answer, "request_id": ""} for _, answer in answers)
    assert "label" in str(staging)
    for name in ("label", "labels", "scores", "prediction"):
        assert staging.get(name) == production.get(name)


def test_what_the_api_sends_is_what_the_command_writes(embedded, tmp_path):
    """More than the server sends in one piece."""
    model = onnx.load(scaled(tmp_path / "large.onnx", 2.0))
    model.metadata_props.add(key="padding", value="x" * PADDING)
    onnx.save(model, tmp_path / "large.onnx")
    done(beside(embedded, "import_model", "bundled", str(tmp_path / "large.onnx")))
    done(beside(embedded, "export_version", "bundled", "1", str(tmp_path)))

    request = Request(
        f"{embedded.url}/api/v1/models/bundled/versions/1/bundle", headers=embedded.authorization
    )
    with urlopen(request, timeout=30) as answer:
        sent = answer.read()

    assert len(sent) > PADDING
    assert sent == (tmp_path / "bundled-v1.roundhouse").read_bytes()


def test_an_installation_that_does_not_trust_it_refuses_it(embedded, tmp_path, key):
    path = tmp_path / "tone.roundhouse"
    done(beside(embedded, "export_version", "tone", "1", str(path)))
    stranger, changed = tmp_path / "stranger", bytearray(path.read_bytes())
    changed[-5_000] ^= 1
    (tmp_path / "changed").write_bytes(changed)
    done(manage("migrate", DATA=stranger, timeout=PATIENCE_S))

    unknown = manage("import_version", str(path), DATA=stranger, timeout=PATIENCE_S)
    altered = manage(
        "import_version",
        str(tmp_path / "changed"),
        DATA=stranger,
        timeout=PATIENCE_S,
        TRUSTED_BUNDLE_KEYS=key,
    )

    assert unknown.returncode == altered.returncode == 1
    assert "which this installation does not trust" in unknown.stderr
    assert "altered" in altered.stderr
    assert not (stranger / "artifacts").exists()


def test_examples_and_golden_set_are_used_by_the_importing_side(production_side, tmp_path):
    """The importing side runs its own checks: an example that fails there is found there."""
    staging, rows = tmp_path / "staging", tmp_path / "rows.jsonl"
    rows.write_text(json.dumps({"inputs": {"x": [1, 0, 0, 0]}, "label": 0}) + "\n")
    (tmp_path / "examples.json").write_text(json.dumps([EXAMPLE]))
    done(manage("migrate", DATA=staging, timeout=PATIENCE_S))
    code = (
        "from pathlib import Path\n"
        "from registry.catalogue import artifacts\n"
        "from tests.support.factories import a_model, an_uploaded_version\n"
        f"file = artifacts.store([Path({str(scaled(tmp_path / 'm.onnx', 2.0))!r}).read_bytes()])\n"
        "an_uploaded_version(a_model('twice'), file=file)\n"
    )
    done(manage("shell", "--no-imports", "-c", code, DATA=staging, timeout=PATIENCE_S))
    done(
        manage(
            "add_examples", "twice", "1", str(tmp_path / "examples.json"), DATA=staging, timeout=PATIENCE_S
        )
    )
    done(
        manage(
            "put_golden_set",
            "twice",
            str(rows),
            "--metric",
            "accuracy",
            "--reason",
            "x",
            DATA=staging,
            timeout=PATIENCE_S,
        )
    )
    done(manage("export_version", "twice", "1", str(tmp_path), DATA=staging, timeout=PATIENCE_S))
    own = done(manage("bundle_key", "lab", DATA=staging, timeout=PATIENCE_S)).strip()

    told = done(
        beside(
            production_side, "import_version", str(tmp_path / "twice-v1.roundhouse"), TRUSTED_BUNDLE_KEYS=own
        )
    )

    with zipfile.ZipFile(tmp_path / "twice-v1.roundhouse") as bundle:
        assert "examples.json" in bundle.namelist()
    assert "Examples passed" in told
    assert "Golden set passed" in told
    assert "twice golden set 1 is that of the bundle, with 1 rows." in told
