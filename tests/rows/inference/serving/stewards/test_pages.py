"""The page Workers, the panel of a waiting split, and the API: who sees what."""

import re

import pytest
from django.urls import reverse

from inference.serving.models import EngineReport
from registry.access.policies import Role
from tests.support.engines import CPU, CUDA, an_engine, holding, silence, station_of
from tests.support.factories import a_key, a_model, a_person, a_split, a_version

pytestmark = pytest.mark.django_db
PAGE = "/admin/inference/enginereport/"


@pytest.fixture
def viewer(client):
    client.force_login(a_person(Role.VIEWER))
    return client


def text(response) -> str:
    assert response.status_code == 200
    return " ".join(response.content.decode().split())


def test_without_processes_the_page_says_how_to_start_one(viewer):
    assert "manage.py worker" in text(viewer.get(PAGE))


def test_a_viewer_sees_what_every_process_holds(viewer):
    version = a_version(a_model("fruit"))
    an_engine(version)
    an_engine(holding(version, state="loading"))
    an_engine(holding(version, state="failed", reason="It did not fit."))

    shown = text(viewer.get(PAGE))

    assert "3 processes running" in shown
    assert shown.count("fruit 1</a>") == 3
    assert "fruit 1: It did not fit." in shown
    assert "No worker is running." in shown


def test_a_worker_shows_its_pool_and_its_queues(viewer):
    an_engine(kind="worker", role="on_demand", pool="infer")

    shown = text(viewer.get(PAGE))

    assert "pool infer" in shown
    assert re.search(r"\d in its queues", shown)
    assert "No worker is running." not in shown


def test_a_lost_process_is_shown_as_lost(viewer):
    silence(an_engine())

    assert "0 processes running, 1 lost" in text(viewer.get(PAGE))


def test_the_cpu_instead_of_cuda_is_a_warning(viewer):
    engine = an_engine(holding(a_version(), asked=CUDA, got=CPU))
    EngineReport.objects.filter(pk=engine.pk).update(provider_asked=CUDA)

    assert "! CUDA → CPU" in text(viewer.get(PAGE))


def test_the_list_moves_without_the_page(viewer):
    engine = an_engine()
    assert "none</span>" in viewer.get(f"{PAGE}moving/").json()["html"]

    an_engine(a_version(a_model("fruit")), station=station_of(engine))

    told = viewer.get(f"{PAGE}moving/").json()
    assert "fruit 1" in told["html"]
    assert told["is_open"]


def test_who_is_limited_to_some_models_learns_no_names_of_others(client):
    mine, other = a_version(a_model("mine")), a_version(a_model("secret"))
    an_engine(mine, other)
    client.force_login(a_person(Role.VIEWER, models=[mine.model_id]))

    shown = text(client.get(PAGE))

    assert "mine 1" in shown
    assert "secret" not in shown
    assert "1 more, of Models that you cannot see" in shown


def test_the_api_tells_the_same(client):
    mine, other = a_version(a_model("mine")), a_version(a_model("secret"))
    engine = an_engine(mine, other)
    _key, key_text = a_key("registry.read", models=[mine.model_id])

    answer = client.get("/api/v1/engines", headers={"Authorization": f"Bearer {key_text}"})

    (told,) = answer.json()["results"]
    assert (told["id"], told["is_alive"], told["others"]) == (engine.pk, True, 1)
    assert [(one["model"], one["version"], one["state"]) for one in told["versions"]] == [("mine", 1, "warm")]
    assert "secret" not in answer.content.decode()


def test_a_models_page_counts_down_what_its_split_waits_for(viewer):
    version = a_version(a_model("fruit"))
    engine = an_engine()
    a_split(version.model, 100)
    page = reverse("admin:registry_model_change", args=[version.model_id])

    shown = text(viewer.get(page))
    assert "Split 1 is waiting" in shown
    assert "0 of 1 engine is warm" in shown

    told = viewer.get(reverse("admin:registry_model_waiting", args=[version.model_id])).json()
    assert told["is_open"]
    assert "expires in <b" in told["html"]

    an_engine(version, station=station_of(engine))
    a_split(version.model, 100)
    assert not viewer.get(reverse("admin:registry_model_waiting", args=[version.model_id])).json()["is_open"]
    assert "is waiting" not in text(viewer.get(page)).partition("rh-versions")[0].partition("Split 1")[2]


def test_the_api_says_what_a_split_waits_for(client):
    model = a_model("fruit")
    version = a_version(model)
    an_engine()
    _key, key_text = a_key()
    body = {"arms": [{"version": version.number, "share": 10_000}], "reason": "x"}

    made = client.post(
        "/api/v1/models/fruit/splits",
        body,
        content_type="application/json",
        headers={"Authorization": f"Bearer {key_text}"},
    ).json()

    assert made["status"] == "waiting"
    assert made["waiting"]["told"].startswith("waiting: 0 of 1 engine is warm, gives up in 4:5")
    assert 290 < made["waiting"]["gives_up_in_s"] <= 300
