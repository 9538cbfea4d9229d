"""100,000 short texts as a job of moderation: `python -m bench.moderation_jobs [--rows 100000] [--database postgresql://…]`.

Compared with what the same three Models do with the same texts in batches, with nothing around them. Rows go to SQLite, or to a
new database of the server that `--database` names. Exits with 1 if the mark is missed. Set ROUNDHOUSE_JOB_NICENESS=0 on a
machine that does other work, too.
"""

import argparse
import os
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import orjson

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "platform")]

from bench.engine_bench import mark, missed  # noqa: E402

DETECTORS = ("abuse", "names", "tone")
BATCH = 256
POLICY = {
    "rules": [
        {"name": "abuse", "kind": "detector", "detector": "abuse", "labels": ["toxic"], "code": "toxic_language",
         "review": 0.5, "block": 0.7},
        {"name": "names", "kind": "detector", "detector": "names", "labels": ["PER", "ID"], "code": "sensitive_info",
         "note": 0.5},
        {"name": "tone", "kind": "detector", "detector": "tone", "labels": ["negative"], "code": "rude", "note": 0.9},
        {"name": "spam", "kind": "words", "entries": ["free casino", "cheap followers"], "code": "spam",
         "effect": "review"},
    ]
}  # fmt: skip
PIECES = (
    "the parcel arrived on Tuesday", "could you send it again", "what a lovely evening", "I asked Anna Miller about it",
    "my order is late", "the colour is not the one I chose", "see you at the station", "thanks for the quick answer",
    "it works now", "the second one was better", "nobody told me", "is there a larger size",
)  # fmt: skip
RUDE = ("you are an idiot", "get lost loser", "what a pathetic moron", "free casino tonight")
RUDE_SHARE = 0.05


def texts(count: int) -> Iterator[str]:
    """Comments of two or three pieces, one of twenty of them rude."""
    dice = random.Random(5)
    for _ in range(count):
        pieces = dice.choices(PIECES, k=dice.randint(1, 2))
        pieces.append(dice.choice(RUDE if dice.random() < RUDE_SHARE else PIECES))
        yield ", ".join(pieces)


@contextmanager
def installed(database: str | None) -> Iterator[None]:
    """A Roundhouse in this process, with the three Models, a policy and the parts of a worker."""
    with ExitStack() as stack:
        environ = {
            "ROUNDHOUSE_DATA": stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-moderation-"))
        }
        if database is not None:
            from tests.support.private import a_database

            environ["ROUNDHOUSE_DATABASE_URL"] = stack.enter_context(a_database(database))
        os.environ |= {
            **environ,
            "DJANGO_SETTINGS_MODULE": "roundhouse.settings",
            "ROUNDHOUSE_LOG_LEVEL": "warning",
        }
        import django

        django.setup()
        from django.core.management import call_command
        from django.db import connections

        from inference.serving import runtime
        from moderation.deciding import process
        from tests.support.detectors import a_policy
        from tests.support.live_models import put_example

        call_command("migrate", verbosity=0)
        stack.callback(connections.close_all)
        for name in DETECTORS:
            put_example(name)
        a_policy(POLICY)
        runtime.start_in_worker()
        stack.callback(runtime.stop)
        process.start()
        stack.callback(process.stop)
        yield


def timed(work: Callable[[], Any]) -> tuple[float, float]:
    """Seconds, and seconds of this process's CPU time, which other processes hardly change."""
    began, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - began, time.process_time() - cpu


def in_batches(name: str, comments: list[str], threads: int) -> None:
    """What a Model says to all of them, as the rows of a job are asked, in as many threads as a worker has for jobs."""
    from inference.engine.combiner import Priority
    from inference.engine.loop import complete
    from inference.engine.requests import EngineRequest
    from inference.serving import runtime
    from inference.serving.pipelines import answer_items
    from registry.catalogue.models import Version

    started = runtime.started()
    target = started.target(Version.objects.get(model__slug=name).pk)
    assert target is not None
    pipeline: Any = complete(started.pipeline(target))
    most_rows = started.executor.merged_rows(target)
    batches = iter([comments[at : at + BATCH] for at in range(0, len(comments), BATCH)])

    async def run(inputs: Any, outputs: Any) -> Any:
        ends_at = time.monotonic() + 60
        return complete(started.infer(target, EngineRequest(inputs, ends_at, Priority.BULK, outputs=outputs)))

    def work() -> None:
        for batch in batches:
            body = {pipeline.several: batch}
            complete(answer_items(pipeline, body, run, most_rows=most_rows, hold=lambda nbytes: None))

    together = [threading.Thread(target=work) for _ in range(threads)]
    for thread in together:
        thread.start()
    for thread in together:
        thread.join()


def as_job(comments: list[str]) -> None:
    """From the job's acceptance to its last result, with every decision written."""
    from django.conf import settings

    from inference.jobs import files, services
    from inference.jobs.kinds import SubmittedJob
    from inference.jobs.models import Format, InputSource
    from inference.jobs.running.runner import JobRunner
    from inference.jobs.transitions import ENDED
    from moderation.deciding import process
    from registry.access.policies import command_actor

    ref, size, _ = files.save_input(orjson.dumps({"text": text}) + b"\n" for text in comments)
    submitted = SubmittedJob(
        kind="moderation", source=InputSource.FILE, input_ref=ref, input_bytes=size, input_format=Format.JSONL
    )
    job = services.accept(submitted, by=command_actor("bench"), principal=None)
    runner = JobRunner(pool=None, threads=settings.JOB_THREADS, niceness=None)
    runner.start()
    try:
        while job.status not in ENDED:
            time.sleep(0.1)
            job.refresh_from_db()
    finally:
        runner.stop()
    while process.started().writer.write():
        pass
    assert (job.status, job.rows_done) == ("done", len(comments)), (job.status, job.failure)


def job(rows: int, repeats: int) -> None:
    from django.conf import settings
    from django.db import connection

    from roundhouse.process import freeze_heap

    threads = settings.JOB_THREADS
    print(
        f"job: {rows:,} short texts, {', '.join(DETECTORS)}, {threads} threads, {connection.vendor}",
        flush=True,
    )
    comments = list(texts(rows))
    for name in DETECTORS:
        in_batches(name, comments[:2_000], threads)
    as_job(comments[:2_000])
    freeze_heap()  # as a worker does
    for turn in range(repeats):
        bare = [timed(lambda name=name: in_batches(name, comments, threads)) for name in DETECTORS]  # type: ignore[misc]
        seconds, cpu = (sum(values) for values in zip(*bare, strict=True))
        job_seconds, job_cpu = timed(lambda: as_job(comments))
        print(
            f"  {turn + 1}: bare {rows / seconds:,.0f} texts/s ({1e6 * cpu / rows:.0f} us of CPU each), as a job"
            f" {rows / job_seconds:,.0f} texts/s ({1e6 * job_cpu / rows:.0f} us of CPU each)",
            flush=True,
        )
        mark("as a job", seconds / job_seconds, "x the bare rate", at_least=0.7)


def main() -> None:
    parser = argparse.ArgumentParser("python -m bench.moderation_jobs", description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--database", help="address of a PostgreSQL server's database")
    asked = parser.parse_args()
    with installed(asked.database):
        job(asked.rows, asked.repeats)
    sys.exit(bool(missed))


if __name__ == "__main__":
    main()
