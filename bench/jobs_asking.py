"""Sends, tells of and cancels the jobs of a bench, inside the installation.

`python -m bench.jobs_asking` reads lines of a verb and a number of rows, and answers each by a line of JSON.
"""

import json
import sys
from collections.abc import Iterator

import django

django.setup()

import numpy as np  # noqa: E402 (needs the apps loaded, as all below)

from inference.jobs import files, selectors, services  # noqa: E402
from inference.jobs.models import Format, InputSource, Job  # noqa: E402
from inference.jobs.services import SubmittedJob  # noqa: E402
from registry.access.policies import command_actor  # noqa: E402

COLUMNS, BAD = 10, 10
NAMES = [f"c{place}" for place in range(COLUMNS)]
BY = command_actor("bench")


def csv_of(rows: int) -> Iterator[bytes]:
    random, bad = np.random.default_rng(3), {rows * place // BAD + 5 for place in range(BAD)}
    yield (",".join(["id", *NAMES]) + "\n").encode()
    for start in range(0, rows, 10_000):
        block = random.random((min(10_000, rows - start), COLUMNS)).round(5)
        lines = [",".join([f"r{start + place}", *map(str, row)]) for place, row in enumerate(block.tolist())]
        for number in bad & set(range(start, start + len(lines))):
            lines[number - start] = f"r{number},not a number" + ",0" * (COLUMNS - 1)
        yield ("\n".join(lines) + "\n").encode()


def send(rows: int) -> None:
    contract = {"id": "id", "columns": {"x": NAMES}, "on_row_error": "skip"}
    order = SubmittedJob(
        model="heavy", input_ref=files.save_input(csv_of(rows)).ref, source=InputSource.FILE, input_format=Format.CSV,
        contract=contract,
    )  # fmt: skip
    services.accept(order, by=BY, principal=None)


def tell(_: int) -> dict[str, object]:
    """Of the newest job."""
    job = Job.objects.latest("created_at")
    seconds = (job.ended_at - job.started_at).total_seconds() if job.ended_at and job.started_at else 0.0
    lines = sum(piece.count(b"\n") for piece in selectors.results_of(job)) if job.status == "done" else 0
    return {
        "status": job.status, "rows_done": job.rows_done, "rows_bad": job.rows_bad, "seconds": seconds,
        "fraction": selectors.progress_of(job).fraction if job.is_planned else 0.0, "lines": lines,
        "lost": sum(job.chunks.values_list("leases_lost", flat=True)),
    }  # fmt: skip


def cancel(_: int) -> None:
    for job in Job.objects.filter(status__in=["queued", "running"]):
        services.cancel(job=job, by=BY)


VERBS = {"send": send, "tell": tell, "cancel": cancel}
for line in sys.stdin:
    verb, number = line.split()
    print(json.dumps(VERBS[verb](int(number))), flush=True)
