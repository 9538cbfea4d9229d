"""The product's web process with a slow model: a pause for every four rows, then the real run.

A pause, not a computation: on a small machine the model would take the processor from the refusals and from
the load, and the benchmark would measure that instead.
"""

import os
import time
from dataclasses import replace
from math import ceil

import django

from inference.engine import onnx_backend

PAUSE_S = float(os.environ["BENCH_PAUSE_S"])
ROWS = 4


class SlowSession:
    def __init__(self, session) -> None:
        self._session = session

    def run(self, inputs, outputs=None, *, soft_limit_s=None):
        rows = len(next(iter(inputs.values())))
        time.sleep(PAUSE_S * ceil(rows / ROWS))
        return self._session.run(inputs, outputs, soft_limit_s=soft_limit_s)

    def __getattr__(self, name: str):
        return getattr(self._session, name)


class SlowBackend(onnx_backend.OnnxBackend):
    def load(self, path, options):
        return SlowSession(super().load(path, options))


onnx_backend.OnnxBackend = SlowBackend  # before the runtime imports it
django.setup(set_prefix=False)

from inference.serving import plans  # noqa: E402 - needs the apps loaded

_plan_for = plans.plan_for


def _small_batches(*arguments, **named):
    plan = _plan_for(*arguments, **named)
    return replace(plan, order=replace(plan.order, max_batch=ROWS))


plans.plan_for = _small_batches

from roundhouse.web import application  # noqa: E402, F401 - loads the models, now slow
