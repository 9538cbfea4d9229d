"""What the home page says about processes that need somebody."""

import pytest

from inference.serving.models import EngineReport
from inference.serving.stewards.attention import troubled_processes
from registry.kit.admin.attention import Severity
from tests.support.engines import CPU, CUDA, an_engine, holding, silence
from tests.support.factories import a_live_model, a_model, a_version, an_actor

pytestmark = pytest.mark.django_db


def a_worker(*held, **about):
    return an_engine(*held, **{"kind": "worker", "role": "on_demand", "pool": "infer", **about})


def sentences(**reach):
    return [item.sentence for item in troubled_processes(an_actor(**reach))]


def test_nothing_is_said_where_all_are_well():
    a_worker(a_version())
    an_engine(a_version())

    assert sentences() == []


def test_a_missing_worker_is_said_with_what_it_means(settings):
    gone = a_worker()
    silence(gone)

    missing, lost = troubled_processes(an_actor())

    assert missing.sentence == (
        "No worker is running: predictions still work, but jobs, checks and messages to subscribers wait."
    )
    assert missing.severity is Severity.WARNING
    assert "manage.py worker" in missing.notes[0]
    assert missing.since == EngineReport.objects.get().seen_at
    assert "is lost" in lost.sentence
    settings.EXECUTOR = "workers"
    assert troubled_processes(an_actor())[0].severity is Severity.CRITICAL


def test_each_trouble_is_named():
    version = a_version(a_model("fruit"))
    a_worker()
    silence(an_engine())
    for _ in range(2):
        an_engine(holding(version, state="failed", reason="It did not fit."))
    EngineReport.objects.filter(pk=an_engine().pk).update(provider_asked=CUDA, provider_got=CPU)
    EngineReport.objects.filter(pk=an_engine().pk).update(state="draining")

    said = sentences()

    for trouble in (
        "went silent without signing off",
        "2 processes could not load fruit 1: It did not fit.",
        "runs on CPU but should run on CUDA",
        "accepts no more",
    ):
        assert sum(trouble in sentence for sentence in said) == 1
    assert len(said) == 4


def test_trouble_with_models_out_of_reach_is_not_told():
    mine, secret = a_version(a_model("mine")), a_version(a_model("secret"))
    a_worker()
    an_engine(holding(secret, state="failed", reason="It did not fit."))

    assert sentences(models=frozenset({mine.model_id})) == []
    assert len(sentences(models=frozenset({secret.model_id}))) == 1


def test_a_pool_of_live_models_without_a_worker_is_named(settings):
    a_live_model(100)
    lonely = a_live_model(100)
    a_worker(role="serves", pool="infer")
    settings.EXECUTOR = "workers"
    type(lonely).objects.filter(pk=lonely.pk).update(pool="gpu")

    assert sentences() == ["No worker serves the pool gpu: predictions of 1 Model fail."]
    settings.EXECUTOR = "inprocess"
    assert sentences() == []


def test_without_the_right_to_read_nothing_is_told():
    silence(an_engine())

    assert troubled_processes(an_actor("predict")) == []
    assert len(troubled_processes(an_actor("read_registry"))) == 2
