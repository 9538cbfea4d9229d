import pytest
from django.urls import reverse
from django.utils.html import format_html

from registry.access.policies import Role
from registry.kit.admin import panels
from registry.kit.admin.panels import Place, register_panel
from tests.support.factories import a_live_model, a_person


@pytest.fixture(autouse=True)
def own_panels(monkeypatch):
    monkeypatch.setattr(panels, "_panels", {})


@pytest.mark.django_db
@pytest.mark.parametrize("place", Place)
def test_a_panel_is_drawn_on_its_page_and_no_other(client, place):
    register_panel(
        name="speed", place=place, render=lambda _request, row: format_html("<i>speed of {}</i>", row)
    )
    model = a_live_model(100)
    version = model.versions.get()
    client.force_login(a_person(Role.VIEWER))
    pages = {
        Place.HOME: reverse("admin:index"),
        Place.MODEL: reverse("admin:registry_model_change", args=[model.pk]),
        Place.VERSION: reverse("admin:registry_version_change", args=[version.pk]),
    }
    rows = {Place.HOME: None, Place.MODEL: model, Place.VERSION: version}

    for where, page in pages.items():
        shown = f"<i>speed of {rows[where]}</i>" in client.get(page).text
        assert shown is (where is place)


def test_panels_come_in_their_order_and_empty_ones_not_at_all():
    for name, order in (("late", 200), ("early", 1), ("silent", 50)):
        register_panel(
            name=name, place=Place.HOME, order=order, render=lambda *_, n=name: "" if n == "silent" else n
        )

    assert panels.panels_for(Place.HOME, request=None) == ["early", "late"]


def test_a_name_registered_again_replaces_the_panel():
    for text in ("one", "two"):
        register_panel(name="same", place=Place.HOME, render=lambda *_, t=text: t)

    assert panels.panels_for(Place.HOME, request=None) == ["two"]


def test_a_panel_that_fails_says_so_and_the_others_stand():
    def broken(*_):
        raise ZeroDivisionError

    register_panel(name="broken", place=Place.HOME, render=broken, order=1)
    register_panel(name="whole", place=Place.HOME, render=lambda *_: "whole", order=2)

    failed, whole = panels.panels_for(Place.HOME, request=None)

    assert "broken could not be shown" in failed
    assert whole == "whole"


def test_what_a_panel_returns_without_marking_it_safe_is_escaped(client, db):
    register_panel(name="evil", place=Place.HOME, render=lambda *_: "<script>x</script>")
    client.force_login(a_person(Role.VIEWER))

    assert "<script>x</script>" not in client.get(reverse("admin:index")).text
