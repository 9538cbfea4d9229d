import pytest
from django.db import connection
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from registry.access.policies import Right, Role, actor_from_user
from registry.catalogue.models import Model
from registry.kit.actors import Source
from registry.kit.admin.navigation import (
    CLOSED_COOKIE,
    NAVIGATION,
    Badge,
    ListLink,
    OwnPageLink,
    breadcrumbs,
    navigation_groups,
    visible_pages,
)
from registry.traffic import services
from tests.support import factories as make

pytestmark = pytest.mark.django_db


def request_of(*roles, **cookies):
    request = RequestFactory().get("/admin/")
    request.user = make.a_person(*roles)
    request.actor = actor_from_user(request.user, Source.ADMIN)
    request.COOKIES.update(cookies)
    return request


def titles(groups):
    return {group["title"]: [item["title"] for item in group["items"]] for group in groups}


def badges(request):
    return {
        item["title"]: item["badge"].count
        for group in navigation_groups(request)
        for item in group["items"]
        if item.get("badge")
    }


def test_links_of_all_apps_are_grouped_and_ordered():
    groups = titles(navigation_groups(request_of(Role.ADMIN)))

    assert list(groups) == ["", "Models", "Releases", "Moderation", "Jobs", "Operations", "Audit", "Access"]
    assert groups[""] == ["Home"]
    assert groups["Operations"][0] == "Workers"


def test_a_closed_group_says_what_waits_in_it():
    links = {
        "tags": ListLink("registry.tag", "Tags", "sell", "Access", badge=lambda _: Badge(98, "98 tags wait")),
        "holds": ListLink("registry.hold", "Holds", "block", "Access", badge=lambda _: Badge(2, "2 holds", is_bad=True)),
        "none": ListLink("registry.split", "Splits", "x", "Access", badge=lambda _: None),
    }  # fmt: skip
    with NAVIGATION.changed(**links):
        request = request_of()
        request.user.is_superuser = True
        (badge,) = [group["badge"] for group in navigation_groups(request) if group["title"] == "Access"]

    assert (badge.text, badge.title, badge.is_bad) == ("99+", "98 tags wait, 2 holds", True)


def test_an_app_adds_links_to_its_own_or_another_group():
    link = ListLink("registry.tag", "Tags", "sell", group="Access")

    with NAVIGATION.changed(tags=link):
        request = request_of()
        request.user.is_superuser = True
        assert "Tags" in titles(navigation_groups(request))["Access"]


def test_a_link_is_shown_to_those_who_may_view_the_list():
    shown = {}
    for role in (Role.VIEWER, Role.ADMIN):
        shown[role] = titles(navigation_groups(request_of(role)))

    assert shown[Role.VIEWER]["Models"] == shown[Role.ADMIN]["Models"]
    assert "API keys" in shown[Role.ADMIN]["Access"]
    assert "Access" not in shown[Role.VIEWER]  # a group without links is left out


def test_a_page_of_its_own_is_shown_to_those_who_hold_its_right():
    link = OwnPageLink(
        "story", "Stories", "menu_book", Right.READ_RECORD, "Audit", lambda _: Badge(3, "3 wait")
    )

    with NAVIGATION.changed(stories=link):
        auditor, viewer = request_of(Role.APPROVER), request_of(Role.VIEWER)

        (group,) = [one for one in navigation_groups(auditor) if one["title"] == "Audit"]
        (item,) = [one for one in group["items"] if one["title"] == "Stories"]
        assert (item["link"], item["badge"].count) == (reverse("story"), 3)
        assert ("Stories", "Audit", reverse("story"), "menu_book") in list(visible_pages(auditor))
        assert "Stories" not in [title for title, *_ in visible_pages(viewer)]
        assert "Audit" not in titles(navigation_groups(viewer))


def test_groups_that_a_browser_closed_stay_closed():
    groups = navigation_groups(request_of(Role.ADMIN, **{CLOSED_COOKIE: "jobs.audit.nonsense"}))

    assert [group["title"] for group in groups if group["is_closed"]] == ["Jobs", "Audit"]


