"""What must stay true of the repository itself."""

import ast
import importlib.metadata
import platform
import subprocess
import sys
from collections import defaultdict

import onnx
import pytest

from tests.support.processes import ROOT, clean_environment

TOP = {
    "manage.py", "pyproject.toml", "platform", "registry", "inference", "moderation",
    "templates", "tests", "docker-compose.yml", "README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md",
}  # fmt: skip
SHARED_NAMES = {"Command", "Meta", "Migration", "Status"}  # Django's, and one for each table of transitions
CLIENT = (
    ROOT / "inference" / "doors" / "rest" / "client.py"
)  # a program of its own, for people without the product
TRAINED_EXAMPLES = {
    "figures",
    "shapes",
    "contraband",
    "clicks",
}  # by scripts that need torch; other tests ask them


def test_top_level_is_there():
    assert {path.name for path in ROOT.iterdir()} >= TOP


def test_platform_folder_leaves_the_standard_module_alone():
    assert not (ROOT / "platform" / "__init__.py").exists()
    assert platform.python_version() == ".".join(map(str, sys.version_info[:3]))


@pytest.mark.parametrize(
    "start",
    [
        ["-c", ""],
        ["-c", "import sys; sys.path.insert(0, 'platform'); import celery, roundhouse.celery"],
        ["-c", "import sys; sys.path.insert(0, 'platform'); import granian.server, django.core.wsgi"],
        ["manage.py", "shell", "-v0", "-c"],
    ],
    ids=["python", "celery", "granian", "django"],
)
def test_standard_module_is_found_from_the_root(tmp_path, start):
    ask = "import platform; print(platform.python_version())"
    command = [*start[:-1], f"{start[-1]}\n{ask}"] if start[0] == "-c" else [*start, ask]

    result = subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env=clean_environment(DATA=tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.stdout.strip().splitlines()[-1:] == [platform.python_version()], result.stderr


def test_class_names_are_unique():
    """One word, one thing: two classes of one name are two things that a reader confuses."""
    files_of = defaultdict(list)
    for folder in ("platform", "registry", "inference", "moderation"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if {"migrations", "generated"} & set(path.parts) or path == CLIENT:
                continue
            for node in ast.parse(path.read_text()).body:
                if isinstance(node, ast.ClassDef) and node.name not in SHARED_NAMES:
                    files_of[node.name].append(str(path.relative_to(ROOT)))

    assert {name: files for name, files in files_of.items() if len(files) > 1} == {}


def test_exactly_one_onnx_runtime_is_installed():
    names = [name for name in ("onnxruntime", "onnxruntime-gpu") if _is_installed(name)]

    assert len(names) == 1


def _is_installed(name):
    try:
        return bool(importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return False


@pytest.mark.parametrize("path", sorted((ROOT / "requirements").glob("*.txt")), ids=lambda path: path.name)
def test_lock_holds_hashes_and_no_address(path):
    text = path.read_text()
    pins = [line for line in text.splitlines() if "==" in line and not line.lstrip().startswith(("#", "--"))]

    assert "://" not in text
    assert pins
    assert all(line.endswith("\\") for line in pins)


def test_examples_are_what_their_script_makes(tmp_path):
    made = tmp_path / "examples"
    made.mkdir()
    for script in (ROOT / "examples").glob("*.py"):
        (made / script.name).write_bytes(script.read_bytes())

    subprocess.run([sys.executable, made / "make_examples.py"], check=True)

    for path in (ROOT / "examples").glob("*/*"):
        if path.parent.name not in {"__pycache__", "real", *TRAINED_EXAMPLES}:
            assert (made / path.relative_to(ROOT / "examples")).read_bytes() == path.read_bytes(), path


@pytest.mark.parametrize(
    "path", sorted((ROOT / "examples").glob("*/model.*")), ids=lambda path: path.parent.name
)
def test_example_is_small_and_valid(path):
    assert path.stat().st_size < 300_000
    if path.suffix == ".onnx":
        onnx.checker.check_model(path.read_bytes(), full_check=True)
