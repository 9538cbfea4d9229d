import csv
import io
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import strip_tags

from registry.kit.actors import Source
from registry.record.audit import AuditSubject
from registry.record.checkpoints import write_checkpoint
from registry.record.events import emit
from registry.record.models import AuditRecord, Delivery, Event, Subscription
from tests.support.factories import a_live_model, a_model, a_person
from tests.support.tables import cases

pytestmark = pytest.mark.django_db
LIST = "/admin/registry/auditrecord/"
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def operator(client):
    client.force_login(a_person("operator"))
    return client


@pytest.fixture
def admin(client):
    client.force_login(a_person("admin"))
    return client


def _records(response) -> list[AuditRecord]:
    return list(response.context["cl"].result_list)


@pytest.fixture
def lines(add_record):
    return [
        add_record("fraud-score", action="set_split", reason="first"),
        add_record("churn", action="stop_model", reason=HOSTILE),
        add_record("fraud-score", action="stop_model", reason="=1+1"),
    ]


def test_the_newest_comes_first(operator, lines):
    shown = _records(operator.get(LIST))

    assert [record.pk for record in shown][:3] == sorted((record.pk for record in shown), reverse=True)[:3]


@cases(
    "query, reasons",
    action=({"action": "set_split"}, ["first"]),
    model=({"model_slug": "churn"}, [HOSTILE]),
    actor_and_action=({"actor_name": "ada", "action": "stop_model"}, ["=1+1", HOSTILE]),
    nobody=({"actor_name": "nobody"}, []),
    source=({"source__exact": "api"}, []),
    long_ago=({"at_to_0": "2001-01-02", "at_to_1": "00:00"}, []),
    not_yet=({"at_from_0": "2999-01-01"}, []),
    since_long_ago=({"at_from_0": "2001-01-01", "action": "set_split"}, ["first"]),
    no_day=({"at_from_0": "someday", "action": "set_split"}, ["first"]),
    search_label=({"q": "churn"}, [HOSTILE]),
    search_part=({"q": "chur"}, []),
    search_request=({"q": "req-1", "action": "set_split"}, ["first"]),
)  # fmt: skip
def test_the_list_is_filtered(operator, lines, query, reasons):
    assert [record.reason for record in _records(operator.get(LIST, query))] == reasons


def test_a_number_finds_its_record(operator, lines):
    assert lines[0] in _records(operator.get(LIST, {"q": f"#{lines[0].pk}"}))


def test_a_record_shows_its_change(operator, lines):
    page = operator.get(f"{LIST}{lines[0].pk}/change/").content.decode()

    assert "<ins>{&quot;1&quot;: 9000, &quot;2&quot;: 1000}</ins>" in page
    assert "<del>{&quot;1&quot;: 10000}</del>" in page


def test_the_list_tells_what_was_done_with_links(operator):
    model = a_live_model(100, slug="fraud")

    page = operator.get(LIST, {"model_slug": "fraud", "action": "set_split"}).content.decode()

    assert ">Set split 1: v1 100 %</a>" in page
    assert '<span class="rh-badge rh-badge-warn"' in page
    assert f'href="/admin/registry/split/{model.splits.get().pk}/change/">fraud split 1</a>' in page
    assert f'href="/admin/registry/model/{model.pk}/change/">fraud</a>' in page
    assert '<option value="set_split" selected>set split</option>' in page


def test_a_record_and_an_event_link_to_what_they_are_about(operator):
    split = a_live_model(100, slug="fraud").splits.get()
    record = AuditRecord.objects.get(action="set_split")
    event = Event.objects.get(kind="split_changed")

    shown = operator.get(f"{LIST}{record.pk}/change/").content.decode()
    event_page = operator.get(f"/admin/registry/event/{event.pk}/change/").content.decode()
    events = operator.get("/admin/registry/event/", {"kind": "split_changed"}).content.decode()

    assert "Set split 1: v1 100 %" in shown
    for page in (shown, event_page, events):
        assert f'href="/admin/registry/split/{split.pk}/change/">fraud split 1</a>' in page
    assert "split_changed: A Model has a new current split." in event_page


def test_what_people_wrote_is_text(operator, lines, add_record):
    subject = AuditSubject("x", HOSTILE, HOSTILE)
    hostile = add_record(HOSTILE, before={HOSTILE: HOSTILE}, after=None, subject=subject)

    for address in (LIST, f"{LIST}{hostile.pk}/change/"):
        page = operator.get(address).content.decode()
        assert HOSTILE not in page
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def _export(client, **query) -> list[list[str]]:
    response = client.get(f"{LIST}export/", query)
    assert response.status_code == 200
    return list(csv.reader(io.StringIO(b"".join(response).decode())))


def test_the_export_has_what_the_filters_leave(operator, lines):
    header, *rows = _export(operator, model_slug="fraud-score")

    assert [row[header.index("reason")] for row in rows] == ["first", "'=1+1"]


def test_the_list_links_to_the_export_with_its_filters(operator, lines):
    page = operator.get(LIST, {"model_slug": "churn"}).content.decode()

    assert "/admin/registry/auditrecord/export/?model_slug=churn" in page


