"""Measures how long imports take, in this checkout or another: python -m tests.real.import_times --checkout ../other."""

import argparse
import tempfile
from pathlib import Path
from statistics import median

from tests.real.corpus import CORPUS
from tests.real.importing import Checkout
from tests.real.locales import use_locale
from tests.support.processes import ROOT


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkout", type=Path, default=ROOT, help="a working tree with a .venv of its own")
    parser.add_argument(
        "--repeat", type=int, default=1, help="each file so often, each time into an empty installation"
    )
    parser.add_argument("--only", default="", help="files whose name holds this")
    arguments = parser.parse_args()
    use_locale()
    checkout = Checkout(arguments.checkout.resolve())
    files = [file for file in CORPUS if arguments.only in file.name]
    taken: dict[str, list[float]] = {}
    for _ in range(arguments.repeat):
        with tempfile.TemporaryDirectory(prefix="roundhouse-real-") as folder:
            for file in files:
                seconds = _import(checkout, file, Path(folder))
                if seconds is not None:
                    taken.setdefault(file.name, []).append(seconds)
    medians = {name: median(seconds) for name, seconds in taken.items()}
    if not medians:
        parser.error("no file was accepted")
    print(f"{len(medians)} of {len(files)} files accepted; median {median(medians.values()):.2f} s,"
          f" mean {sum(medians.values()) / len(medians):.2f} s, longest {max(medians.values()):.2f} s")  # fmt: skip


def _import(checkout: Checkout, file, folder: Path) -> float | None:
    if not (folder / "db").exists():
        done = checkout.manage("migrate", "--verbosity", "0", DATA=folder)
        assert done.returncode == 0, done.stderr
        (folder / "db").touch()
    imported = checkout.import_file(file, DATA=folder)
    print(f"{file.name:32} {imported.seconds:7.2f} s  {imported.reason}", flush=True)
    return imported.seconds if imported.is_accepted else None


if __name__ == "__main__":
    main()