class TestBadges:
    @pytest.fixture
    def asker(self):
        return make.a_person(Role.OPERATOR)

    @pytest.fixture
    def model(self, asker):
        """A Model with an open request."""
        model = make.a_live_model(100)
        version = make.a_version(model)
        services.set_approval_rule(model=model, needed=True, reason="because", by=make.an_actor())
        by = actor_from_user(asker, Source.ADMIN)
        services.ask_for_split(model=model, arms={version: 10_000}, comment="it is better", by=by)
        return model

    def test_open_requests_are_counted_for_those_who_may_decide_them(self, model):
        assert badges(request_of(Role.APPROVER)) == {"Approval requests": 1}
        assert badges(request_of(Role.OPERATOR)) == {}

    def test_ones_own_request_is_not_counted(self, model, asker):
        request = request_of()
        asker.groups.add(*make.a_person(Role.APPROVER).groups.all())
        request.user = type(asker).objects.get(pk=asker.pk)
        request.actor = actor_from_user(request.user, Source.ADMIN)

        assert badges(request) == {}

    def test_requests_for_models_out_of_scope_are_not_counted(self, model):
        request = request_of(Role.APPROVER)
        request.actor = make.an_actor(
            "approve_change", "read_registry", models=frozenset(), user=request.user
        )

        assert badges(request) == {}

    def test_a_badge_takes_one_query_and_none_without_the_link(self, model):
        request = request_of(Role.APPROVER)
        request.user.has_perm("anything")  # Django reads permissions once per request

        with CaptureQueriesContext(connection) as queries:
            navigation_groups(request)

        assert len(queries) == 2  # approval requests, and failed jobs

    def test_a_badge_that_fails_is_left_out(self):
        def fail(_request):
            raise LookupError("no such thing")

        with NAVIGATION.changed(
            **{"registry.model": ListLink("registry.model", "Models", "x", "Models", fail)}
        ):
            groups = navigation_groups(request_of(Role.VIEWER))

        assert "Models" in titles(groups)["Models"]

    def test_the_sidebar_says_what_waits(self, client, model):
        client.force_login(make.a_person(Role.APPROVER))

        page = client.get(reverse("admin:index")).text

        assert 'title="1 request needs your decision"' in page


def test_large_numbers_are_cut():
    assert (Badge(99, "").text, Badge(100, "").text) == ("99", "99+")


def test_pages_that_add_rows_are_offered_to_those_who_may_add_them():
    offered = {
        role: [title for title, *_ in visible_pages(request_of(role))] for role in (Role.OPERATOR, Role.ADMIN)
    }

    assert "New API key" in offered[Role.ADMIN]
    assert "New API key" not in offered[Role.OPERATOR]
    assert "New job" in offered[Role.OPERATOR]


class TestBreadcrumbs:
    def words(self, **context):
        return [crumb.title for crumb in breadcrumbs(context)]

    def test_lists_rows_and_their_pages_are_named_as_in_the_sidebar(self):
        model = make.a_model("demand")
        key, _ = make.a_key("predict")

        assert self.words(title="Home") == ["Home"]
        assert self.words(opts=Model._meta, cl=object(), title="Select model") == ["Models"]
        assert self.words(opts=Model._meta, original=model, title="Change model") == ["Models", "demand"]
        assert self.words(opts=Model._meta, title="Stop: demand") == ["Models", "Stop: demand"]
        assert self.words(opts=Model._meta, object=model, action_list=[], title="History of") == [
            "Models", "demand", "History",
        ]  # fmt: skip
        assert self.words(opts=key._meta, cl=object()) == ["Access", "API keys"]

    def test_the_last_step_has_no_link(self):
        crumbs = breadcrumbs({"opts": Model._meta, "original": make.a_model("demand"), "title": ""})

        assert [bool(crumb.url) for crumb in crumbs] == [True, False]
