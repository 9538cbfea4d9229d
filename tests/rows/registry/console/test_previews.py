"""Each verb's page shows in numbers what the verb will do."""

from datetime import timedelta

import pytest
from django.urls import reverse

from inference.measure.models import ArmMinute
from inference.measure.selectors import written_until
from registry.access.services import revoke_key
from registry.catalogue.models import Model
from registry.catalogue.services import archive_version
from registry.traffic.readiness import READINESS, Readiness, ReadinessCheck, ReadinessState
from registry.traffic.services import freeze_model, stop_model
from tests.support.factories import a_key, a_live_model, a_model, a_split, a_version, an_actor

pytestmark = pytest.mark.django_db


@pytest.fixture
def model():
    return a_live_model(90, 10, slug="fruit")


@pytest.fixture
def preview(client, operator):
    def ask(verb, row):
        row = type(row).objects.get(pk=row.pk)
        kind = row._meta.model_name
        page = client.get(reverse(f"admin:registry_{kind}_{verb.replace('-', '_')}", args=[row.pk]))
        assert page.status_code == 200
        return " ".join(page.context["form"].preview)

    return ask


def waiting_split(model, *shares):
    with READINESS.changed(engines=ReadinessCheck(lambda _split: Readiness(ReadinessState.WAIT))):
        return a_split(model, *shares)


def measured(model, **counts):
    minute = written_until() - timedelta(minutes=1)
    ArmMinute.objects.create(
        model_id=model.pk, version_id=model.versions.first().pk, split=1, arm="a", minute=minute, process="x",
        **{"ok": 0, "errors": 0, "refused": 0, "seconds": 0.0, "buckets": {}, **counts},
    )  # fmt: skip


@pytest.mark.both
def test_stopping_counts_requests_arms_and_keys(preview, model):
    a_key("predict")
    a_key("predict", models=[model.pk])
    a_key("registry.read")
    a_key("predict", models=[a_model().pk])
    revoke_key(key=a_key("predict")[0], by=an_actor())
    assert "requests per second" not in preview("stop", model)
    measured(model, ok=11_400, errors=77)

    told = preview("stop", model)

    assert "38 requests per second were answered over the last 5 minutes" in told
    assert "Now version 1 answers 90 %, version 2 10 %; both stop." in told
    assert "All 2 API keys that may call it get 503 with your message" in told


def test_starting_shows_the_message_and_what_answers_again(preview, model):
    stop_model(model=model, text="wrong prices", by=an_actor())
    told = preview("start", model)
    assert "tester stopped it just now. Message to callers: wrong prices" in told
    assert "version 1 answers 90 %, version 2 10 % again" in told

    freeze_model(model=model, reason="x", by=an_actor())
    assert "unfreeze it first" in preview("start", model)


def test_freezing_and_unfreezing_name_the_split_that_waits(preview, model):
    waiting_split(model, 50, 50)

    told = preview("freeze", model)
    assert "Version 1 answers 90 %, version 2 10 %. No version can gain share. Split 2 is waiting" in told
    freeze_model(model=model, reason="x", by=an_actor())
    assert "Split 2 is waiting and can become current." in preview("unfreeze", model)
    assert "shares can only be lowered" in preview("split", model)


@pytest.mark.parametrize("verb", ["split", "roll-back"])
def test_a_split_that_waits_is_overtaken(preview, model, verb):
    a_split(model, 80, 20)
    waiting_split(model, 50, 50)

    assert "Split 3 is waiting to become current; this one replaces it." in preview(verb, model)


@pytest.mark.parametrize("verb", ["split", "roll-back"])
def test_a_stopped_model_stays_stopped(preview, model, verb):
    a_split(model, 80, 20)
    assert "stays stopped" not in preview(verb, model)

    stop_model(model=model, text="wrong prices", by=an_actor())

    assert "The Model stays stopped: no version answers until it is started." in preview(verb, model)


def test_reshuffling_says_how_many_keys_change_sides(preview, model):
    assert "about 18 % of routing keys move to another version" in preview("reshuffle", model)


def test_archiving_says_what_it_takes_away(preview, model):
    fresh, once = a_version(model), model.versions.get(number=2)
    a_split(model, 100)

    assert "was live once" in preview("archive", once)
    assert "was live once" not in preview("archive", fresh)
    once = archive_version(version=once, reason="x", by=an_actor())
    assert "ready again" in preview("unarchive", once)


def test_rolling_back_offers_what_was_live_warm_or_not_or_archived(client, operator, model):
    """In the order of time, the split before the current one chosen."""
    a_split(model, 100)
    a_split(model, 100, versions=[a_version(model)])
    archive_version(version=model.versions.get(number=2), reason="old", by=an_actor())
    first = model.versions.get(number=1).pk
    address = reverse("admin:registry_model_roll_back", args=[model.pk])

    with READINESS.changed(engines=ReadinessCheck(warm=lambda _model, ids: frozenset(ids) - {first})):
        form = client.get(address).context["form"]
        page = client.get(address).text

    assert [(goal.value, goal.is_warm, goal.archived) for goal in form.splits] == [
        ("split-2", False, []), ("split-1", False, [2]),
    ]  # fmt: skip
    assert [(goal.value, goal.is_warm, goal.archived) for goal in form.versions] == [
        ("version-3", True, []), ("version-1", False, []), ("version-2", True, [2]),
    ]  # fmt: skip
    assert form.chosen == "split-2"
    assert "not warm: must load first" in page
    assert "archived: unarchive version 2 first" in page


def test_a_form_opened_before_another_rollback_is_refused(client, operator, model):
    a_split(model, 10, 90)
    address = reverse("admin:registry_model_roll_back", args=[model.pk])
    a_split(model, 50, 50)

    page = client.post(address, {"to": "split-1", "reason": "x", "seen": "2"}).text

    assert "someone else changed it first" in page
    assert "Show the current state" in page
    assert Model.objects.get(pk=model.pk).split_revision == 3


def test_asking_for_share_says_whom_the_version_breaks(preview, model):
    def signature(name):
        return {"inputs": [{"name": name, "datatype": "FP32", "shape": [None, 1]}], "outputs": []}

    model.versions.update(signature=signature("hour"))
    same, other = a_version(model), a_version(model)
    model.versions.filter(pk=same.pk).update(signature=signature("hour"))
    model.versions.filter(pk=other.pk).update(signature=signature("hours"))

    assert "breaks callers" not in preview("a-b", same)
    assert f"Version {other.number} breaks callers of version 1." in preview("a-b", other)
