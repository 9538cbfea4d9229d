"""Who is answered what: everything against tests/support/permissions.toml, and what no list needs to say."""

import logging

import pytest
from django.contrib import admin
from django.urls import get_resolver
from django.urls import path as url_path
from drf_spectacular.generators import SchemaGenerator

from registry.access.keys import ring
from registry.access.login import login
from registry.access.models import ApiKey
from tests.support import factories as make
from tests.support import permissions
from tests.support.permissions import (
    PEOPLE,
    ROLES,
    Route,
    World,
    actions,
    answers,
    ask,
    compare,
    listed,
    routes,
)

pytestmark = [pytest.mark.django_db]
# Open to strangers by intent: the way in, the way out, the sign of life and the page's own words.
CHANGE_NOTHING = {"/admin/login/", "/admin/logout/", "/admin/jsi18n/"}


@pytest.fixture(autouse=True)
def quick_and_quiet(monkeypatch):
    """Nobody reads a thousand warnings of refusals; what the OpenAPI description says is the same for everybody."""
    monkeypatch.setattr(SchemaGenerator, "get_schema", lambda *_, **__: {})
    ring.clear()
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)
    ring.clear()


@pytest.fixture
def world():
    return World()


def test_everybody_is_answered_as_listed():
    differences = compare(listed(), permissions.measure())

    assert not differences, f"{differences}\npython -m tests.support.permissions --write lists what is new"


def test_every_line_names_an_answer_for_every_role():
    assert {line: cells for line, cells in listed().items() if len(cells.split()) != len(ROLES)} == {}


class TestTheCensusItself:
    """Its negative controls: what it must find, planted."""

    def lines(self):
        return {route.line: "" for route in routes()} | {line: "" for line, _, _ in actions()}

    def test_an_unlisted_route_is_found(self, monkeypatch):
        resolver = get_resolver()
        planted = url_path("api/v1/backdoor", login)
        monkeypatch.setattr(resolver, "url_patterns", [*resolver.url_patterns, planted])

        unlisted = compare(listed(), self.lines()).unlisted

        assert unlisted == ["GET /api/v1/backdoor = ", "POST /api/v1/backdoor = "]

    def test_an_unlisted_action_is_found(self, monkeypatch):
        page = admin.site._registry[ApiKey]
        monkeypatch.setattr(page, "actions", [*page.actions, "shown_prefix"])

        assert compare(listed(), self.lines()).unlisted == ["action registry.apikey shown_prefix = "]

    def test_an_unlisted_page_is_found(self, monkeypatch):
        lines = self.lines()
        lines["GET /admin/registry/secret/"] = "200"

        assert compare(listed(), lines).unlisted == ["GET /admin/registry/secret/ = 200"]

    def test_a_line_that_stands_for_nothing_is_found(self):
        lines = self.lines()
        del lines["GET /api/v1/keys"]

        assert compare(listed(), lines).gone == ["GET /api/v1/keys"]

    def test_another_answer_is_found(self, world, monkeypatch):
        from registry.access.api import KeysView
        from registry.access.policies import Right

        monkeypatch.setattr(KeysView, "rights", {"list": Right.READ})
        route = next(route for route in routes() if route.line == "GET /api/v1/keys")

        measured = " ".join(answers(route, world))

        (changed,) = compare({route.line: listed()[route.line]}, {route.line: measured}).changed
        assert measured != " ".join(listed()[route.line].split())
        assert "401 200 200" in changed


def test_nobody_changes_anything_without_saying_who_they_are(world):
    open_doors = [
        f"{route.line}: {answer.status}"
        for route in routes()
        if route.is_unsafe
        and (answer := ask("anonymous", route.method, world.path(route), world)).shown
        not in {"401", "403", "login"}
        and route.pattern not in CHANGE_NOTHING
    ]

    assert open_doors == []


def test_no_session_changes_anything_without_its_token(world):
    """A page elsewhere that makes a browser send its cookie gets nowhere."""
    world.sessions["everything"] = permissions.session_of(make.a_person(*PEOPLE))
    world.people["everything"] = None

    unsafe = [route for route in routes() if route.is_unsafe]
    got_through = [
        f"{route.line}: {answer.status}"
        for route in unsafe
        if (answer := ask("everything", route.method, world.path(route), world, enforce_csrf=True)).status
        not in {401, 403}
    ]

    assert len(unsafe) > 50
    assert got_through == []


class TestReach:
    """Whoever is limited to one Model learns nothing of another, wherever they look."""

    MARK = "secret-engine"

    @pytest.fixture
    def foreign(self):
        return World(self.MARK)

    @pytest.fixture
    def limited(self, world, foreign):
        """Everything but the admin role, for the Models `sample` alone; and a key like that."""
        person = make.a_person("viewer", "operator", "approver", models=[world.model.pk])
        world.people["limited"] = person
        world.sessions["limited"] = permissions.session_of(person)
        world.key_texts["limited"] = make.a_key(models=[world.model.pk])[1]
        return world

    @pytest.mark.parametrize("role", ["limited", "key limited"])
    def test_no_answer_names_the_other_model(self, limited, foreign, role):
        told = []
        for route in routes_open_to(role):
            for path in {limited.path(route), foreign.path(route)}:
                answer = ask(role, route.method, path, limited)
                is_echo = answer.status == 404 and self.MARK in path  # "There is no Model named …"
                if self.MARK in answer.text.replace(path, "") and not is_echo:
                    told.append(f"{route.line} as {path}: {answer.status}")

        assert told == []

    @pytest.mark.parametrize("role", ["limited", "key limited"])
    def test_the_other_model_is_answered_for_like_one_that_is_not_there(self, limited, foreign, role):
        ghost = Ghost()
        differs = []
        for route in routes_open_to(role):
            if belongs_to_a_model(route, foreign):
                foreign_answer = ask(role, route.method, foreign.path(route), limited).shown
                ghost_answer = ask(role, route.method, ghost.path(route), limited).shown
                if foreign_answer not in {ghost_answer, "403"}:
                    differs.append(f"{route.line}: {foreign_answer}, but {ghost_answer} where nothing is")

        assert differs == []

    def test_without_the_limit_they_are_there(self, limited, foreign):
        """The control: the same questions, asked by somebody without a limit."""
        reads = [route for route in routes() if route.method == "GET"]
        texts = [ask("viewer", "GET", foreign.path(route), limited).text for route in reads]

        assert sum(self.MARK in text for text in texts) > 20


def routes_open_to(role) -> list[Route]:
    """Those that know who this is: keys are strangers to the admin, as the list of everybody's answers says."""
    return [
        route for route in routes() if not (role.startswith("key ") and route.pattern.startswith("/admin/"))
    ]


class Ghost(World):
    """Addresses of what does not exist."""

    def __init__(self) -> None:
        """Nothing."""

    def _value(self, name, route):
        known = {
            "slug": "no-such-model",
            "model": "no-such-model",
            "sha256": "0" * 64,
            "name": "champion",
            "number": 1,
        }
        return permissions.WORDS.get(name) or known.get(name, 10**8)


def belongs_to_a_model(route, world) -> bool:
    if any(f"<str:{name}>" in route.pattern for name in ("slug", "model", "sha256")):
        return "tenants" not in route.pattern
    return "<" in route.pattern and world.own_row(permissions._rows_behind(route)) is not None
