"""Speed of this server, its peers and a bare application, on this machine in the same minutes.

    python -m bench.serving [--seconds 5] [--repeats 5] [--only tiny mosec ...] [--set NAME=VALUE]

Every round starts the servers one after the other, checks that they give the same numbers, and loads each with
wrk -t1 over 1 and 32 connections, and this server over 256 and 1,000 too. It has its own default settings. Its row "gRPC"
is loaded with h2load in the same way; "DRF view" asks the same address with a query, which the event loop leaves to Django;
"bare RSGI" is the same server and the same runtime with nothing between them. Figures are medians over the rounds, ratios
medians of the rounds' ratios.
Exits with 1 if a mark is short. `python -m bench.serving.overload` and `python -m bench.serving.pages` are the other parts.
"""

import argparse
import os
import shutil
import signal
import sys
import tempfile
from collections import defaultdict
from contextlib import suppress
from functools import partial
from pathlib import Path
from statistics import median

from bench.serving import marks, peers, servers, workloads, wrk
from bench.serving.installation import Installation, NotPrepared
from bench.serving.marks import Results
from bench.serving.processes import NotServing
from bench.serving.servers import Roundhouse, RoundhouseWithWorkers, Server, Target
from bench.serving.wire import WrongAnswer
from bench.serving.workloads import Workload

CONNECTIONS = servers.USUAL_CONNECTIONS + servers.MANY_CONNECTIONS
AGAINST = (servers.MOSEC, servers.LITSERVE, servers.MLSERVER, servers.BARE)
WORDS = {
    "roundhouse": servers.ROUNDHOUSE,
    "view": servers.VIEW,
    "workers": servers.THROUGH_WORKERS,
    "oip-json": servers.OIP_JSON_ROW,
    "oip-binary": servers.OIP_BINARY_ROW,
    "grpc": servers.GRPC_ROW,
    "bare": servers.BARE,
    "mosec": servers.MOSEC,
    "litserve": servers.LITSERVE,
    "mlserver": servers.MLSERVER,
}
OURS = {
    servers.ROUNDHOUSE,
    servers.VIEW,
    servers.THROUGH_WORKERS,
    servers.OIP_JSON_ROW,
    servers.OIP_BINARY_ROW,
    servers.GRPC_ROW,
}


