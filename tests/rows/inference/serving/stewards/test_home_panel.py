"""The home page's panel of processes that need somebody."""

import pytest
from django.urls import reverse

from inference.serving.models import EngineReport
from registry.access.policies import Role
from tests.support.engines import CPU, CUDA, an_engine, holding, silence
from tests.support.factories import a_model, a_person, a_version

pytestmark = pytest.mark.django_db


def panel(client, **person) -> str:
    client.force_login(a_person(Role.VIEWER, **person))
    page = " ".join(client.get(reverse("admin:index")).content.decode().split())
    return page.partition("Workers in trouble")[2].partition("</section>")[0]


def a_worker(*held):
    return an_engine(*held, kind="worker", role="on_demand", pool="infer")


def test_nothing_is_said_where_all_are_well(client):
    a_worker(a_version())
    an_engine(a_version())

    assert panel(client) == ""


def test_a_missing_worker_is_said_with_what_it_means(client):
    an_engine()

    assert "No worker is running." in panel(client)
    assert "manage.py worker" in panel(client)


def test_each_trouble_is_named(client):
    version = a_version(a_model("fruit"))
    a_worker()
    silence(an_engine())
    an_engine(holding(version, state="failed", reason="It did not fit."))
    EngineReport.objects.filter(pk=an_engine().pk).update(provider_asked=CUDA, provider_got=CPU)
    EngineReport.objects.filter(pk=an_engine().pk).update(state="draining")

    said = panel(client)

    for trouble in (
        "without signing off",
        "could not load fruit 1: It did not fit.",
        "runs on CPU but should run on CUDA",
        "accepts no more",
    ):
        assert said.count(trouble) == 1


def test_trouble_with_models_out_of_reach_is_not_told(client):
    mine, secret = a_version(a_model("mine")), a_version(a_model("secret"))
    a_worker()
    an_engine(holding(secret, state="failed", reason="It did not fit."))

    assert panel(client, models=[mine.model_id]) == ""


def test_many_troubled_processes_ask_no_more_queries(client, django_assert_max_num_queries):
    for _ in range(10):
        an_engine(holding(a_version(), state="failed", reason="It did not fit."))
    client.force_login(a_person(Role.VIEWER))

    with django_assert_max_num_queries(20):
        page = client.get(reverse("admin:index")).content.decode()

    assert "and 2 more" in page
