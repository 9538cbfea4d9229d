"""The folder .real: what was fetched, unpacked and exported, so that a second run needs no network."""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

from tests.support.processes import ROOT

HERE = Path(__file__).parent
REAL = ROOT / ".real"


def built(name: str, sources: list[Path], build: Callable[[Path], None]) -> Path:
    """A folder below .real, made again when a file that says what is in it has changed."""
    folder, stamp = REAL / name, REAL / f"{name}.stamp"
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
    if not folder.exists() or not stamp.exists() or stamp.read_text() != digest:
        stamp.unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        build(folder)
        stamp.write_text(digest)
    return folder
