import pytest
from django.test import RequestFactory

from registry.access.policies import Role
from registry.kit.admin.navigation import NAVIGATION, ListLink, navigation_groups
from tests.support.factories import a_person


def test_links_of_all_apps_are_grouped_and_ordered():
    groups = navigation_groups()

    assert [group.get("title", "") for group in groups] == ["", "Record", "Access"]
    first = [item["title"] for item in groups[0]["items"]]
    assert first[0] == "Home"
    assert first.index("Approval requests") < first.index("Jobs") < first.index("Aliases")


def test_an_app_adds_links_to_its_own_or_another_group():
    link = ListLink("registry.tag", "Tags", "sell", group="Access")

    with NAVIGATION.changed(tags=link):
        titles = {
            group.get("title"): [item["title"] for item in group["items"]] for group in navigation_groups()
        }

    assert "Tags" in titles["Access"]


@pytest.mark.django_db
def test_a_link_is_shown_to_those_who_may_view_the_list():
    request = RequestFactory().get("/admin/")
    shown = {}
    for role in (Role.VIEWER, Role.ADMIN):
        request.user = a_person(role)
        items = [
            item for group in navigation_groups() for item in group["items"][group.get("title") is None :]
        ]
        shown[role] = {item["title"] for item in items if item["permission"](request)}

    assert "Models" in shown[Role.VIEWER] & shown[Role.ADMIN]
    assert "API keys" in shown[Role.ADMIN] - shown[Role.VIEWER]
