"""The tabs of Model and version pages, their header, and the page of a request: what is where, and what it costs."""

import html
import re
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from inference.measure.models import ArmMinute
from registry.access.policies import Role
from registry.catalogue.models import Model, Version
from registry.console import model_panels
from registry.console.health import HealthLook, checks_health, crashes_health
from registry.intake.checklist.models import CheckRun
from registry.kit.admin.panels import PANELS, Panel, PanelPage
from registry.traffic.models import Split
from registry.traffic.services import ask_for_split, freeze_model, set_approval_rule, stop_model
from tests.support.factories import (
    a_live_model,
    a_model,
    a_split,
    a_version,
    an_actor,
    an_uploaded_version,
)

pytestmark = pytest.mark.django_db
MODEL_TABS = ["live", "versions", "traffic", "try", "jobs", "access", "settings"]
VERSION_TABS = ["overview", "checks", "traffic", "try", "file"]


def read(client, row, **query):
    return client.get(reverse(f"admin:registry_{row._meta.model_name}_change", args=[row.pk]), query).text


def tabs_of(page):
    nav = page.partition('class="rh-page-tabs"')[2].partition("</nav>")[0]
    return re.findall(r"\?tab=(\w+)", nav)


def opened(page):
    (name,) = re.findall(r'href="\?tab=(\w+)" aria-current="page"', page)
    return name


def badges(page):
    name = page.partition('class="rh-head-name"')[2].partition("</div>")[0]
    return re.findall(r'class="rh-badge rh-badge-\w+">([^<]+)<', name)


def group(page, name):
    """The titles of the buttons in one group of the header."""
    found = page.partition(f'aria-label="{name}"')[2].partition("</div>")[0]
    return re.findall(r"<a [^>]*>([^<]+)</a>", found)


class TestTabs:
    def test_each_tab_is_an_address(self, client, operator):
        model = a_live_model(100)
        version = model.versions.get()

        for row, tabs in ((model, MODEL_TABS), (version, VERSION_TABS)):
            assert tabs_of(read(client, row)) == tabs
            assert [opened(read(client, row, tab=tab)) for tab in tabs] == tabs

    def test_only_the_open_tabs_panels_are_drawn(self, client, operator):
        model = a_live_model(100)
        drawn = []
        panels = {
            tab: Panel(PanelPage.MODEL, lambda *_, tab=tab: drawn.append(tab) or "", tab)
            for tab in ("live", "versions", "access")
        }

        with PANELS.changed(**panels):
            read(client, model, tab="versions")

        assert drawn == ["versions"]

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ({}, "live"),
            ({"tab": "no-such"}, "live"),
            ({"figures": "day"}, "traffic"),
            ({"at": "2026-01-01T10:00"}, "traffic"),
            ({"tab": "versions", "figures": "day"}, "versions"),
        ],
        ids=["first", "unknown", "period", "moment", "named"],
    )
    def test_an_address_opens_a_tab(self, client, viewer, query, expected):
        assert opened(read(client, a_live_model(100), **query)) == expected

    def test_a_version_that_is_not_ready_opens_with_its_checks(self, client, viewer):
        assert opened(read(client, an_uploaded_version())) == "checks"
        assert opened(read(client, a_version())) == "overview"

    def test_a_tab_without_anything_for_the_reader_is_not_shown(self, client, operator):
        model = a_live_model(100)
        hidden = Panel(PanelPage.MODEL, lambda *_: "secret", "jobs", "read_secrets")

        with PANELS.changed(jobs=hidden):
            page = read(client, model, tab="jobs")

        assert tabs_of(page) == [tab for tab in MODEL_TABS if tab != "jobs"]
        assert opened(page) == "live"
        assert "secret" not in page

    def test_the_form_is_only_in_settings_and_its_errors_come_back_there(self, client, operator):
        model = a_live_model(100)
        address = reverse("admin:registry_model_change", args=[model.pk])

        for tab in MODEL_TABS:
            assert ('name="_save"' in read(client, model, tab=tab)) is (tab == "settings")
        refused = client.post(address, {"key_source": "field", "key_field": ""})
        kept = {"title": "New", "key_source": "random", "bake_minutes": "30", "pool": "infer"}
        saved = client.post(f"{address}?tab=settings", kept)

        assert opened(refused.text) == "settings"
        assert "Name a field if, and only if," in refused.text
        assert saved["Location"] == f"{address}?tab=settings"
        assert Model.objects.get(pk=model.pk).title == "New"

    def test_a_version_takes_no_form(self, client, operator):
        version = a_version()

        assert client.post(reverse("admin:registry_version_change", args=[version.pk])).status_code == 405

    def test_the_live_tab_refreshes_itself_and_the_others_do_not(self, client, viewer):
        model = a_live_model(100)

        assert 'id="rh-page" data-live-s="15"' in read(client, model)
        assert not any(
            "data-live-s" in read(client, model, tab=tab) for tab in MODEL_TABS[1:] if tab != "traffic"
        )


