"""Prints the ledger's table as JSON."""

import json
import sys
from collections import defaultdict

import django

django.setup()

from inference.jobs.models import Chunk, Job  # noqa: E402 (needs the apps loaded)

chunks = defaultdict(list)
for chunk in Chunk.objects.filter(is_plan=False).order_by("index").iterator():
    lines = None if chunk.results is None else [json.loads(line) for line in chunk.results.splitlines()]
    chunks[chunk.job_id].append({
        "pk": chunk.pk, "job": str(chunk.job_id), "index": chunk.index, "status": chunk.status,
        "attempt": chunk.attempt, "rows": chunk.rows, "results": lines,
    })  # fmt: skip
told = [
    {
        "id": str(job.pk), "status": job.status, "rows_total": job.rows_total, "rows_done": job.rows_done,
        "chunks": chunks[job.pk],
    }
    for job in Job.objects.all()
]  # fmt: skip
sys.stdout.write(json.dumps(told))
