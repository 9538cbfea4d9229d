"""Versions that end the processes that run them: what is counted, from when on they are refused, and who lets them back."""

from datetime import UTC, datetime

import pytest
from django.urls import reverse
from rest_framework.test import APIClient

from inference.engine.errors import VersionBroken
from inference.serving.routes import read_revision, read_table
from inference.serving.stewards.steward import all_models
from registry.access.policies import Right, Role
from registry.catalogue.models import Version
from registry.catalogue.services import clear_crashes, record_crash
from registry.errors import Invalid, NotAllowed, StaleState, VersionNotReady
from registry.record.models import AuditRecord, Event
from registry.traffic.models import Split
from registry.traffic.readiness import ReadinessState
from registry.traffic.services import ask_for_split, roll_back, set_split
from tests.support.engines import an_engine
from tests.support.factories import a_key, a_live_model, a_person, a_split, a_version, an_actor

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


@pytest.fixture
def version():
    """The first of two that answer, half of the callers each."""
    return a_live_model(50, 50, slug="demand").versions.get(number=1)


def crash(version, *sources, signal="SIGFPE"):
    for source in sources:
        record_crash(
            version=version, signal=signal, process="web", source=source, crashed_at=NOON, by=an_actor()
        )
    return Version.objects.get(pk=version.pk)


@pytest.mark.both
def test_the_second_crash_breaks_it(version):
    before = read_revision()

    once = crash(version, "web-1-a")
    routed = read_revision()
    twice = crash(version, "web-2-b")

    assert (once.is_broken, routed) == (False, before + 1)
    assert (twice.is_broken, read_revision()) == (True, before + 2)
    assert [Event.objects.filter(kind=f"version_{what}").count() for what in ("crashed", "broken")] == [1, 1]
    record = AuditRecord.objects.first()
    assert (record.action, record.model_slug) == ("break_version", "demand")
    assert "2 processes" in Event.objects.get(kind="version_broken").summary


def test_after_the_first_it_runs_apart_until_it_is_cleared(version):
    def runs_apart():
        route = read_table().find("demand")
        return [target.runs_apart for target in (*route.owners, route.versions[1], route.versions[2])]

    assert runs_apart() == [False] * 4
    crash(version, "a")
    assert runs_apart() == [True, False] * 2

    clear_crashes(version=version, reason="a bad memory bar", by=an_actor(Right.SET_SPLIT))

    assert runs_apart() == [False] * 4


def test_one_process_counts_once(version):
    """Who reads its notes may end before they are removed; then somebody else reads them."""
    assert not crash(version, "web-1-a", "web-1-a").is_broken
    assert version.crashes.count() == 1


def test_further_crashes_are_told_no_more(version):
    crash(version, "a", "b", "c")

    assert (version.crashes.count(), Event.objects.filter(kind="version_broken").count()) == (3, 1)


def test_its_neighbours_are_not_refused(version):
    crash(version, "a", "b")
    route = read_table().find("demand")

    with pytest.raises(VersionBroken, match="Version 1 is broken"):
        route.choose(version=1)
    assert route.choose(version=2).number == 2
    assert [target.number for target in all_models(read_table()).live] == [2]
    answered = {_number_or_refusal(route, str(key)) for key in range(100)}
    assert answered == {2, "version_broken"}


def _number_or_refusal(route, key):
    try:
        return route.choose(key).number
    except VersionBroken as error:
        return error.code


def test_alone_it_is_refused_before_a_request_is_read():
    model = a_live_model(100)
    crash(model.versions.get(), "a", "b")

    with pytest.raises(VersionBroken):
        read_table().find(model.slug).fixed_target()


def test_it_gets_no_share_until_it_is_cleared(version):
    model, other = version.model, version.model.versions.get(number=2)
    a_split(model, 100, versions=[other])
    crash(version, "a", "b")
    by = an_actor()

    for refused in (
        lambda: set_split(model=model, arms={version: 10_000}, reason="x", by=by),
        lambda: set_split(model=model, arms={other: 10_000}, shadows={version: 1}, reason="x", by=by),
        lambda: ask_for_split(model=model, arms={version: 10_000}, comment="x", by=by),
        lambda: roll_back(model=model, to_version=version, reason="x", by=by),
        lambda: roll_back(model=model, reason="x", by=by),
    ):
        with pytest.raises(VersionNotReady, match="demand 1 is broken"):
            refused()

    clear_crashes(version=version, reason="x", by=by)
    assert roll_back(model=model, to_version=version, reason="x", by=by).status == "current"


def test_a_split_that_waits_for_it_is_given_up():
    model = a_live_model(100)
    second = a_version(model)
    an_engine()
    split = a_split(model, 100, versions=[second])
    crash(second, "a", "b")

    from inference.serving.stewards.readiness import engines_are_warm

    assert engines_are_warm(Split.objects.get(pk=split.pk)).state is ReadinessState.NEVER


class TestClearing:
    def test_a_person_clears_it_and_it_counts_anew(self, version):
        crash(version, "a", "b")
        before = read_revision()

        cleared = clear_crashes(version=version, reason="a bad memory bar", by=an_actor(Right.SET_SPLIT))
        again = crash(version, "c")

        assert (cleared.is_broken, again.is_broken) == (False, False)
        assert read_revision() == before + 2
        assert read_table().find("demand").choose(version=1).number == 1
        record = AuditRecord.objects.first()
        assert (record.action, record.reason) == ("clear_crashes", "a bad memory bar")
        assert crash(version, "d").is_broken

    def test_who_may_not_and_what_is_not_broken(self, version):
        with pytest.raises(StaleState):
            clear_crashes(version=version, reason="x", by=an_actor())
        crash(version, "a", "b")
        with pytest.raises(Invalid):
            clear_crashes(version=version, reason=" ", by=an_actor())
        with pytest.raises(NotAllowed):
            clear_crashes(version=version, reason="x", by=an_actor(Right.WRITE, Right.APPROVE))

    def test_a_key_cannot(self, version):
        """It could bring back what it may ask, and go on ending processes with it."""
        crash(version, "a", "b")
        client = APIClient()
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {a_key()[1]}")

        answer = client.post("/api/v1/models/demand/versions/1/clear", {"reason": "x"}, format="json")

        assert (answer.status_code, answer.json()["code"]) == (403, "not_allowed")

    def test_over_the_api(self, version):
        crash(version, "a", "b")
        client = APIClient()
        client.force_login(a_person(Role.OPERATOR))

        shown = client.get("/api/v1/models/demand/versions/1").json()
        cleared = client.post("/api/v1/models/demand/versions/1/clear", {"reason": "x"}, format="json")

        assert (shown["broken_at"] is None, cleared.status_code, cleared.json()["broken_at"]) == (
            False,
            200,
            None,
        )

    def test_on_its_page(self, client, version):
        client.force_login(a_person(Role.OPERATOR))
        page = reverse("admin:registry_version_change", args=[version.pk])
        without = client.get(page).content.decode()
        crash(version, "a", "b")

        broken = client.get(page).content.decode()
        form = client.get(reverse("admin:registry_version_clear", args=[version.pk]))
        foretold = " ".join(form.context["form"].preview)
        client.post(reverse("admin:registry_version_clear", args=[version.pk]), {"reason": "x"})

        assert "Crashes" not in without
        assert "demand 1 is broken and refuses every request" in broken
        assert "Its 2 crashes no longer count" in foretold
        assert not Version.objects.get(pk=version.pk).is_broken
        assert "is broken" not in client.get(page).content.decode()