class TestRowPages:
    """What every page of a row does that has no form of Django's."""

    @pytest.fixture
    def rows(self):
        model = set_approval_rule(model=a_live_model(100), needed=True, reason="x", by=an_actor())
        asked = ask_for_split(model=model, arms={a_version(model): 10_000}, comment="x", by=an_actor())
        return [model.versions.first(), asked]

    def test_they_can_be_read_and_not_posted(self, client, operator, rows):
        for row in rows:
            address = reverse(f"admin:registry_{row._meta.model_name}_change", args=[row.pk])
            refused = client.post(address)

            assert client.head(address).status_code == 200
            assert (refused.status_code, refused["Allow"]) == (405, "GET, HEAD")

    def test_a_missing_row_leads_to_the_home_page(self, client, operator):
        for name in ("model", "version", "splitrequest"):
            answer = client.get(reverse(f"admin:registry_{name}_change", args=[99_999]))

            assert (answer.status_code, answer["Location"]) == (302, reverse("admin:index"))


class TestListsOfAModel:
    """Links such as "All splits" lead to the rows of this Model, not of one whose name is similar."""

    @pytest.mark.parametrize(
        ("tab", "title", "slug_of"),
        [
            ("traffic", "All splits", lambda split: split.model.slug),
            ("versions", "All versions", lambda version: version.model.slug),
            ("live", "All changes", lambda record: record.model_slug),
            ("live", "1 open request", lambda asked: asked.model.slug),
            ("file", "All revisions", lambda serving: serving.version.model.slug),
        ],
    )
    def test_they_have_no_rows_of_another(self, client, operator, monkeypatch, tab, title, slug_of):
        monkeypatch.setattr(model_panels, "_HISTORY_LIMIT", 1)
        for slug in ("fruit", "fruit-2"):
            model = set_approval_rule(
                model=a_live_model(100, slug=slug), needed=True, reason="x", by=an_actor()
            )
            ask_for_split(model=model, arms={a_version(model): 10_000}, comment="x", by=an_actor())
        model = Model.objects.get(slug="fruit")

        page = read(client, model.versions.first() if tab == "file" else model, tab=tab)
        listed = client.get(html.unescape(re.search(f'href="([^"]+)">{title}<', page)[1]))

        assert {slug_of(row) for row in listed.context["cl"].result_list} == {"fruit"}


