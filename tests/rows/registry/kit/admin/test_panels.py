import pytest
from django.test import RequestFactory
from django.urls import reverse
from django.utils.html import format_html

from registry.access.policies import Role
from registry.kit.actors import READ, Actor, Source
from registry.kit.admin.panels import COLUMNS, PANELS, ColumnGroup, Panel, PanelPage, columns_for, panels_for
from registry.kit.registrations import Registrations
from registry.traffic.services import ask_for_split
from tests.support.factories import a_live_model, a_model, a_person, a_version, an_actor


@pytest.fixture(autouse=True)
def no_panels(monkeypatch):
    for name, empty in (("PANELS", Registrations("panel")), ("COLUMNS", Registrations("group of columns"))):
        monkeypatch.setattr(f"registry.kit.admin.panels.{name}", empty)
        monkeypatch.setitem(globals(), name, empty)


def asked_by(*rights):
    request = RequestFactory().get("/")
    request.actor = Actor("reader", Source.ADMIN, frozenset({READ, *rights}))
    return request


def test_a_panel_of_a_right_is_only_drawn_for_people_who_have_it():
    PANELS.add("secret", Panel(PanelPage.HOME, lambda *_: "secret", right="read_secrets"))

    assert panels_for(PanelPage.HOME, asked_by()) == []
    assert panels_for(PanelPage.HOME, asked_by("read_secrets")) == ["secret"]


@pytest.mark.django_db
@pytest.mark.parametrize("page", PanelPage)
def test_a_panel_is_drawn_on_its_page_and_no_other(client, page):
    PANELS.add("speed", Panel(page, lambda _request, row: format_html("<i>speed of {}</i>", row)))
    model = a_live_model(100)
    version = model.versions.get()
    asked = ask_for_split(model=model, arms={a_version(model): 10_000}, comment="x", by=an_actor())
    client.force_login(a_person(Role.VIEWER))
    addresses = {
        PanelPage.HOME: reverse("admin:index"),
        PanelPage.MODEL: reverse("admin:registry_model_change", args=[model.pk]),
        PanelPage.VERSION: reverse("admin:registry_version_change", args=[version.pk]),
        PanelPage.REQUEST: reverse("admin:registry_splitrequest_change", args=[asked.pk]),
    }
    rows = {
        PanelPage.HOME: None,
        PanelPage.MODEL: model,
        PanelPage.VERSION: version,
        PanelPage.REQUEST: asked,
    }

    for where, address in addresses.items():
        is_shown = f"<i>speed of {rows[where]}</i>" in client.get(address).text
        assert is_shown is (where is page)


def test_panels_are_drawn_in_order_and_empty_ones_not_at_all():
    for name, order in (("late", 200), ("early", 1), ("silent", 50)):
        html = "" if name == "silent" else name
        PANELS.add(name, Panel(PanelPage.HOME, lambda *_, html=html: html), order=order)

    assert panels_for(PanelPage.HOME, asked_by()) == ["early", "late"]


def test_a_panel_that_fails_says_so_and_the_others_are_drawn():
    def broken(*_):
        raise ZeroDivisionError

    PANELS.add("broken", Panel(PanelPage.HOME, broken), order=1)
    PANELS.add("whole", Panel(PanelPage.HOME, lambda *_: "whole"), order=2)

    failed, whole = panels_for(PanelPage.HOME, asked_by())

    assert "broken could not be shown" in failed
    assert whole == "whole"


@pytest.mark.django_db
def test_columns_are_joined_and_those_that_fail_are_left_out():
    def broken(*_):
        raise ZeroDivisionError

    model = a_model()
    COLUMNS.add("broken", ColumnGroup(["never"], broken))
    COLUMNS.add(
        "speed", ColumnGroup(["speed", "load"], lambda _request, _models: {model.pk: ["9", "1"]}, "a note")
    )

    drawn = columns_for(None, [model])

    assert (drawn.titles, drawn.notes) == (["speed", "load"], ["a note"])
    assert drawn.cells == {model.pk: [("speed", "9"), ("load", "1")]}


def test_what_a_panel_returns_without_marking_it_safe_is_escaped(client, db):
    PANELS.add("evil", Panel(PanelPage.HOME, lambda *_: "<script>x</script>"))
    client.force_login(a_person(Role.VIEWER))

    assert "<script>x</script>" not in client.get(reverse("admin:index")).text
