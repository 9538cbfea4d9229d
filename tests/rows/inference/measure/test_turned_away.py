"""What was turned away: by code, on pages and over the API."""

from datetime import timedelta
from importlib import import_module

import pytest
from django.apps import apps
from django.urls import reverse
from django.utils import timezone

from inference.doors.errors import UnsupportedBody
from inference.doors.request_counts import code_of
from inference.measure import compaction, selectors
from inference.measure.counts import NO_VERSION, Counts
from inference.measure.models import ArmMinute
from inference.measure.turned_away import meaning_of, turned_away
from inference.tensors.errors import InferenceError, RequestTooLarge
from registry.access.policies import Role
from roundhouse.problems import known_errors
from tests.support.clients import client_with
from tests.support.factories import a_live_model, a_model, a_person

pytestmark = pytest.mark.django_db
END = timezone.now().replace(minute=30, second=0, microsecond=0)


@pytest.fixture(autouse=True)
def half_past(monkeypatch):
    monkeypatch.setattr(selectors.timezone, "now", lambda: END + timedelta(seconds=30))


def count(model, *, ago=1, ok=0, errors=0, refused=0, version=None, process="one", **codes):
    return ArmMinute.objects.create(
        minute=END - timedelta(minutes=ago), process=process, model_id=model.pk, split=1,
        arm="A" if version else "", version_id=version.pk if version else NO_VERSION, ok=ok, errors=errors,
        refused=refused, seconds=0.0, buckets={"40": ok} if ok else {}, codes=codes,
    )  # fmt: skip


@pytest.fixture
def stopped():
    """A Model with 600 answers, 600 requests that a stop refused, and 12 invalid ones."""
    model = a_live_model(100, slug="demand")
    version = model.versions.get()
    count(model, ok=600, refused=12, version=version, ago=3, invalid_input=12)
    for process in ("one", "two"):
        count(model, errors=300, process=process, stopped=300)
    return model


def page(client, row, tab="traffic"):
    client.force_login(a_person(Role.OPERATOR))
    kind = row._meta.model_name
    return client.get(reverse(f"admin:registry_{kind}_change", args=[row.pk]), {"tab": tab}).content.decode()


def words(text):
    return " ".join(text.split())


def test_a_model_page_says_what_was_turned_away_and_why(client, stopped):
    text = words(page(client, stopped))

    assert "612 requests were turned away (50.5 % of all): 600 stopped, 12 invalid_input." in text
    assert '<code>stopped</code></td> <td data-label="Requests">600</td>' in text
    assert '<td data-label="Share of all">49.5 %</td>' in text
    assert "An operator had stopped the Model." in text


def test_a_version_page_says_only_its_own(client, stopped):
    text = words(page(client, stopped.versions.get()))

    assert "12 requests were turned away (2.0 % of all): 12 invalid_input." in text
    assert "<code>stopped</code>" not in text


def test_nothing_is_said_where_nothing_was_turned_away(client):
    model = a_live_model(100)
    count(model, ok=5, version=model.versions.get())

    assert "rh-away" not in page(client, model)


def test_home_says_it_in_the_models_row(client, stopped):
    client.force_login(a_person(Role.OPERATOR))
    text = words(client.get(reverse("admin:index")).content.decode())

    assert "50.0 %</span><small>612 turned away: 600 stopped, 12 with other codes</small>" in text


def test_invalid_requests_alone_are_no_alarm(client):
    model = a_live_model(100)
    count(model, ok=50, refused=50, version=model.versions.get(), invalid_input=50)
    client.force_login(a_person(Role.OPERATOR))

    text = words(client.get(reverse("admin:index")).content.decode())

    assert "0 %<small>50 turned away: invalid_input</small>" in text


def test_the_api_says_the_same(client, stopped):
    figures = client_with("registry.read").get("/api/v1/models/demand/figures").json()

    assert (figures["requests"], figures["answered"]) == (1212, 600)
    assert (figures["server_errors"], figures["caller_errors"]) == (600, 12)
    assert figures["turned_away"]["requests"] == 612
    assert [(code["code"], code["requests"]) for code in figures["turned_away"]["codes"]] == [
        ("stopped", 600),
        ("invalid_input", 12),
    ]
    assert {(arm["arm"], arm["version"]): arm["codes"] for arm in figures["arms"]} == {
        ("", None): {"stopped": 600},
        ("A", 1): {"invalid_input": 12},
    }
    assert figures["p50_ms"] is not None


