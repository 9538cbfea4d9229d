"""Files that usual libraries export, made in an environment of their own."""

import importlib.metadata
import subprocess
import sys
from functools import cache
from pathlib import Path

from tests.real.folder import HERE, REAL, built
from tests.real.packages import licence_of

PINS = HERE / "exporters.txt"
SCRIPT = HERE / "exports.py"


@cache
def exported() -> Path:
    return built("exported", [PINS, SCRIPT], _export)


def exporter_licences() -> dict[str, tuple[str, str]]:
    """By library: version and licence."""
    names = {line.partition("==")[0] for line in PINS.read_text().splitlines() if not line.startswith("#")}
    site = next(exporters().glob("lib/python*/site-packages"))
    return {
        found.metadata["Name"]: (found.version, licence_of(found.metadata))
        for found in importlib.metadata.distributions(path=[str(site)])
        if found.metadata["Name"].lower() in names
    }


def exporters() -> Path:
    """The environment with the libraries that export."""
    return built("venv", [PINS], _install)


def _install(folder: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    subprocess.run(
        [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--requirement", PINS], check=True
    )


def _export(folder: Path) -> None:
    environment = exporters()
    with (REAL / "exports.log").open("wb") as log:
        subprocess.run(
            [environment / "bin" / "python", SCRIPT, folder], check=True, stdout=log, stderr=subprocess.STDOUT
        )