def test_the_export_is_longer_than_the_pages(operator, add_record, monkeypatch):
    monkeypatch.setattr("registry.kit.admin.pages.COUNT_AT_MOST", 2)
    for _ in range(4):
        add_record("long")

    assert len(_export(operator, model_slug="long")) == 5


PAGES = ["auditrecord", "auditcheckpoint", "event", "delivery"]


@pytest.fixture
def one_of_each(lines):
    write_checkpoint()
    subscription = Subscription.objects.create(name="hook", url="https://public.example/", secret_salt="s")
    subject = AuditSubject("split", "1", HOSTILE, "fraud-score")
    emit("split_changed", subject=subject, data={"a": HOSTILE}, summary=HOSTILE)
    return subscription


@pytest.mark.parametrize("page", [*PAGES, "subscription"])
def test_every_page_opens_in_few_queries(admin, one_of_each, page, django_assert_max_num_queries):
    address = reverse(f"admin:registry_{page}_changelist")
    with django_assert_max_num_queries(15):
        response = admin.get(address)
    assert response.status_code == 200
    assert HOSTILE not in response.content.decode()

    row = _records(response)[0]
    detail = admin.get(reverse(f"admin:registry_{page}_change", args=[row.pk]))
    assert detail.status_code == 200
    assert HOSTILE not in detail.content.decode()


def test_who_is_limited_to_a_model_sees_what_is_about_it(client, one_of_each):
    mine = a_model("churn")
    a_model("fraud-score")
    client.force_login(a_person("operator", models=[mine.pk]))

    assert {record.model_slug for record in _records(client.get(LIST))} == {"churn"}
    assert {row[11] for row in _export(client)[1:]} == {"churn"}
    foreign = AuditRecord.objects.filter(model_slug="fraud-score").first()
    assert client.get(f"{LIST}{foreign.pk}/change/").status_code == 302
    assert _records(client.get(reverse("admin:registry_event_changelist"))) == []
    assert _records(client.get(reverse("admin:registry_delivery_changelist"))) == []


# Subscriptions

FORM = {"name": "hook", "kinds": ["split_changed"], "url": "https://public.example/", "enabled": "on"}
ADD = "/admin/registry/subscription/add/"


def _messages(response) -> str:
    return " ".join(str(message) for message in response.context["messages"])


def test_a_new_subscription_shows_its_secret_once(admin):
    response = admin.post(ADD, FORM, follow=True)

    subscription = Subscription.objects.get()
    assert subscription.kinds == ["split_changed"]
    assert "whsec_" in response.text
    assert 'data-copy="#rh-secret-text"' in response.text
    assert "whsec_" not in _messages(response)  # which would be stored
    record = AuditRecord.objects.first()
    assert (record.action, record.source) == ("add_subscription", Source.ADMIN)
    again = admin.get(f"/admin/registry/subscription/{subscription.pk}/change/")
    assert "whsec_" not in again.content.decode()


def test_a_refused_subscription_says_why(admin):
    response = admin.post(ADD, FORM | {"url": "http://127.0.0.1/"})

    form = response.context["adminform"].form
    assert "not on the public internet" in str(form.errors["url"])
    assert not Subscription.objects.exists()


def test_a_refused_subscription_keeps_what_was_filled_in(admin):
    asked = FORM | {"url": "http://127.0.0.1/", "kinds": ["worker_lost", "check_failed"]}

    response = admin.post(ADD, asked)

    assert 'value="hook"' in response.content.decode()
    assert 'value="http://127.0.0.1/"' in response.content.decode()
    assert response.context["adminform"].form["kinds"].value() == asked["kinds"]


def test_a_change_that_is_refused_keeps_what_was_filled_in_and_changes_nothing(admin):
    admin.post(ADD, FORM)
    kept = Subscription.objects.get()

    page = admin.post(
        f"/admin/registry/subscription/{kept.pk}/change/",
        FORM | {"name": "other", "url": "http://127.0.0.1/"},
    ).content.decode()

    assert 'value="other"' in page
    assert "not on the public internet" in page
    assert Subscription.objects.get().name == "hook"


def test_a_subscription_is_changed_and_removed(admin):
    admin.post(ADD, FORM)
    page = f"/admin/registry/subscription/{Subscription.objects.get().pk}/"

    admin.post(f"{page}change/", FORM | {"name": "renamed"})
    assert Subscription.objects.get().name == "renamed"
    admin.post(f"{page}delete/", {"post": "yes"})
    assert not Subscription.objects.exists()

    actions = AuditRecord.objects.filter(object_kind="subscription").values_list("action", flat=True)
    assert list(actions) == ["remove_subscription", "change_subscription", "add_subscription"]


def test_many_are_removed_at_once_and_each_is_audited(admin):
    for name in ("one", "two"):
        admin.post(ADD, FORM | {"name": name})
    chosen = list(Subscription.objects.values_list("pk", flat=True))

    form = {"action": "delete_selected", "_selected_action": chosen, "post": "yes"}
    admin.post("/admin/registry/subscription/", form)

    assert not Subscription.objects.exists()
    assert AuditRecord.objects.filter(action="remove_subscription").count() == 2


