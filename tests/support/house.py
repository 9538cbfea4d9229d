"""Jobs in the test's own process: a Model that a fake engine answers for, and a worker's threads around it."""

import itertools
import json
from contextlib import contextmanager

from django.conf import settings

from inference.engine.fake import FakeBackend, FakeModel
from inference.jobs import selectors, services
from inference.jobs.models import Job
from inference.jobs.running.runner import JobRunner
from inference.jobs.services import SubmittedJob
from inference.jobs.transitions import ENDED
from inference.serving import runtime as runtime_module
from inference.serving.runtime import Runtime
from inference.serving.stewards.steward import no_models
from registry.catalogue import artifacts
from tests.support.factories import a_model, a_split, a_version, an_actor
from tests.support.processes import wait_until
from tests.support.proofs import PROVEN_ROWS, record_proof

_files = itertools.count(1)


class Engine:
    """Answers twice its input; `model` of a version may be told to do worse."""

    def __init__(self):
        self.backend = FakeBackend()
        self.runtime = Runtime(self.backend, wanted=no_models)

    def a_live_version(self, model=None, fake=None, proven_rows=PROVEN_ROWS):
        """A version with a file that is there, proved for this engine, and on the current split."""
        file = artifacts.store(iter([b"file %d" % next(_files)]))
        version = a_version(model or a_model(), file=file)
        record_proof(file.sha256, rows=proven_rows)
        self.backend.models[artifacts.path_of(file.sha256).name] = fake or FakeModel()
        a_split(version.model, 100, versions=[version])
        return version


@contextmanager
def an_engine():
    engine = Engine()
    engine.runtime.start()
    runtime_module._runtime, before = engine.runtime, runtime_module._runtime
    try:
        yield engine
    finally:
        runtime_module._runtime = before
        engine.runtime.stop()


@contextmanager
def a_runner(threads=1):
    runner = JobRunner(pool=None, threads=threads, niceness=None)
    runner.start()
    try:
        yield runner
    finally:
        runner.stop(timeout_s=10)


def rows_of(*values):
    return [{"x": [value, 0.0, 0.0, 0.0]} for value in values]


def order(version, /, *values, by=None, **more):
    """Accept a job with a row for each value."""
    more.setdefault("rows", rows_of(*values))
    return services.accept(
        SubmittedJob(model=version.model.slug, **more), by=by or an_actor(), principal=None
    )


def ended(job, within_s=20):
    def is_over():
        job.refresh_from_db()
        return job.status in ENDED

    wait_until(is_over, within_s=within_s, what="the job's end")
    return job


def work_off(job, threads=1):
    """Have a worker do the job, and give it as it ended."""
    with a_runner(threads):
        return ended(job)


def results(job):
    return [json.loads(line) for line in b"".join(selectors.results_of(job)).splitlines()]


def answers(job):
    """The first value of each result, by row."""
    return {row["row"]: row["y"][0] for row in results(job)}


def errors(job):
    return [json.loads(line) for line in b"".join(selectors.errors_of(job)).splitlines()]


def chunk_statuses(job: Job):
    return [chunk.status for chunk in selectors.chunks_of(job)]


def folder_of(job):
    return settings.DATA_DIR / "jobs" / str(job.pk)
