"""Compares what a client wrote down with what the ledger says, and with what workers logged; needs no database.

A client that got its answer, and nothing else, decides what must be there. All that is wrong comes back as sentences.
"""

import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Sent:
    """What the client knows of a job: what it asked, and whether it was told that the job is accepted."""

    value: float
    rows: int
    acked: bool = False


@dataclass
class Chunk:
    """A row of the ledger's table; `results` are its result rows, None where there are none."""

    pk: int
    job: str
    index: int
    status: str
    attempt: int
    rows: int
    results: list[dict] | None = None


@dataclass
class Job:
    id: str
    status: str
    rows_total: int
    rows_done: int
    chunks: list[Chunk] = field(default_factory=list)


def read_client_log(path: Path) -> dict[str, Sent]:
    """One JSON object a line: what was about to be sent, and later that it was acknowledged."""
    sent: dict[str, Sent] = {}
    for line in path.read_text().splitlines():
        said = json.loads(line)
        if said["did"] == "send":
            sent[said["job"]] = Sent(said["value"], said["rows"])
        else:
            sent[said["job"]].acked = True
    return sent


def read_worker_logs(paths) -> list[dict]:
    """The lines that speak of chunks; a line that a kill cut off says nothing."""
    found = []
    for path in paths:
        for line in path.read_text(errors="replace").splitlines():
            try:
                said = json.loads(line)
            except json.JSONDecodeError:
                continue
            if isinstance(said, dict) and "chunk" in said:
                found.append(said)
    return found


def problems(sent: dict[str, Sent], jobs: list[Job], said: list[dict], *, dead_jobs=frozenset()) -> list[str]:
    """Everything that breaks a promise. `dead_jobs` are those that were made to kill their workers."""
    return [
        *_lost(sent, jobs, dead_jobs),
        *(wrong for job in jobs for wrong in _of_job(job, sent.get(job.id))),
        *_of_attempts(jobs, said),
    ]


def _lost(sent, jobs, dead_jobs):
    known = {job.id: job for job in jobs}
    for job_id, asked in sent.items():
        job = known.get(job_id)
        if job is None:
            if asked.acked:
                yield f"{job_id} was acknowledged and is not there"
        elif asked.acked or job.status != "queued":
            wanted = "failed" if job_id in dead_jobs else "done"
            if job.status != wanted:
                yield f"{job_id} is {job.status}, not {wanted}"
    for job_id in known.keys() - sent.keys():
        yield f"{job_id} is there and nobody sent it"


def _of_job(job, asked):
    done = [chunk for chunk in job.chunks if chunk.status == "done"]
    answered = sum(len(chunk.results or ()) for chunk in done)
    if answered != job.rows_done:
        yield f"{job.id} counts {job.rows_done} rows, and has {answered} results"
    for chunk in job.chunks:
        if chunk.status != "done" and chunk.results is not None:
            yield f"chunk {chunk.pk} is {chunk.status} and has results"
    if job.status != "done" or asked is None:
        return
    results = [row for chunk in sorted(done, key=lambda chunk: chunk.index) for row in chunk.results or ()]
    ids = [row["row"] for row in results]
    if ids != list(range(1, asked.rows + 1)):
        yield f"{job.id} has results for rows {ids[:10]}…, not each of {asked.rows} once"
    if any(_answer(row) != 2 * asked.value for row in results):
        yield f"{job.id} has an answer that is not its own"


def _answer(row):
    """What the Model `double` says, or the kind of job that counts characters."""
    return row["length"] if "length" in row else row["y"][0]


def _of_attempts(jobs, said):
    chunks = {chunk.pk: chunk for job in jobs for chunk in job.chunks}
    taken, done = defaultdict(list), Counter()
    for line in said:
        pk, attempt = line["chunk"], line.get("attempt", 0)
        if line["event"] == "chunk taken":
            taken[pk].append(attempt)
        elif line["event"] == "chunk done":
            done[pk] += 1
            if pk in chunks and chunks[pk].status == "done" and attempt != chunks[pk].attempt:
                yield f"chunk {pk} was written by attempt {attempt}, and stands at {chunks[pk].attempt}"
    for pk, attempts in taken.items():
        if len(set(attempts)) != len(attempts):
            yield f"chunk {pk} was taken twice under one attempt: {sorted(attempts)}"
        if pk in chunks and max(attempts) > chunks[pk].attempt:
            yield f"chunk {pk} stands at attempt {chunks[pk].attempt} after {max(attempts)}"
    for pk, times in done.items():
        if times > 1:
            yield f"chunk {pk} was written {times} times"
