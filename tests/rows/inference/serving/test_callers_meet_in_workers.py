"""The same through workers, and as a job: real files, a real Redis, and whoever else is asking."""

import numpy as np
import pytest
import redis
import uvloop
from django.db import connection

from inference.checks.models import ProbePass
from inference.checks.runner import run_checks
from inference.engine.backends import SessionOptions
from inference.engine.batch_proof import BatchProof
from inference.engine.loop import EngineLoop, complete
from inference.engine.onnx_backend import OnnxBackend
from inference.serving import runtime as runtime_module
from inference.serving.executors.workers import lane
from inference.serving.executors.workers.consumer import BatchConsumer
from inference.serving.executors.workers.executor import WorkersExecutor
from inference.serving.executors.workers.session import WorkersLink as ReplyPost
from inference.serving.models import HeldVersion
from inference.serving.plans import session_options
from inference.serving.runtime import Runtime
from inference.serving.stewards.process import ProcessRole
from registry.catalogue import artifacts
from registry.catalogue.models import Version
from tests.support.batch_models import MIXING, SEPARATE
from tests.support.batchers import a_request
from tests.support.factories import a_model, a_split, an_actor, an_uploaded_version
from tests.support.house import answers, order, work_off
from tests.support.processes import wait_until
from tests.support.wrong_answers import requests, wrong_answers

pytestmark = [pytest.mark.service, pytest.mark.django_db(transaction=True)]
REQUESTS = 200
PATIENCE_S = 60
MISSED = {"new_items"}  # the audit ends these; see test_callers_meet
DAILY = {"rolled", "batch_statistics", "from_33_rows", "dense_softmax", "transformer"}


def daily(models):
    """A few on every run, the others in the long one."""
    return [
        pytest.param(model, id=model.name, marks=[] if model.name in DAILY else [pytest.mark.long])
        for model in models
    ]


class House:
    """A version that its check has proven, a worker that holds it, and a web process's executor."""

    def __init__(self, model, redis_url, monkeypatch, *, proof_is_on=True):
        version = an_uploaded_version(a_model("met"), file=artifacts.store([model.build()]))
        run_checks(version_id=version.pk, options_for=lambda _: session_options(), by=an_actor())
        self.version = Version.objects.get(pk=version.pk)
        if not proof_is_on:
            ProbePass.objects.update(batches=BatchProof(64, "proven", "off", 64).to_json())
        a_split(self.version.model, 100)
        self.worker = Runtime(role=ProcessRole("worker", "serves", "infer", 8))
        self.worker.start()
        monkeypatch.setattr(runtime_module, "_runtime", self.worker)
        wait_until(
            lambda: HeldVersion.objects.filter(state="warm").exists(), within_s=PATIENCE_S, what="it is warm"
        )
        self.consumer = BatchConsumer(redis_url, self.worker, pool="infer", at_once=8).start()
        post = ReplyPost(redis_url, EngineLoop.in_thread(uvloop.new_event_loop))
        wait_until(lambda: post.lane.is_up, within_s=PATIENCE_S, what="the lane is up")
        self.executor = WorkersExecutor(post)
        self.executor.look_after()
        self.target = self.worker.find("met", None).choose()
        self.bare = OnnxBackend().load(artifacts.path_of(version.artifact.sha256), SessionOptions())
        self.model = model

    def close(self):
        self.executor.close(timeout_s=PATIENCE_S)
        self.consumer.stop(PATIENCE_S)
        self.worker.stop()

    def wrong_answers(self, count=REQUESTS):
        def ask(inputs):
            try:
                return complete(
                    self.executor.infer(self.target, a_request(inputs, within_s=PATIENCE_S))
                ).outputs
            finally:
                connection.close()

        return wrong_answers(list(requests(self.model, self.bare, count, 1)), ask)

    def messages(self):
        return self.executor.meters()[self.version.pk]


@pytest.fixture
def house(redis_server, monkeypatch):
    built = []
    monkeypatch.setattr(lane, "_BLOCK_S", 0.1)  # it looks more often whether to stop
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()

    def build(model, **more):
        built.append(House(model, redis_server.url, monkeypatch, **more))
        return built[-1]

    yield build
    for one in built:
        one.close()


@pytest.mark.parametrize("model", daily(model for model in MIXING if model.name not in MISSED))
def test_models_whose_rows_mix_answer_everybody_rightly(house, model):
    met = house(model)

    assert met.wrong_answers() == 0
    assert met.worker.executor.merged_rows(met.target) == met.executor.merged_rows(met.target) == 1


@pytest.mark.parametrize("model", daily(SEPARATE))
def test_models_whose_rows_do_not_mix_share_messages_and_runs(house, model):
    met = house(model)

    assert met.wrong_answers() == 0
    assert met.executor.merged_rows(met.target) == 64
    assert met.messages().batches < REQUESTS  # how many callers meet depends on the machine


def test_with_the_proof_off_callers_get_wrong_answers(house):
    """The negative control."""
    met = house(next(model for model in MIXING if model.name == "rolled"), proof_is_on=False)

    assert met.wrong_answers() > 0


@pytest.mark.parametrize(
    "model",
    daily(model for model in MIXING if model.name in {"rolled", "batch_statistics", "cumulative_sum"}),
)
def test_rows_of_a_job_are_answered_as_by_themselves(house, model):
    met = house(model)
    inputs = model.inputs(np.random.default_rng(2), 60)
    rows = [{name: tensor[at].tolist() for name, tensor in inputs.items()} for at in range(60)]

    job = work_off(order(met.version, rows=rows))

    assert job.status == "done"
    told = answers(job)
    for at in range(60):
        (alone,) = met.bare.run({name: tensor[at : at + 1] for name, tensor in inputs.items()}).values()
        np.testing.assert_allclose(
            np.ravel(told[at + 1]), alone.ravel()[: np.size(told[at + 1])], rtol=1e-4, atol=1e-6
        )