class Bench:
    """The rounds, their results, and what could not be measured."""

    def __init__(self, folder: Path, loads: list[Workload], chosen: argparse.Namespace) -> None:
        self._folder, self._loads = folder, loads
        self._seconds, self._repeats = chosen.seconds, chosen.repeats
        self._names = wanted_rows(chosen.only)
        self.results: defaultdict[marks.Key, list[wrk.Sample]] = defaultdict(list)
        self.absent: dict[str, str] = {}

    def run(self, compared: list[Server]) -> Results:
        for turn in range(1, self._repeats + 1):
            print(f"round {turn} of {self._repeats}", flush=True)
            for workload in self._loads:
                for server in compared:
                    self._visit(server, workload)
        return self.results

    def _visit(self, server: Server, workload: Workload) -> None:
        targets = [target for target in server.targets if self._wants(target, workload)]
        if not targets:
            return
        try:
            with server.running(workload) as url:
                for target in targets:
                    self._measure(target, url, workload)
        except (peers.PeerMissing, NotServing) as error:
            for target in targets:
                self._miss(target.name, str(error))

    def _wants(self, target: Target, workload: Workload) -> bool:
        return (
            workload.name in target.workloads
            and target.name in self._names
            and target.name not in self.absent
        )

    def _measure(self, target: Target, url: str, workload: Workload) -> None:
        try:
            target.check(url, workload)
            load = partial(target.load, target.address(url), target.request(workload), self._folder)
            for connections in target.connections:
                load(connections=connections, seconds=max(1, self._seconds // 5))  # to warm up
                sample = load(connections=connections, seconds=self._seconds)
                self.results[workload.name, connections, target.name].append(sample)
                print(
                    f"  {workload.name:5} {connections:4}  {target.name:22} {wrk.figures(sample)}", flush=True
                )
            target.check(url, workload)
        except (WrongAnswer, wrk.NoFigures, OSError) as error:
            self._miss(target.name, f"{workload.name}: {error}")

    def _miss(self, name: str, why: str) -> None:
        self.absent[name] = why
        print(f"  {name}: left out from here on. {why}", flush=True)


def _middle(samples: list[wrk.Sample]) -> wrk.Sample:
    return wrk.Sample(
        rate=median(sample.rate for sample in samples),
        p50_ms=median(sample.p50_ms for sample in samples),
        p99_ms=median(sample.p99_ms for sample in samples),
        others=sum(sample.others for sample in samples),
        broken=sum(sample.broken for sample in samples),
    )


def print_tables(results: Results, loads: list[Workload]) -> None:
    for workload in loads:
        for connections in CONNECTIONS:
            rows = [name for name in WORDS.values() if results.get((workload.name, connections, name))]
            if not rows:
                continue
            print(f"\n{workload.title}, {connections:,} connection{'s' if connections > 1 else ''}")
            print(f"  {'':22} {'req/s':>9}   {'p50':>10}   {'p99':>10}", end="   ")
            print("".join(f"{'x ' + name:>13}" for name in AGAINST))
            for name in rows:
                figures = wrk.figures(_middle(list(results[workload.name, connections, name])))
                ratios = (marks.ratio(results, workload.name, connections, name, other) for other in AGAINST)
                print(f"  {name:22} {figures}", end="")
                print("".join(f"{'-' if value is None else f'{value:.2f}':>13}" for value in ratios))


def print_machine() -> None:
    versions = ", ".join(f"{name} {peers.version_of(name)}" for name in ("mosec", "litserve", "mlserver"))
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} cores, {versions}")
    if load > 0.5:
        print(
            f"WARNING: the load average is {load:.1f}; others are at work here, and no figure below counts."
        )


def our_servers(folder: Path, loads: list[Workload], settings: dict[str, str]) -> list[Server]:
    """None if they cannot be prepared; the others are still compared."""
    try:
        installation = Installation(folder, settings)
        for workload in loads:
            installation.import_model(workload.name, workload.path)
        key = installation.issue_key()
    except NotPrepared as error:
        print(f"roundhouse: left out. {error}")
        return []
    return [Roundhouse(installation, key), RoundhouseWithWorkers(installation, key)]


def wanted_rows(only: list[str]) -> set[str]:
    return {WORDS[word] for word in only if word in WORDS} or set(WORDS.values())


def parse_settings(given: list[str]) -> dict[str, str]:
    return dict(text.removeprefix("ROUNDHOUSE_").split("=", 1) for text in given)


def end_on_sigterm() -> None:
    """End the servers when this process is terminated."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def main() -> int:
    parser = argparse.ArgumentParser(
        "python -m bench.serving", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    all_loads = workloads.all_of_them()
    names = [workload.name for workload in all_loads]
    parser.add_argument("--seconds", type=int, default=5, help="how long each row is loaded")
    parser.add_argument("--repeats", type=int, default=5, help="rounds")
    parser.add_argument(
        "--only",
        nargs="+",
        default=[],
        choices=[*names, *WORDS],
        metavar="WHAT",
        help=", ".join([*names, *WORDS]),
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a ROUNDHOUSE_ setting of ours"
    )
    chosen = parser.parse_args()
    if shutil.which("wrk") is None:
        print("wrk is not installed (Debian: package wrk).")
        return 2
    end_on_sigterm()
    loads = [load for load in all_loads if load.name in chosen.only] or all_loads
    with tempfile.TemporaryDirectory(prefix="bench-serving-") as name:
        folder = Path(name)
        bench = Bench(folder, loads, chosen)
        compared: list[Server] = [*servers.simple_ones(folder)]
        if wanted_rows(chosen.only) & OURS:
            compared = [*our_servers(folder, loads, parse_settings(chosen.set)), *compared]
        results = bench.run(compared)
    print()
    print_machine()
    print_tables(results, loads)
    print("\nmarks")
    found = [mark for mark in marks.marks(results) if mark.value is not None or not chosen.only]
    for mark in found:
        print(f"  {mark}")
    for name, why in bench.absent.items():
        print(f"  {name} is absent: {why}")
    return 1 if any(mark.verdict == "short" for mark in found) else 0


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main())
    sys.exit(130)
