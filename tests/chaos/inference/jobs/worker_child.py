"""A worker as the product starts it, with what a test takes away or makes deadly."""

import os
import signal
import sys
import time

import django
import structlog

django.setup()
log = structlog.get_logger("roundhouse.jobs")

from inference.engine.onnx_session import OnnxSession  # noqa: E402 (needs the apps loaded)
from inference.jobs.running import runner, work  # noqa: E402
from inference.jobs.services import ledger  # noqa: E402
from roundhouse import command_lines  # noqa: E402
from tests.chaos.inference.jobs.installation import DEATH  # noqa: E402
from tests.support.lengths import lengths_installed  # noqa: E402

SLOW_S = 1.0  # between an answer and its writing: long enough to be killed or stopped there
CHANGES = set(sys.argv[1:])

runner.step_back = lambda: None  # beside other tests its jobs would come last

if "without-sweeper" in CHANGES:
    ledger.free_expired = lambda: 0

if "without-fencing" in CHANGES:
    ledger._held = lambda claim: ledger.Chunk.objects.filter(pk=claim.chunk_id)

if "slow" in CHANGES:
    answer = work.answer_chunk

    def answer_slowly(held):
        results = answer(held)
        log.info("chunk answered", chunk=held.claim.chunk_id)
        time.sleep(SLOW_S)
        return results

    work.answer_chunk = answer_slowly

if "lengths" in CHANGES:
    lengths = lengths_installed()
    lengths.__enter__()

if "deadly" in CHANGES:
    run = OnnxSession.run

    def run_or_die(self, inputs, *arguments, **options):
        if any((tensor == DEATH).any() for tensor in inputs.values()):
            os.kill(os.getpid(), signal.SIGKILL)
        return run(self, inputs, *arguments, **options)

    OnnxSession.run = run_or_die

command_lines.set_temporary_folder()
sys.argv = command_lines.worker()

from celery.__main__ import main  # noqa: E402

main()
