"""The search over everything: what it asks, what it refuses to spend, and what it answers when a source fails."""

import pytest
from django.urls import reverse

from registry.access.policies import Role
from registry.kit.admin.search import HITS_PER_SOURCE, LONGEST, SEARCH, Hit, SearchSource, search

pytestmark = pytest.mark.django_db


def source(find, title="Things"):
    return SearchSource(title, "category", find)


def asked(client, text):
    return client.get("/admin/search/", {"q": text}).json()


def test_the_admins_search_is_ours(client, viewer):
    assert asked(client, "versions")["groups"] == [
        {
            "title": "Pages",
            "items": [
                {
                    "title": "Versions",
                    "detail": "Models",
                    "url": reverse("admin:registry_version_changelist"),
                    "icon": "layers",
                }
            ],
        }
    ]
    assert reverse("admin:search") == "/admin/search/"


def test_strangers_are_sent_to_the_login(client):
    assert client.get("/admin/search/", {"q": "x"}).status_code == 302


def test_only_reading_is_possible(client, viewer):
    assert client.post("/admin/search/", {"q": "x"}).status_code == 405


def test_nothing_is_asked_for_no_text(rf):
    with SEARCH.changed(planted=source(lambda _request, text: [Hit(text, "/")])):
        assert search(rf.get("/"), "  \n").groups == []


def test_what_strangers_send_is_bounded(client, viewer):
    seen = []

    def find(_request, text):
        seen.append(text)
        return [Hit("x" * 10_000, "/")] * 1_000

    with SEARCH.changed(planted=source(find)):
        groups = asked(client, "a\0b \ud7ff" + "c" * 10_000)["groups"]

    assert len(seen[0]) <= LONGEST
    assert "\0" not in seen[0]
    (things,) = [group for group in groups if group["title"] == "Things"]
    assert len(things["items"]) == HITS_PER_SOURCE
    assert len(things["items"][0]["title"]) < 200


def test_a_source_that_fails_is_named_and_the_others_answer(client, viewer):
    def fail(_request, _text):
        raise LookupError("broken")

    with SEARCH.changed(planted=source(fail, "Broken things")):
        found = asked(client, "versions")

    assert found["failed"] == ["Broken things"]
    assert [group["title"] for group in found["groups"]] == ["Pages"]


def test_answers_are_not_kept(client, viewer):
    assert "no-store" in client.get("/admin/search/", {"q": "x"})["Cache-Control"]


def test_pages_are_found_by_title_and_group_by_those_who_may_open_them(client, signed_in):
    signed_in(Role.ADMIN)
    assert {item["title"] for item in asked(client, "access key")["groups"][0]["items"]} == {"API keys"}

    signed_in(Role.VIEWER)
    assert asked(client, "access key")["groups"] == []
