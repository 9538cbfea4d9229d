"""Overload: ten times as many requests as the server can answer, and fairness beside one greedy key.

    python -m bench.serving.overload [--seconds 60] [--pause-ms 20] [--set NAME=VALUE]

The model pauses 20 ms for a batch of at most 4 rows. The load comes from a process of its own, at random moments,
whether or not earlier requests were answered. Exits with 1 if a mark is short.
"""

import argparse
import base64
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bench.serving import generator, workloads
from bench.serving.__main__ import end_on_sigterm, parse_settings
from bench.serving.generator import Order, Report, Stream
from bench.serving.installation import PROCESSES, Installation
from bench.serving.marks import Mark
from bench.serving.processes import resident_bytes
from bench.serving.wire import NATIVE
from tests.support.processes import ROOT, family_of

TIMES, GREEDY_TIMES = 10, 50
NORMAL_KEYS = 9
# Max. connections; a request without a free one counts as not sent. More than there is room for, or nothing would be refused:
# a process admits 4 s of work, so two of them hold 1,600 requests of 5 ms each.
CROWD = 3000
_RUN_OF_NORMAL = 20  # answers in a row


@dataclass(frozen=True)
class Scene:
    """A running slow server, and its address and keys."""

    port: int
    main_pid: int
    requests: list[str]  # one per key; the last is the greedy one's
    seconds: int

    def load(self, *streams: Stream, seconds: float, is_traced: bool = False) -> Order:
        return Order(self.port, seconds, list(streams), is_traced=is_traced)

    def web_pids(self) -> list[int]:
        return [pid for pid, command in family_of(self.main_pid).items() if "granian" in command]


def wire_bytes(key: str) -> str:
    workload = workloads.tiny()
    request = NATIVE.request(workload.name, workload.row)
    lines = [
        f"POST {request.path} HTTP/1.1",
        "Host: 127.0.0.1",
        f"Content-Length: {len(request.body)}",
        f"Authorization: Bearer {key}",
        *(f"{name}: {value}" for name, value in request.headers.items()),
    ]
    return base64.b64encode("\r\n".join([*lines, "", ""]).encode() + request.body).decode()


