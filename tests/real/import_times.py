"""Measures how long imports take, here or in other checkouts: python -m tests.real.import_times --checkout ../old --checkout ."""

import argparse
import tempfile
from collections import defaultdict
from collections.abc import Collection, Mapping
from pathlib import Path
from statistics import mean, median

from tests.real.corpus import CORPUS, RealFile
from tests.real.importing import Checkout
from tests.real.locales import use_locale
from tests.support.processes import ROOT

Times = Mapping[str, list[float]]  # by file


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--checkout",
        type=Path,
        action="append",
        help="a working tree with a .venv; several are measured in turns",
    )
    parser.add_argument("--repeat", type=int, default=1, help="so often, each time into empty installations")
    parser.add_argument("--only", default="", help="files whose name holds this")
    arguments = parser.parse_args()
    use_locale()
    checkouts = [Checkout(folder.resolve()) for folder in arguments.checkout or [ROOT]]
    files = [file for file in CORPUS if arguments.only in file.name]
    times: dict[Checkout, dict[str, list[float]]] = {checkout: defaultdict(list) for checkout in checkouts}
    for _ in range(arguments.repeat):
        _measure(files, times)
    for checkout, taken in times.items():
        print(f"{checkout.folder}: {len(taken)} of {len(files)} files accepted; {_summary(taken, taken)}")
    if len(checkouts) > 1:
        shared = set.intersection(*(set(taken) for taken in times.values()))
        for checkout, taken in times.items():
            print(f"{checkout.folder}: the {len(shared)} that all accept; {_summary(taken, shared)}")


def _measure(files: list[RealFile], times: Mapping[Checkout, dict[str, list[float]]]) -> None:
    with tempfile.TemporaryDirectory(prefix="roundhouse-real-") as parent:
        folders = {checkout: Path(parent) / str(number) for number, checkout in enumerate(times)}
        for checkout, folder in folders.items():
            folder.mkdir()
            migrated = checkout.manage("migrate", "--verbosity", "0", DATA=folder)
            assert migrated.returncode == 0, migrated.stderr
        for file in files:
            for checkout, folder in folders.items():
                imported = checkout.import_file(file, DATA=folder)
                print(f"{file.name:40} {imported.seconds:7.2f} s  {imported.reason}", flush=True)
                if imported.is_accepted:
                    times[checkout][file.name].append(imported.seconds)


def _summary(taken: Times, names: Collection[str]) -> str:
    seconds = [median(taken[name]) for name in names]
    if not seconds:
        return "nothing to sum up"
    return f"median {median(seconds):.2f} s, mean {mean(seconds):.2f} s, longest {max(seconds):.2f} s"


if __name__ == "__main__":
    main()
