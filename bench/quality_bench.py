"""How well the statistics of quality hold: `python -m bench.quality_bench [--runs 500]`.

Coverage of the intervals, and who is flagged as careless, in simulated worlds in which the truth is known. Exits with 1 if a
mark is missed.
"""

import argparse
import math
import statistics
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "platform")]

from bench.engine_bench import mark, missed  # noqa: E402
from moderation.quality.careless_reviewers import assess_reviewers  # noqa: E402
from moderation.quality.estimates import (  # noqa: E402
    Estimate,
    estimate_precision,
    estimate_prevalence,
    estimate_recall,
)
from tests.support.quality_simulations import WORLDS, double_reviews  # noqa: E402

TEAMS = {
    "8, none careless": [0.05] * 8,
    "8, one careless": [0.3] + [0.05] * 7,
    "4, one careless": [0.3] + [0.05] * 3,
    "10, two careless": [0.3] * 2 + [0.05] * 8,
    "2, one careless": [0.3, 0.05],
}
CAREER = 300


def coverage(name: str, estimates: list[Estimate], truth: float) -> None:
    covered = 100 * statistics.fmean(one.low <= truth <= one.high for one in estimates)
    width = statistics.median(one.high - one.low for one in estimates)
    mark(f"{name} of {truth:.3f}, median width {width:.3f}", covered, "% covered", at_least=93)


def intervals(runs: int) -> None:
    for name, world in WORLDS.items():
        samples = list(world.samples(np.random.default_rng(1), runs))
        found = statistics.fmean(int(audited.violates.sum()) for _, audited in samples)
        print(
            f"{name}: {found:.1f} violations in {statistics.fmean(one.audited.count for one in samples):.0f} audits"
        )
        coverage("precision", [estimate_precision(one.flagged) for one in samples], world.precision)
        coverage("recall", [estimate_recall(*one) for one in samples], world.recall)
        coverage("prevalence", [estimate_prevalence(one.audited) for one in samples], world.true_prevalence)


def careless(teams: int) -> None:
    rng = np.random.default_rng(1)
    for third_verdicts in (0.0, 0.3, 1.0):
        for name, rates in TEAMS.items():
            caught: list[float] = []
            falsely: list[float] = []
            for _ in range(teams):
                reviews = double_reviews(rng, rates, CAREER, third_verdicts=third_verdicts)
                for reviewer, record in assess_reviewers(reviews).items():
                    (falsely if rates[reviewer] <= 0.05 else caught).append(record.flagged_at or math.inf)
            print(f"team of {name}; third verdicts about {third_verdicts:.0%} of disagreements")
            if caught:
                within = 100 * statistics.fmean(one <= 60 for one in caught)
                told = f"careless flagged within 60 (median {statistics.median(caught):.0f})"
                if len(rates) > 2:
                    mark(told, within, "%", at_least=90)
                else:
                    print(f"  {told}: {within:.0f} %")
            flagged = 100 * statistics.fmean(one <= CAREER for one in falsely)
            mark(f"honest flagged within {CAREER}, of {len(falsely)}", flagged, "%", at_most=5)


def main() -> int:
    parser = argparse.ArgumentParser("python -m bench.quality_bench", description=__doc__)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--teams", type=int, default=50)
    options = parser.parse_args()
    intervals(options.runs)
    careless(options.teams)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
