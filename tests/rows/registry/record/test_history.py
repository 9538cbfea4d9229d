"""The History page of rows: the audit records about them, for those who may read them."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from registry.kit.admin.links import RowLinks
from registry.record import history
from registry.record.models import AuditRecord, Event
from registry.record.sentences import size
from registry.traffic import services as traffic
from tests.support.factories import a_key, a_live_model, a_model, a_person, a_split, a_version, an_actor

pytestmark = pytest.mark.django_db


@pytest.fixture
def login(client):
    def log_in(*roles, **more):
        client.force_login(a_person(*roles, **more))
        return client

    return log_in


@pytest.fixture
def operator(login):
    return login("operator")


@pytest.fixture
def model():
    """Two versions, of which the second got half of the traffic."""
    model = a_live_model(100, slug="fraud")
    a_version(model)
    a_split(model, 50, 50)
    return model


def _address(row, page="history"):
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_{page}", args=[row.pk])


def _sentences(text):
    """What the lines say, in order."""
    parts = text.partition("rh-record-lines")[2].partition("</ol>")[0].split('<a class="rh-link" href="')[1:]
    return [part.partition(">")[2].partition("<")[0] for part in parts]


def _has_button(client, row):
    return f'href="{_address(row)}' in client.get(_address(row, "change")).text


class TestModelHistory:
    def test_everything_about_the_model_newest_first(self, operator, model):
        a_live_model(100, slug="other")

        told = _sentences(operator.get(_address(model)).text)

        assert told[0] == "Set split 2: v2 0 → 50 %, v1 100 → 50 %"
        assert told[-1] == "Created the Model with task tensor"
        assert len(told) == AuditRecord.objects.filter(model_slug="fraud").count()

    def test_only_one_kind_is_shown_if_it_is_chosen(self, operator, model):
        page = operator.get(_address(model), {"kind": "split"}).text

        assert _sentences(page) == ["Set split 2: v2 0 → 50 %, v1 100 → 50 %", "Set split 1: v1 100 %"]
        assert '<a href="?kind=split" aria-current="true">splits</a>' in page

    @pytest.mark.parametrize(
        "query", ["kind=nonsense", "before=x", "before=-1", "before=9" + "9" * 40, "kind=%00"]
    )
    def test_a_strange_query_shows_everything(self, operator, model, query):
        page = operator.get(f"{_address(model)}?{query}")

        assert len(_sentences(page.text)) == AuditRecord.objects.filter(model_slug="fraud").count()

    def test_older_records_are_on_the_next_page(self, operator, model, monkeypatch):
        monkeypatch.setattr(history, "PER_PAGE", 4)
        first = operator.get(_address(model)).text
        seen, page = _sentences(first), first

        while 'href="?before=' in page:
            before = page.partition('href="?before=')[2].partition('"')[0]
            page = operator.get(_address(model), {"before": before}).text
            assert ">Newest</a>" in page
            seen += _sentences(page)

        assert ">Newest</a>" not in first
        assert len(seen) == AuditRecord.objects.filter(model_slug="fraud").count()
        assert seen[-1] == "Created the Model with task tensor"

    def test_a_line_names_who_why_and_what(self, login, model):
        admin = login("admin", username="boss")
        boss = an_actor(user=admin.get("/admin/").wsgi_request.user)
        traffic.stop_model(model=model, text="smoke & fire", by=boss)
        traffic.start_model(model=model, reason="it was <i>steam</i>", by=boss)

        page = admin.get(_address(model)).text

        assert "Stopped the Model; callers get “smoke &amp; fire”" in page
        assert page.count("smoke &amp; fire") == 1  # the reason is the text, which the sentence quotes
        assert "it was &lt;i&gt;steam&lt;/i&gt;" in page
        assert f'<a href="{reverse("admin:auth_user_change", args=[boss.user_id])}">boss</a>' in page
        assert f'<a href="{_address(model.splits.get(number=2), "change")}">fraud split 2</a>' in page

    def test_as_many_queries_for_many_records_as_for_one(self, operator, model):
        def queries(**query):
            with CaptureQueriesContext(connection) as captured:
                operator.get(_address(model), query)
            return len(captured)

        queries()
        many = queries()
        one = queries(before=AuditRecord.objects.filter(model_slug="fraud").earliest("seq").pk + 1)
        assert many == one <= 15


class TestOtherHistories:
    def test_a_version_shows_what_is_about_it(self, operator, model):
        second = model.versions.get(number=2)

        told = _sentences(operator.get(_address(second)).text)

        assert told == [
            "Marked version 2 as ready: it passed its checks",
            "Started checking version 2",
            f"Registered version 2 ({size(1234)})",
        ]
        chosen = operator.get(_address(second), {"kind": "pass_check"}).text
        assert _sentences(chosen) == told[:1]

    def test_the_list_of_all_records_is_filtered_to_the_row(self, operator, model):
        version = model.versions.get(number=2)
        page = operator.get(_address(version)).text

        address = (
            page.partition('<a href="/admin/registry/auditrecord/?')[2]
            .partition('"')[0]
            .replace("&amp;", "&")
        )
        records = operator.get(f"/admin/registry/auditrecord/?{address}").context["cl"].result_list
        assert {(record.object_kind, record.object_id) for record in records} == {
            ("version", str(version.pk))
        }

    def test_a_request_and_a_person_have_one(self, login, model):
        admin = login("admin", "operator")
        arms = dict(zip(model.versions.order_by("number"), (1000, 9000), strict=True))
        request = traffic.ask_for_split(model=model, arms=arms, comment="more", by=an_actor())
        person, (key, _) = a_person("viewer", username="ann"), a_key()

        assert _sentences(admin.get(_address(request)).text)[0].startswith(f"Opened request {request.pk}")
        assert _sentences(admin.get(_address(person)).text) == ["Created the account of ann with role viewer"]
        assert all(_has_button(admin, row) for row in (request, person, key, model))

    def test_a_row_without_records_has_no_button(self, operator, model):
        traffic.stop_model(model=model, text="smoke", by=an_actor())
        event = Event.objects.latest("pk")

        assert not any(
            _has_button(operator, row) for row in (event, model.holds.get(), AuditRecord.objects.first())
        )
        assert "Nothing has been recorded yet." in operator.get(_address(event)).text

    def test_a_row_that_does_not_exist_has_no_history(self, operator):
        assert operator.get("/admin/registry/version/999/history/").status_code == 302


class TestWhoMayReadHistories:
    def test_without_the_right_the_page_says_who_has_it(self, login, model):
        page = login("viewer").get(_address(model))

        assert page.status_code == 200
        assert "Operators, approvers and admins can read them" in page.text
        assert "Set split" not in page.text

    def test_a_model_out_of_scope_has_no_history(self, login, model):
        mine = a_model("mine")
        limited = login("operator", models=[mine.pk])

        assert limited.get(_address(model)).status_code == 302
        assert _sentences(limited.get(_address(mine)).text)[-1] == "Created the Model with task tensor"

    def test_no_link_leads_to_a_page_that_the_viewer_may_not_open(self, operator):
        person = a_person("viewer")
        request = operator.get("/admin/").wsgi_request

        links = RowLinks(request)

        assert links.url("user", person.pk) == ""
        assert links.url("version", 3) == "/admin/registry/version/3/change/"
        assert links.url("unheard-of", 3) == links.url("version", "") == links.url("version", None) == ""
