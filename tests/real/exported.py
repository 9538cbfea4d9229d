"""Files that usual libraries export, made in an environment of their own."""

import importlib.metadata
import subprocess
from functools import cache
from pathlib import Path

from examples.real.packages import REAL, built, environment, pinned
from tests.real.packages import licence_of

PINS = Path(__file__).with_name("exporters.txt")
SCRIPT = Path(__file__).with_name("exports.py")


@cache
def exported() -> Path:
    return built(REAL / "exported", [PINS, SCRIPT], _export)


def exporter_licences() -> dict[str, tuple[str, str]]:
    """By library: version and licence."""
    names = pinned(PINS)
    site = next(exporters().glob("lib/python*/site-packages"))
    return {
        found.metadata["Name"]: (found.version, licence_of(found.metadata))
        for found in importlib.metadata.distributions(path=[str(site)])
        if found.metadata["Name"].lower() in names
    }


def exporters() -> Path:
    """The environment with the libraries that export."""
    return environment(REAL / "venv", PINS)


def _export(folder: Path) -> None:
    python = exporters() / "bin" / "python"
    with (REAL / "exports.log").open("wb") as log:
        subprocess.run([python, SCRIPT, folder], check=True, stdout=log, stderr=subprocess.STDOUT)
