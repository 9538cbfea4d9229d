"""The first steps on the home page, which tick themselves off."""

import pytest
from django.urls import reverse
from django.utils import timezone

from inference.measure.models import ArmMinute
from registry.access.policies import every_right, key_scopes
from registry.access.services import Person, create_person, create_tenant, issue_key
from registry.intake.checklist.models import CheckRun
from registry.kit.actors import Actor, Source
from tests.support.factories import a_live_model, a_person

pytestmark = pytest.mark.django_db
TITLES = [
    "Send a prediction", "Upload a version of your own", "See it pass its checks",
    "Set a split, or ask a second person for approval", "Create an API key for an application",
    "Invite a second person",
]  # fmt: skip


def first_run():
    return Actor("root: manage.py serve", Source.COMMAND, every_right())


def shown(client) -> dict[str, bool]:
    page = client.get(reverse("admin:index"))
    return {step.title: step.is_done for step in page.context["shown"]["steps"]}


@pytest.fixture
def admin(client):
    """The person whom the first run created, in an installation where nobody did anything yet."""
    person = Person(username="admin", roles=("operator", "admin"))
    user = create_person(person=person, password="correct-horse-battery", by=first_run())
    issue_key(
        name="first", tenant=create_tenant(slug="t", by=first_run()), scopes=key_scopes(), by=first_run()
    )
    client.force_login(user)


def test_in_a_new_installation_nothing_is_done(client, admin):
    assert shown(client) == dict.fromkeys(TITLES, False)


def test_steps_tick_themselves_off_and_the_panel_goes_when_all_are_done(client, admin):
    model = a_live_model(100)
    a_person("approver")
    assert [title for title, is_done in shown(client).items() if is_done] == [TITLES[1], TITLES[3], TITLES[5]]

    now = timezone.now()
    CheckRun.objects.create(
        version=model.versions.get(), number=1, state="passed", runtime_version="1", asked_by="ada", started_at=now,
        ended_at=now,
    )  # fmt: skip
    ArmMinute.objects.create(
        minute=now,
        model_id=model.pk,
        split=1,
        version_id=1,
        ok=1,
        errors=0,
        refused=0,
        seconds=0.0,
        buckets={},
    )
    assert [title for title, is_done in shown(client).items() if not is_done] == [TITLES[4]]

    tenant = create_tenant(slug="shop", by=first_run())
    ada = Actor("ada", Source.ADMIN, every_right())
    issue_key(name="shop", tenant=tenant, scopes=key_scopes(), by=ada)

    assert shown(client) == {}


def test_each_sees_the_steps_that_they_may_take(client):
    client.force_login(a_person("viewer"))
    assert shown(client) == {}

    client.force_login(a_person("operator"))
    assert list(shown(client)) == TITLES[:4]


def test_hiding_is_for_oneself_and_needs_a_post(client, admin):
    address = reverse("hide-first-steps")
    assert client.get(address).status_code == 405
    assert shown(client)

    assert client.post(address).url == reverse("admin:index")

    assert shown(client) == {}
    client.force_login(a_person("operator"))
    assert shown(client)
