"""Packages of the index that pip is set up to use: fetched by name and hash, and installed in environments of their own."""

import hashlib
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

ROOT = Path(__file__).parents[2]
REAL = ROOT / ".real"  # git-ignored: all that is fetched, or made from it
WHEELS = REAL / "wheels"
_PATIENCE = ("--retries", "2", "--timeout", "20")
_LICENCES = ("LICENSE", "LICENCE", "NOTICE", "COPYING", "MODEL_LICENSES")
_AGAIN = "What was fetched before is kept: run the command again."
_CAUSES = {
    "DO NOT MATCH THE HASHES": "The index sent a file that is not the one listed here: its hash differs. Nothing of it was used."
    " Find out which index, mirror or proxy answers (pip config list).",
    "No space left on device": f"The disk is full. {_AGAIN}",
}
_NO_INDEX = f"Check the network, and which index pip uses (pip config list). {_AGAIN}"


class NotFetched(Exception):
    """What went wrong, and what to do."""


def built(folder: Path, sources: Iterable[Path], build: Callable[[Path], None]) -> Path:
    """The folder; it is made again if it is not complete, or if a file that says what is in it has changed."""
    if not is_built(folder, sources):
        stamp = _stamp(folder)
        stamp.unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        build(folder)
        stamp.write_text(_digest(sources))
    return folder


def is_built(folder: Path, sources: Iterable[Path]) -> bool:
    stamp = _stamp(folder)
    return folder.exists() and stamp.exists() and stamp.read_text() == _digest(sources)


def _stamp(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.stamp")


def _digest(sources: Iterable[Path]) -> str:
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()


def pinned(pins: Path) -> dict[str, str]:
    """Versions by package, as a requirements file states them."""
    return dict(re.findall(r"^([\w.-]+)==([\w.!+-]+)", pins.read_text(), re.MULTILINE))


def download(pins: Path, wheels: Path = WHEELS) -> list[Path]:
    """Fetch exactly the packages that the file lists; return the files that were not there before. No code of them is run."""
    wheels.mkdir(parents=True, exist_ok=True)
    before = {*wheels.iterdir()}
    pip("download", "--quiet", *_PATIENCE, "--no-deps", "--only-binary=:all:", "--dest", wheels, "-r", pins)
    return sorted({*wheels.iterdir()} - before)


def wheel_of(package: str, version: str, wheels: Path = WHEELS) -> Path:
    (wheel,) = wheels.glob(f"{package.replace('-', '_')}-{version}-*.whl")
    return wheel


def environment(folder: Path, pins: Path, *options: str | Path) -> Path:
    """A virtual environment with the packages that the file lists. `options` are pip's."""

    def install(folder: Path) -> None:
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
        pip("--python", folder / "bin" / "python", "install", "--quiet", *_PATIENCE, *options, "-r", pins)

    return built(folder, [pins], install)


def pip(*arguments: str | Path) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        output = done.stdout + done.stderr
        errors = [line for line in output.splitlines() if line.startswith("ERROR:")] or output.splitlines()
        advice = next((advice for sign, advice in _CAUSES.items() if sign in output), _NO_INDEX)
        raise NotFetched("\n".join([*errors[:3], advice]))


def is_licence(name: str) -> bool:
    """Whether a file of a wheel is the text of a licence, or a notice that belongs to it."""
    return ".dist-info/licenses/" in name or Path(name).name.upper().startswith(_LICENCES)


def keep_licences(wheel: Path, folder: Path) -> list[Path]:
    """Write the wheel's licence files into the folder, under short names."""
    kept = []
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if is_licence(name) and not name.endswith("/"):
                _, marker, short = name.partition(".dist-info/licenses/")
                path = folder / (short if marker else name.partition("/")[2])
                if not path.resolve().is_relative_to(folder.resolve()):
                    raise NotFetched(f"{wheel.name} has a file that would be written elsewhere: {name}.")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(archive.read(name))
                kept.append(path)
    return sorted(kept)