def _press(client, name: str, row) -> str:
    return _messages(client.post(reverse(f"admin:{name}", args=[row.pk]), follow=True))


def test_the_buttons_of_a_subscription(admin, one_of_each):
    assert "is being sent as delivery" in _press(admin, "test_subscription", one_of_each)
    renew = reverse("admin:renew_subscription_secret", args=[one_of_each.pk])
    assert "whsec_" in admin.post(renew).text

    assert Delivery.objects.filter(event__kind="test", subscription=one_of_each).exists()
    assert Subscription.objects.get().secret_salt != "s"


def test_the_resend_button_sends_again_what_is_over(admin, one_of_each):
    assert "still being sent" in _press(admin, "resend_delivery", Delivery.objects.get())
    now = timezone.now()
    Delivery.objects.update(status="failed", ended_at=now, due_at=now - timedelta(days=1))

    assert "sent again" in _press(admin, "resend_delivery", Delivery.objects.get())

    assert Delivery.objects.get().status == "waiting"


def test_the_list_of_deliveries_says_when_the_next_attempt_is_only_if_there_is_one(admin, one_of_each):
    address, badge = (
        reverse("admin:registry_delivery_changelist"),
        '<span class="rh-badge rh-badge-{}">{}</span>',
    )
    due = Delivery.objects.get().due_at.isoformat()

    waiting = admin.get(address).content.decode()
    assert badge.format("busy", "waiting") in waiting
    assert f'datetime="{due}"' in waiting

    Delivery.objects.update(status="delivered", ended_at=timezone.now())
    delivered = admin.get(address).content.decode()
    assert badge.format("good", "delivered") in delivered
    assert f'datetime="{due}"' not in delivered


def test_a_delivery_that_waits_for_another_names_it(admin, one_of_each):
    Delivery.objects.all().delete()
    for number in "123":
        subject = AuditSubject("split", number, number)
        emit("split_changed", subject=subject, data={}, summary=number, order_key="case:7")
    first, second, third = (
        Delivery.objects.filter(subscription=one_of_each).order_by("pk").values_list("pk", flat=True)
    )
    Delivery.objects.filter(pk=first).update(status="delivered", ended_at=timezone.now())

    listed = admin.get(reverse("admin:registry_delivery_changelist")).text
    page = strip_tags(admin.get(reverse("admin:registry_delivery_change", args=[third])).text)
    page_of_next = admin.get(reverse("admin:registry_delivery_change", args=[second])).text

    assert f"after delivery {second}" in listed
    assert f"after delivery {first}" not in listed
    assert f"after delivery {second}" in page
    assert "case:7" in page
    assert "after delivery" not in page_of_next


class TestLastDelivery:
    """What a subscription's page and the list say about its newest message."""

    def shown(self, client, row) -> str:
        return " ".join(strip_tags(client.get(reverse("admin:last_delivery", args=[row.pk])).text).split())

    def test_a_test_is_answered_with_the_state_of_its_delivery(self, admin, one_of_each):
        address = reverse("admin:test_subscription", args=[one_of_each.pk])

        answer = admin.post(address, headers={"X-Shown-In-Place": "yes"})

        assert 'data-open="yes"' in answer.text
        assert Delivery.objects.order_by("-pk").first().event.kind == "test"
        assert _messages(admin.get(reverse("admin:registry_event_changelist"))) == ""

    @pytest.mark.parametrize(
        ("facts", "said"),
        [
            ({"status": "delivered", "http_status": 204, "response_ms": 31}, "delivered"),
            ({"status": "failed", "http_status": 410, "response_ms": 5, "last_error": "Gone."}, "Gone."),
        ],
    )
    def test_of_one_that_has_ended(self, admin, one_of_each, facts, said):
        Delivery.objects.update(ended_at=timezone.now(), **facts)

        text = self.shown(admin, one_of_each)

        assert said in text
        assert f"{facts['http_status']} · {facts['response_ms']} ms" in text

    def test_of_one_that_is_tried_again(self, admin, one_of_each):
        Delivery.objects.update(attempts=1, last_error="The receiver answered 500.", http_status=500)

        page = admin.get(reverse("admin:last_delivery", args=[one_of_each.pk])).text

        assert "next attempt" in page
        assert "The receiver answered 500." in page
        assert 'data-open="no"' in page

    def test_the_list_needs_no_query_per_subscription(
        self, admin, one_of_each, django_assert_max_num_queries
    ):
        address = reverse("admin:registry_subscription_changelist")
        for number in range(20):
            admin.post(ADD, FORM | {"name": f"hook {number}"})

        with django_assert_max_num_queries(15):
            page = admin.get(address).text

        assert page.count('data-post="test_subscription"') == 21
        assert page.count("nothing sent yet") == 20


def test_enter_in_a_subscription_does_not_press_its_buttons(admin, one_of_each):
    page = admin.get(f"/admin/registry/subscription/{one_of_each.pk}/change/").text

    assert page.count('data-post="') == page.count('form="rh-post"') == 2
