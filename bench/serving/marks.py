"""Ratios between rows, and whether they reach the marks."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from bench.serving.servers import (
    GRPC_ROW,
    LITSERVE,
    MANY_CONNECTIONS,
    MLSERVER,
    MOSEC,
    OIP_BINARY_ROW,
    OIP_JSON_ROW,
    PEERS,
    ROUNDHOUSE,
    THROUGH_WORKERS,
    VIEW,
)
from bench.serving.wrk import Sample

Key = tuple[str, int, str]  # workload, connections, target
Results = Mapping[Key, Sequence[Sample]]


@dataclass(frozen=True)
class Mark:
    """The value a result should reach; `goal` is the value that we would like."""

    text: str
    value: float | None  # None: not measured
    at_least: float | None = None
    at_most: float | None = None
    goal: float | None = None

    @property
    def verdict(self) -> str:
        if self.value is None:
            return "absent"
        enough = self.at_least is None or self.value >= self.at_least
        little_enough = self.at_most is None or self.value <= self.at_most
        return "met" if enough and little_enough else "short"

    def __str__(self) -> str:
        value = "not measured" if self.value is None else f"{self.value:.3g}"
        wanted = f">= {self.at_least:g}" if self.at_least is not None else f"<= {self.at_most:g}"
        goal = ""
        if self.goal is not None and self.value is not None:
            goal = f", goal {self.goal:g} {'met' if self.value >= self.goal else 'short'}"
        return f"{self.verdict:6} {self.text}: {value} (mark {wanted}{goal})"


def ratio(results: Results, workload: str, connections: int, one: str, other: str) -> float | None:
    """Ratio of answers per second: the median over the rounds in which both were measured."""
    found = [a.rate / b.rate for a, b in _pairs(results, workload, connections, one, other) if b.rate]
    return median(found) if found else None


def p99_ratio(results: Results, workload: str, connections: int, one: str, other: str) -> float | None:
    """Ratio of the p99: the median over the rounds."""
    found = [a.p99_ms / b.p99_ms for a, b in _pairs(results, workload, connections, one, other) if b.p99_ms]
    return median(found) if found else None


def not_answered(results: Results, workload: str, connections: int, name: str) -> float | None:
    """How many requests were not answered with 200, in all rounds."""
    samples = results.get((workload, connections, name), ())
    return float(sum(sample.others + sample.broken for sample in samples)) if samples else None


def _pairs(
    results: Results, workload: str, connections: int, one: str, other: str
) -> Iterable[tuple[Sample, Sample]]:
    """Results of both in the same rounds."""
    return zip(
        results.get((workload, connections, one), ()),
        results.get((workload, connections, other), ()),
        strict=False,
    )


def p50_against_best(results: Results, workload: str, one: str, others: Sequence[str]) -> float | None:
    """The p50 at one connection, as a share of the best p50 among the others in the same round."""
    ours = results.get((workload, 1, one), ())
    theirs = [samples for name in others if (samples := results.get((workload, 1, name), ()))]
    found = [
        mine.p50_ms / min(peer.p50_ms for peer in peers)
        for mine, *peers in zip(ours, *theirs, strict=False)
        if peers
    ]
    return median(found) if found else None


def p50_above(results: Results, workload: str, one: str, other: str) -> float | None:
    """Difference of the p50 at one connection, in milliseconds: the median over the rounds."""
    found = [a.p50_ms - b.p50_ms for a, b in _pairs(results, workload, 1, one, other)]
    return median(found) if found else None


def marks(results: Results) -> Iterator[Mark]:
    for workload, least, goal in (("tiny", 1.6, 2), ("wide", 1.4, 1.6)):
        at_32 = _At32(results, workload)
        yield at_32.mark(ROUNDHOUSE, MOSEC, least, goal)
        yield at_32.p99_mark(ROUNDHOUSE, MOSEC, 1.2)
        yield at_32.mark(ROUNDHOUSE, LITSERVE, 5)
        yield at_32.mark(ROUNDHOUSE, MLSERVER, 5)
        yield at_32.mark(VIEW, MOSEC, 0.35)
        yield at_32.mark(OIP_JSON_ROW, ROUNDHOUSE, 0.9)
        yield at_32.mark(OIP_BINARY_ROW, ROUNDHOUSE, 1)
        for connections in MANY_CONNECTIONS:
            missed = not_answered(results, workload, connections, ROUNDHOUSE)
            yield Mark(
                f"{workload}, {connections:,} connections: answers that were not 200", missed, at_most=0
            )
        share = p50_against_best(results, workload, ROUNDHOUSE, PEERS)
        yield Mark(f"{workload}, 1 connection: p50 of {ROUNDHOUSE} / best peer", share, at_most=0.25)
    yield _At32(results, "tiny").mark(GRPC_ROW, ROUNDHOUSE, 0.8)
    yield _At32(results, "tiny").mark(THROUGH_WORKERS, LITSERVE, 1.25, 2)
    more_ms = p50_above(results, "tiny", THROUGH_WORKERS, ROUNDHOUSE)
    yield Mark(f"tiny, 1 connection: p50 of {THROUGH_WORKERS} - {ROUNDHOUSE}, ms", more_ms, at_most=2)
    for workload in ("wide", "image"):
        yield _At32(results, workload).mark(OIP_BINARY_ROW, OIP_JSON_ROW, 1)


@dataclass(frozen=True)
class _At32:
    results: Results
    workload: str

    def mark(self, one: str, other: str, least: float, goal: float | None = None) -> Mark:
        value = ratio(self.results, self.workload, 32, one, other)
        return Mark(f"{self.workload}, 32 connections: {one} / {other}", value, at_least=least, goal=goal)

    def p99_mark(self, one: str, other: str, most: float) -> Mark:
        value = p99_ratio(self.results, self.workload, 32, one, other)
        return Mark(f"{self.workload}, 32 connections: p99 of {one} / {other}", value, at_most=most)