class TestHeader:
    def test_the_badge_says_the_state(self, client, viewer):
        stopped, frozen = a_live_model(100), a_live_model(100)
        stop_model(model=stopped, text="x", by=an_actor())
        freeze_model(model=frozen, reason="x", by=an_actor())
        waiting = a_live_model(100)
        Split.objects.filter(model=waiting).update(status="waiting", from_at=None)

        assert badges(read(client, a_live_model(100))) == ["live"]
        assert badges(read(client, stopped)) == ["stopped"]
        assert badges(read(client, frozen)) == ["frozen"]
        assert badges(read(client, waiting)) == ["waiting for warm-up"]
        assert badges(read(client, a_model())) == ["nothing live"]

    def test_buttons_are_in_groups_on_every_tab(self, client, operator):
        model = a_live_model(100)
        a_split(model, 100)
        a_version(model)

        for tab in MODEL_TABS:
            page = read(client, model, tab=tab)
            assert group(page, "Release") == ["Set split", "A/B test against live"]
            assert group(page, "Emergency") == ["Roll back", "Stop", "Freeze"]
            assert (
                "Reshuffle"
                in page.partition("rh-head")[2].partition("<details")[2].partition("</details>")[0]
            )

    def test_a_stopped_and_frozen_model_is_started_where_it_was_stopped(self, client, operator):
        model = a_live_model(100)
        stop_model(model=model, text="x", by=an_actor())
        freeze_model(model=model, reason="x", by=an_actor())

        assert group(read(client, model), "Emergency") == ["Start", "Unfreeze"]

    def test_the_summary_says_who_set_the_split_and_what_waits(self, client, viewer):
        model = a_live_model(90, 10)
        model = set_approval_rule(model=model, needed=True, reason="x", by=an_actor())
        ask_for_split(model=model, arms={a_version(model): 10_000}, comment="x", by=an_actor())

        summary = read(client, model).partition("rh-head-summary")[2].partition("</p>")[0]
        words = " ".join(re.sub("<[^>]*>", "", summary).split())

        for text in ("v1 90 %", "v2 10 %", "split 1 by tester, just now", "needs approval", "1 open request"):
            assert text in words

    def test_a_version_shows_its_share_its_requests_and_how_to_get_one(self, client, operator):
        model = set_approval_rule(model=a_live_model(100), needed=True, reason="x", by=an_actor())
        live, newer = model.versions.get(), a_version(model)
        asked = ask_for_split(model=model, arms={live: 9_000, newer: 1_000}, comment="a try", by=an_actor())

        of_live, of_newer = read(client, live), read(client, newer)

        assert badges(of_live) == ["ready", "live 100 %"]
        assert badges(of_newer) == ["ready", "not live"]
        assert group(of_live, "Release") == []
        assert group(of_newer, "Release") == [f"Request {asked.pk} awaits approval"]
        assert f"Request {asked.pk} awaits approval</a>" in of_newer.partition("Never live.")[2]
        assert "Ask for share" not in of_newer
        assert reverse("admin:registry_splitrequest_change", args=[asked.pk]) in of_newer
        assert "asks for 10 % for it: a try" in of_newer

    def test_a_share_below_a_tenth_of_a_percent_is_not_rounded(self, client, viewer):
        model = a_live_model(99.95, 0.05)

        page = read(client, model)

        assert 'aria-label="version 1 99.95 %, version 2 0.05 %"' in page

    def test_the_first_version_of_a_model_asks_for_everything(self, client, operator):
        version = a_version()

        page = client.get(reverse("admin:registry_version_a_b", args=[version.pk])).text

        assert group(read(client, version), "Release") == ["Ask for share"]
        assert 'value="100' in page

    def test_each_fact_of_a_version_is_shown_once(self, client, viewer):
        version = an_uploaded_version(notes="trained on the autumn harvest")

        pages = [read(client, version, tab=tab) for tab in VERSION_TABS]

        for fact in ("trained on the autumn harvest", version.artifact.sha256):
            assert sum(page.count(fact) for page in pages) == 1


class TestEmergencyFromLists:
    def links(self, client, model):
        row = client.get(reverse("admin:index")).text.partition("rh-models")[2]
        return [
            name
            for name in ("stop", "roll_back")
            if reverse(f"admin:registry_model_{name}", args=[model.pk]) in row
        ]

    def test_home_stops_in_two_clicks_and_rolls_back_in_two(self, client, operator):
        model = a_live_model(100)
        assert self.links(client, model) == ["stop"]
        a_split(model, 100)
        assert self.links(client, model) == ["stop", "roll_back"]

        form = client.get(reverse("admin:registry_model_roll_back", args=[model.pk])).text
        seen, to = (re.search(rf'name="{name}" value="([^"]+)"', form)[1] for name in ("seen", "to"))
        client.post(
            reverse("admin:registry_model_roll_back", args=[model.pk]),
            {"reason": "worse", "seen": seen, "to": to},
        )
        client.post(reverse("admin:registry_model_stop", args=[model.pk]), {"reason": "back at noon"})

        assert model.splits.get(status="current").number == 3
        assert model.holds.get().text == "back at noon"
        assert self.links(client, model) == ["roll_back"]

    def test_who_may_not_is_offered_nothing(self, client, viewer):
        model = a_live_model(100)
        a_split(model, 100)

        assert self.links(client, model) == []


class TestLiveTab:
    def test_it_shows_the_newest_changes_of_this_model_to_people_who_may_read_them(self, client, signed_in):
        model, other = a_live_model(100, slug="mine"), a_live_model(100, slug="other")
        stop_model(model=model, text="smoke", by=an_actor())
        stop_model(model=other, text="elsewhere", by=an_actor())

        signed_in(Role.OPERATOR)
        page = read(client, model)
        signed_in(Role.VIEWER)
        viewed = read(client, model)

        assert "stopped the Model" in page.partition("Recent changes")[2]
        assert "elsewhere" not in page
        assert "Recent changes" not in viewed

    def test_health_follows_checks_and_crashes(self, client, viewer):
        model = a_live_model(50, 50)
        good, bad = model.versions.order_by("number")
        now = timezone.now()
        for version, number, state in ((good, 1, "failed"), (good, 2, "passed"), (bad, 1, "failed")):
            CheckRun.objects.create(
                version=version, number=number, state=state, reason="torn" if state == "failed" else "",
                runtime_version="1", asked_by="tester", started_at=now, ended_at=now,
            )  # fmt: skip
        bad.crashes.create(signal="SIGSEGV", process="web", source="a", crashed_at=now)

        lines = [*checks_health(model, [good, bad]), *crashes_health(model, [good, bad])]
        page = read(client, model)

        assert [line.health for line in lines] == [HealthLook.GOOD, HealthLook.BAD, HealthLook.DOUBTFUL]
        assert "Check 1 of version 2 failed: torn" in page
        assert "Version 2 crashed a process" in page
        assert "No process that serves this Model is running." in page

    def test_what_is_not_live_has_no_health(self, client, viewer):
        assert "rh-health" not in read(client, a_model())