def normal_streams(scene: Scene, rate: float, connections: int) -> list[Stream]:
    """The normal keys take turns, so that the limit of a single key does not show in the total."""
    keys = scene.requests[:NORMAL_KEYS]
    return [
        Stream(f"normal {number}", request, max(1, connections // len(keys)), rate / len(keys))
        for number, request in enumerate(keys, 1)
    ]


def measure_peak(scene: Scene) -> float:
    """Peak of answers per second: closed-loop callers, from few to many."""
    best = 0.0
    each_s = min(5, scene.seconds)
    for callers in (1, 2, 4, 8):
        streams = [
            Stream(str(number), request, callers)
            for number, request in enumerate(scene.requests[:NORMAL_KEYS])
        ]
        reports = generator.generate(scene.load(*streams, seconds=each_s))
        rate = sum(report.ok for report in reports.values()) / each_s
        print(f"  {callers * len(streams):3} callers: {rate:,.0f} /s", flush=True)
        best = max(best, rate)
    return best


def quiet_p99_ms(scene: Scene, peak: float) -> float:
    streams = normal_streams(scene, peak / 10, 64)
    reports = generator.generate(scene.load(*streams, seconds=min(10, scene.seconds)))
    p99s = sorted(report.ok_ms[1] for report in reports.values() if report.ok_ms)
    return p99s[len(p99s) // 2]


def overloaded(scene: Scene, peak: float, quiet_ms: float) -> list[Mark]:
    print(f"overload: {TIMES} x {peak:,.0f} /s for {scene.seconds} s")
    before = resident_bytes(scene.web_pids())
    process = generator.start(scene.load(*normal_streams(scene, TIMES * peak, CROWD), seconds=scene.seconds))
    sizes = []
    try:
        ends_at = time.monotonic() + scene.seconds
        while process.poll() is None and time.monotonic() < ends_at:
            sizes.append(resident_bytes(scene.web_pids()))
            time.sleep(1.0)
        normal_after_s = back_to_normal(scene, peak, quiet_ms)
        reports = list(generator.finish(process).values())
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    # Without requests answered after the end of the flood.
    goodput = sum(sum(report.ok_each_second) for report in reports) / scene.seconds
    print_reports(reports)
    swing = max(abs(size / before - 1) for size in sizes)
    print(f"  RSS MiB each second: {' '.join(f'{size / 2**20:.0f}' for size in [before, *sizes])}")
    refused = [report.refused_ms for report in reports if report.refused_ms]
    if refused:
        p50, p99 = (max(figures) for figures in zip(*refused, strict=True))
        print(f"  refusals: p50 {p50:.1f} ms, p99 {p99:.1f} ms (the worst key's)")
    return [
        Mark("goodput against peak", goodput / peak, at_least=0.9),
        Mark("a refusal at p99, ms", p99 if refused else None, at_most=20),
        Mark("requests without an answer", float(sum(report.unanswered for report in reports)), at_most=0),
        Mark("RSS against its start, largest change", swing, at_most=0.10),
        Mark("normal again after, s", normal_after_s, at_most=10),
    ]


def back_to_normal(scene: Scene, peak: float, quiet_ms: float) -> float | None:
    """Seconds after the flood until latency is back to normal; None: not within 15."""
    streams = normal_streams(scene, peak / 10, 64)
    reports = generator.generate(scene.load(*streams, seconds=15, is_traced=True))
    answers = sorted(line for report in reports.values() for line in report.trace)
    is_normal = [status == 200 and took_ms <= 2 * quiet_ms for _, status, took_ms in answers]
    for index in range(len(answers) - _RUN_OF_NORMAL + 1):
        if all(is_normal[index : index + _RUN_OF_NORMAL]):
            return answers[index][0]
    return None


def fairness(scene: Scene, peak: float) -> list[Mark]:
    """Nine keys that together send 45 % of the peak, beside one that sends 50 times as much as each of them."""
    each = peak / 20
    print(f"fairness: {NORMAL_KEYS} keys at {each:,.1f} /s, one at {GREEDY_TIMES * each:,.0f} /s")
    greedy = Stream("greedy", scene.requests[-1], CROWD // 2, GREEDY_TIMES * each)
    streams = normal_streams(scene, NORMAL_KEYS * each, CROWD // 2)
    reports = generator.generate(scene.load(*streams, greedy, seconds=scene.seconds))
    print_reports([reports.pop("greedy")], "greedy")
    print_reports(list(reports.values()), "normal")
    served = sum(report.ok for report in reports.values())
    wanted = sum(report.due for report in reports.values())
    return [Mark("the normal keys' requests that were answered", served / wanted, at_least=0.999)]


def print_reports(reports: Sequence[Report], who: str = "all") -> None:
    statuses: dict[str, int] = {}
    for report in reports:
        for status, count in report.statuses.items():
            statuses[status] = statuses.get(status, 0) + count
    told = ", ".join(f"{count:,} x {status}" for status, count in sorted(statuses.items()))
    due, not_sent, unanswered = (
        sum(getattr(report, name) for report in reports) for name in ("due", "not_sent", "unanswered")
    )
    ok = [report.ok_ms for report in reports if report.ok_ms]
    took = (
        f"; answers p50 {max(p50 for p50, _ in ok):.0f} ms, p99 {max(p99 for _, p99 in ok):.0f} ms"
        if ok
        else ""
    )
    late = max((report.late_ms[1] for report in reports if report.late_ms), default=0.0)
    print(
        f"  {who}: {due:,} due; {told or 'no answers'}; {unanswered:,} unanswered, {not_sent:,} not sent{took}"
    )
    if late > 5:
        print(
            f"  the generator itself was late by {late:.0f} ms at p99: the machine is too busy for these figures"
        )


def main() -> int:
    parser = argparse.ArgumentParser(
        "python -m bench.serving.overload",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seconds", type=int, default=60, help="how long each load lasts")
    parser.add_argument("--pause-ms", type=float, default=20.0, help="what a batch of at most 4 rows takes")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a ROUNDHOUSE_ setting of the server"
    )
    chosen = parser.parse_args()
    end_on_sigterm()
    with tempfile.TemporaryDirectory(prefix="bench-overload-") as name:
        installation = Installation(Path(name), parse_settings(chosen.set))
        tiny = workloads.tiny()
        installation.import_model(tiny.name, tiny.path)
        requests = [
            wire_bytes(installation.issue_key(f"tenant-{number}")) for number in range(NORMAL_KEYS + 1)
        ]
        environ = {"BENCH_PAUSE_S": str(chosen.pause_ms / 1e3)}
        slow_serve = ROOT / "bench" / "serving" / "slow_serve.py"
        with installation.served([slow_serve], environ) as (url, main_pid):
            scene = Scene(int(url.rpartition(":")[2]), main_pid, requests, chosen.seconds)
            ceiling = PROCESSES * 4 / chosen.pause_ms * 1e3
            print(f"peak (no more than {ceiling:,.0f} /s, by the pause alone)")
            peak = measure_peak(scene)
            quiet_ms = quiet_p99_ms(scene, peak)
            print(f"  peak {peak:,.0f} /s; at a tenth of it p99 {quiet_ms:.0f} ms")
            found = [*overloaded(scene, peak, quiet_ms), *fairness(scene, peak)]
    print("marks")
    for mark in found:
        print(f"  {mark}")
    return 1 if any(mark.verdict == "short" for mark in found) else 0


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main())
    sys.exit(130)