def test_the_api_covers_the_period_that_was_asked_for(stopped):
    count(stopped, ago=300, errors=7, overloaded=7)
    client = client_with("registry.read")

    def codes(query):
        figures = client.get(f"/api/v1/models/demand/figures{query}").json()
        return {code["code"]: code["requests"] for code in figures["turned_away"]["codes"]}

    assert "overloaded" not in codes("")
    assert codes("?period=day") == {"stopped": 600, "invalid_input": 12, "overloaded": 7}
    assert client.get("/api/v1/models/demand/figures?period=year").status_code == 422


def test_an_idle_model_has_empty_figures():
    a_model("idle")

    figures = client_with("registry.read").get("/api/v1/models/idle/figures").json()

    assert figures["turned_away"] == {"requests": 0, "share": 0.0, "codes": []}
    assert (figures["requests"], figures["p50_ms"], figures["arms"]) == (0, None, [])


def test_a_key_for_other_models_sees_no_figures(stopped):
    client = client_with("registry.read", models=[a_model("other").pk])

    assert client.get("/api/v1/models/demand/figures").status_code == 404


@pytest.mark.both
def test_codes_of_many_models_come_from_one_query(stopped, django_assert_num_queries):
    other, quiet = a_live_model(100), a_live_model(100)
    count(other, errors=2, refused=1, overloaded=2, bad_body=1)
    count(quiet, ok=9, version=quiet.versions.get())
    models = [model.pk for model in (stopped, other, quiet)]

    with django_assert_num_queries(1):
        found = selectors.turned_away_between(models, END - timedelta(hours=1), END)

    assert found == {
        stopped.pk: {"stopped": 600, "invalid_input": 12},
        other.pk: {"overloaded": 2, "bad_body": 1},
    }
    assert selectors.turned_away_between(models, END, END + timedelta(hours=1)) == {}


@pytest.mark.both
def test_merging_keeps_the_codes(stopped, monkeypatch):
    monkeypatch.setattr(compaction.timezone, "now", lambda: END + timedelta(minutes=10))
    before = selectors.turned_away_between([stopped.pk], END - timedelta(hours=1), END)

    compaction.merge_measurements()

    assert not ArmMinute.objects.filter(process__gt="").exists()
    assert selectors.turned_away_between([stopped.pk], END - timedelta(hours=1), END) == before


@pytest.mark.both
def test_older_rows_without_a_version_were_stopped():
    model = a_live_model(100)
    old, answered = count(model, errors=5), count(model, ok=3, errors=1, version=model.versions.get())

    import_module("inference.migrations.0002_turned_away").name_the_stopped(apps, None)

    assert ArmMinute.objects.get(pk=old.pk).codes == {"stopped": 5}
    assert ArmMinute.objects.get(pk=answered.pk).codes == {}


def test_every_code_that_a_caller_can_get_has_a_meaning():
    codes = {kind.code for kind, _ in known_errors()} | {"internal_error", "database_unavailable"}

    assert [code for code in sorted(codes) if not meaning_of(code)] == []
    assert meaning_of("never_heard_of") == ""


def test_a_code_of_several_errors_means_the_one_that_a_prediction_can_get():
    assert "larger than the version accepts" in meaning_of(RequestTooLarge.code)
    assert "The version did not answer" in meaning_of(InferenceError.code)
    assert "media type" in meaning_of(UnsupportedBody.code)


def test_an_error_that_is_not_ours_has_a_code_too():
    assert code_of(ZeroDivisionError()) == "internal_error"


def test_many_codes_are_named_up_to_three():
    counts = Counts(ok=80, errors=20, codes={"stopped": 9, "overloaded": 6, "loading": 3, "stopping": 2})

    away = turned_away([counts])

    assert away.sentence == (
        "20 requests were turned away (20.0 % of all): 9 stopped, 6 overloaded, 3 loading, 2 with other codes"
    )
    assert turned_away([Counts(ok=80)]) is None


def test_one_request_is_one():
    away = turned_away([Counts(ok=1, errors=1, codes={"stopped": 1})])

    assert away.sentence == "1 request was turned away (50.0 % of all): 1 stopped"