class TestRequestPage:
    @pytest.fixture
    def asked(self):
        model = set_approval_rule(model=a_live_model(100), needed=True, reason="x", by=an_actor())
        live, newer = model.versions.get(), a_version(model)
        ask = ask_for_split(model=model, arms={live: 9_000, newer: 1_000}, comment="a try", by=an_actor())
        Split.objects.filter(model=model).update(from_at=timezone.now() - timedelta(hours=2))
        minute = timezone.now().replace(second=0, microsecond=0) - timedelta(minutes=30)
        for split, ok in ((1, 97), (0, 1_000)):
            ArmMinute.objects.create(
                minute=minute, process="one", model_id=model.pk, split=split, arm="a" if split else "",
                version_id=live.pk, ok=ok, errors=3 if split else 0, refused=0, seconds=0.0, buckets={"40": ok},
            )  # fmt: skip
        return ask

    def test_figures_since_the_split_began_are_beside_the_decision(self, client, signed_in, asked):
        signed_in(Role.APPROVER)
        page = read(client, asked)
        figures = page.partition("rh-request-arms")[2].partition("</table>")[0]

        cells = re.findall(r"<td>(.*?)</td>", figures)
        assert [re.sub("<[^>]*>", "", cell) for cell in cells] == ["v1", "100 %", "100", "3.0 %", "1 ms"]
        assert "version 2: 0 → <b>10 %</b>" in page
        assert "version 1: 100 → <b>90 %</b>" in page

    def test_one_submit_with_a_reason_decides(self, client, signed_in, asked):
        signed_in(Role.APPROVER)
        (approve,) = re.findall(r'rh-main" type="submit" formaction="([^"]+)"', read(client, asked))

        client.post(approve, {"reason": ""})
        asked.refresh_from_db()
        assert asked.status == "open"

        client.post(approve, {"reason": "looks good"})
        asked.refresh_from_db()
        assert (asked.status, asked.decision) == ("approved", "looks good")

    def test_a_request_for_the_first_split_moves_no_keys(self, client, operator):
        model = set_approval_rule(model=a_model(), needed=True, reason="x", by=an_actor())
        asked = ask_for_split(model=model, arms={a_version(model): 10_000}, comment="x", by=an_actor())

        page = read(client, asked)

        assert "No version is live yet." in page
        assert "different version" not in page

    def test_an_approved_request_shows_the_figures_of_its_own_split_and_a_rejected_one_none(
        self, client, signed_in, asked
    ):
        signed_in(Role.APPROVER)
        reject = reverse("admin:registry_splitrequest_reject", args=[asked.pk])
        client.post(reject, {"reason": "not on a Friday"})

        assert "rh-request-arms" not in read(client, asked)
        live, newer = asked.model.versions.order_by("number")
        again = ask_for_split(
            model=asked.model, arms={live: 9_000, newer: 1_000}, comment="again", by=an_actor()
        )
        client.post(reverse("admin:registry_splitrequest_approve", args=[again.pk]), {"reason": "now"})
        assert "Since split 2 began" in read(client, again)


def a_big_model():
    """Much of everything that a Model's page lists."""
    model = a_live_model(60, 30, 10)
    for _ in range(12):
        a_split(model, 60, 30, 10)
    for _ in range(8):
        a_version(model)
    return Model.objects.get(pk=model.pk)


@pytest.mark.both
@pytest.mark.parametrize(
    ("tab", "most"),
    list(zip(MODEL_TABS, (41, 34, 36, 35, 32, 36, 40), strict=True)),
)
def test_a_models_tab_asks_few_queries(client, operator, django_assert_max_num_queries, tab, most):
    model = a_big_model()
    read(client, model, tab=tab)

    with django_assert_max_num_queries(most):
        read(client, model, tab=tab)


@pytest.mark.both
@pytest.mark.parametrize("tab", VERSION_TABS)
def test_a_versions_tab_asks_few_queries(client, operator, django_assert_max_num_queries, tab):
    version = Version.objects.filter(model=a_big_model()).order_by("number").first()
    read(client, version, tab=tab)

    with django_assert_max_num_queries(35):
        read(client, version, tab=tab)
