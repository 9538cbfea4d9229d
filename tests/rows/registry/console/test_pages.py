from html import unescape

import pytest
from django.contrib import admin
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from moderation.cases.models import ReviewQueue
from moderation.review.models import ReviewAction
from moderation.rights import ModerationRole
from registry.access.limits import NO_LIMITS
from registry.access.policies import Role
from registry.catalogue.models import Model, Version
from registry.catalogue.services import change_serving, move_alias
from registry.console.admin import MODEL_VERBS
from registry.intake.checklist.models import CheckRun
from registry.kit.admin.attention import ATTENTION
from registry.record.models import AuditRecord, Delivery, Event, Subscription
from registry.traffic.models import Hold
from registry.traffic.services import freeze_model, stop_model
from tests.support.factories import a_live_model, a_model, a_split, a_version, an_actor

pytestmark = pytest.mark.django_db

LISTS = ["model", "version", "alias", "servingsettings", "artifact", "split", "hold"]
FULL = {"user", "group", "auditrecord", "event"}  # whoever looks has made some
OWN = {"enginereport", "categorymapping", "reviewer"}  # no list, but a page that shows them all
EMPTY = [page for page in admin.site._registry.values() if page.opts.model_name not in FULL | OWN]
EVIL = "<script>alert(1)</script>"


HOME_QUERIES = 40  # whatever is wrong, and however many Models there are
KEPT = {"bake_minutes": "30", "pool": "infer"}  # what a form has even where nobody touched it


def change_page(row):
    return reverse(f"admin:registry_{row._meta.model_name}_change", args=[row.pk])


def verb_page(row, verb):
    return change_page(row).removesuffix("change/") + f"{verb}/"


def a_full_house():
    """A bit of everything that the pages show."""
    model = a_live_model(90, 10, slug="full-house")
    a_split(model, 50, 50)
    first = model.versions.get(number=1)
    move_alias(model=model, name="next", version=first, reason="x", by=an_actor())
    change_serving(version=first, changes={"max_batch_rows": 8}, reason="x", by=an_actor())
    stop_model(model=model, text="stopped for a test", by=an_actor())
    freeze_model(model=model, reason="frozen for a test", by=an_actor())
    return model


def a_failed_version(model):
    version = a_version(model)
    Version.objects.filter(pk=version.pk).update(status="failed", failure="It has no outputs.")
    return Version.objects.get(pk=version.pk)


@pytest.mark.parametrize("method", ["get", "post"])
def test_a_failed_version_is_offered_no_share(client, operator, method):
    model = a_live_model(100)

    response = getattr(client, method)(verb_page(a_failed_version(model), "a-b"))

    page = unescape(response.content.decode())
    assert "it must be ready, but it is failed: It has no outputs." in page
    assert 'name="reason"' not in page
    assert model.splits.count() == 1


def test_a_version_shows_its_task_files_and_the_hash_of_its_preprocessing(client, viewer):
    version = a_version(
        a_model(task="text-classification"),
        task_config={"labels": [f"label {number}" for number in range(100)]},
        task_files={"tokenizer.json": "a" * 64},
    )
    Version.objects.filter(pk=version.pk).update(preprocessing="0123456789abcdef")

    page = client.get(reverse("admin:registry_version_change", args=[version.pk])).content.decode()

    assert "label 7 and 92 more" in page and "label 8" not in page
    assert f'tokenizer.json <code title="SHA-256 {"a" * 64}">{"a" * 12}</code>' in page
    assert "0123456789abcdef" in page
    assert "/files/tokenizer.json" not in page


def test_whoever_may_download_finds_links_to_the_task_files(client, operator):
    version = a_version(
        a_model("tone", task="text-classification"),
        task_config={"labels": ["a", "b"]},
        task_files={"tokenizer.json": "a" * 64},
    )

    page = client.get(reverse("admin:registry_version_change", args=[version.pk])).text

    assert 'href="/api/v1/models/tone/versions/1/files/tokenizer.json"' in page


def test_a_ready_version_is_offered_one(client, operator):
    """The control."""
    page = client.get(verb_page(a_version(a_live_model(100)), "a-b")).content.decode()

    assert 'name="reason"' in page


def test_a_version_that_is_live_already_and_a_model_without_a_newcomer_say_so(client, operator):
    model = a_live_model(100)

    assert "is already live" in client.get(verb_page(model.versions.get(), "a-b")).content.decode()
    assert "No ready version of" in client.get(verb_page(model, "a-b")).content.decode()


@pytest.mark.parametrize("name", LISTS)
def test_every_list_opens_and_searches(client, viewer, name):
    a_full_house()
    url = reverse(f"admin:registry_{name}_changelist")

    assert client.get(url).status_code == 200
    assert client.get(url, {"q": "full"}).status_code == 200


@pytest.mark.parametrize("page", EMPTY, ids=str)
def test_an_empty_list_says_what_would_be_in_it(client, signed_in, page):
    signed_in(Role.ADMIN, Role.OPERATOR, ModerationRole.REVIEWER, ModerationRole.LEAD)
    ReviewQueue.objects.all().delete()
    ReviewAction.objects.all().delete()
    url = reverse(f"admin:{page.opts.app_label}_{page.opts.model_name}_changelist")

    assert page.empty_text in unescape(client.get(url).text)
    if page.search_fields:
        assert "No results" in client.get(url, {"q": "no such thing"}).text


def test_without_a_role_nothing_is_visible(client, signed_in):
    model = a_full_house()
    signed_in()

    assert client.get(change_page(model)).status_code in {302, 403}
    assert "full-house" not in client.get(reverse("admin:index")).text


def test_the_model_page_shows_what_is_live_and_what_holds_it_back(client, viewer):
    address = change_page(a_full_house())
    live, versions = (client.get(address, {"tab": tab}).text for tab in ("live", "versions"))

    for text in ("stopped for a test", "frozen for a test", "50 %"):
        assert text in live and text in versions
    assert "@champion" in versions and "@next" in versions


def test_an_operator_edits_a_model_through_the_service(client, operator):
    model = a_model(tags=["old"])
    key = {"key_source": "field", "key_field": "customer"}

    answer = client.post(
        change_page(model), {"title": "New", "notes": EVIL, "tag_words": "a, b", **key, **KEPT}
    )

    edited = Model.objects.get(pk=model.pk)
    assert answer.status_code == 302
    assert (edited.title, edited.key_field) == ("New", "customer")
    assert [tag.name for tag in edited.tags.all()] == ["a", "b"]
    assert edited.revision > model.revision
    assert EVIL not in client.get(change_page(model), {"tab": "settings"}).text


def test_an_operator_moves_a_model_to_another_pool_and_says_why(client, operator):
    model = a_model()
    form = {"key_source": "random", **KEPT, "pool": "gpu"}

    asked = client.post(change_page(model), form).text
    client.post(change_page(model), {**form, "reason": "it is too big for the others"})

    assert "Give a reason for moving to another pool." in asked
    assert Model.objects.get().pool == "gpu"
    assert AuditRecord.objects.order_by("-pk")[0].reason == "it is too big for the others"


def test_page_refuses_to_move_a_live_model(client, operator, settings):
    settings.EXECUTOR = "workers"
    model = a_live_model(100)

    form = {"key_source": "random", **KEPT, "pool": "gpu", "reason": "because"}

    assert "Stop it, change its pool" in client.post(change_page(model), form).text
    assert Model.objects.get().pool == "infer"


def test_an_operator_limits_a_model(client, operator):
    model = a_model()
    form = {"title": "", "notes": "", "key_source": "random", "key_field": "", **KEPT}

    client.post(
        change_page(model), {**form, "rate_per_minute": "600", "concurrency": "8", "exact_rate": "on"}
    )
    shown = client.get(reverse("admin:registry_model_changelist")).text
    page = client.post(change_page(model), {**form, "exact_rate": "on"}).text

    assert "600 a minute (strict), 8 at once" in shown
    assert "A strict limit needs a rate" in page
    client.post(change_page(model), form)
    assert Model.objects.get().limits == NO_LIMITS


def test_an_incomplete_routing_key_is_refused_on_the_form(client, operator):
    page = client.post(change_page(a_model()), {"key_source": "field", "key_field": ""})

    assert "Name a field if, and only if," in page.text


def test_the_split_is_set_from_the_model_page(client, operator):
    model = a_live_model(90, 10)
    page = client.get(verb_page(model, "split")).text
    assert 'value="90.00"' in page or 'value="90"' in page

    form = {"version_1": "87.5", "version_2": "12.5", "reason": "more", "seen": "1"}
    answer = client.post(verb_page(model, "split"), form, follow=True)

    assert "is current" in answer.text
    assert sorted(model.splits.get(status="current").shares().values()) == [1_250, 8_750]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"version_1": "80"}, "add up to 100 %"),
        ({"version_1": "90", "reason": ""}, "required"),
        ({"seen": "0"}, "newest split"),
    ],
    ids=["sum", "reason", "somebody was faster"],
)
def test_what_is_wrong_with_a_split_is_said_on_its_form(client, operator, given, said):
    model = a_live_model(90, 10)
    form = {"version_1": "90", "version_2": "10", "reason": "x", "seen": "1", **given}

    assert said in client.post(verb_page(model, "split"), form).text
    assert model.splits.count() == 1


@pytest.mark.parametrize(
    ("verb", "kind", "back"), [("stop", "stopped", "start"), ("freeze", "frozen", "unfreeze")]
)
def test_stop_and_freeze_from_the_page_and_back(client, operator, verb, kind, back):
    model = a_live_model(100)

    client.post(verb_page(model, verb), {"reason": EVIL})
    page = client.get(change_page(model)).text

    assert Hold.objects.get(to_at=None).kind == kind
    assert EVIL not in page
    assert verb_page(model, back) in page
    client.post(verb_page(model, back), {"reason": "done"})
    assert not Hold.objects.filter(to_at=None).exists()


def test_a_viewer_gets_no_button(client, viewer):
    model = a_live_model(90, 10)

    page = client.get(change_page(model)).text

    assert [verb.name for verb in MODEL_VERBS if verb_page(model, verb.name) in page] == []


def test_a_version_is_archived_and_brought_back_from_its_page(client, operator):
    version = a_version()

    client.post(verb_page(version, "archive"), {"reason": "old"})
    assert Version.objects.get(pk=version.pk).status == "archived"

    client.post(verb_page(version, "unarchive"), {"reason": "needed"})
    assert Version.objects.get(pk=version.pk).status == "ready"


def test_serving_settings_are_changed_from_the_versions_page(client, operator):
    version = a_version()
    page = client.get(verb_page(version, "serving"))
    shown = page.context["form"].initial
    as_they_are = {name: value for name, value in shown.items() if value is not None and value is not False}

    assert "In JSON, null then means NaN" in page.text
    wrong = client.post(verb_page(version, "serving"), {**as_they_are, "device_id": "-1", "reason": "x"})
    assert "`device_id` must be a whole number" in unescape(wrong.text)
    change = {**as_they_are, "allow_non_finite": "on", "max_batch_rows": "8", "reason": "trees"}
    client.post(verb_page(version, "serving"), change)

    record = AuditRecord.objects.filter(action="change_serving").get()
    assert record.after == {"revision": 2, "allow_non_finite": True, "max_batch_rows": 8}
    assert "Allow non finite</dt><dd>yes" in client.get(change_page(version), {"tab": "file"}).text
    again = client.post(verb_page(version, "serving"), change)
    assert "have changed since you read them" in again.text


@pytest.mark.both
def test_a_list_page_asks_at_most_fifteen_queries_and_no_full_count(client, viewer):
    for _ in range(12):
        a_live_model(90, 10)

    asked, counts = {}, []
    for name in LISTS:
        with CaptureQueriesContext(connection) as queries:
            client.get(reverse(f"admin:registry_{name}_changelist"))
        asked[name] = len(queries)
        counts += [sql for query in queries if "COUNT(" in (sql := query["sql"].upper())]

    assert {name: count for name, count in asked.items() if count > 15} == {}
    assert [sql for sql in counts if "LIMIT" not in sql] == []


def test_home_asks_the_same_however_many_models_there_are(client, signed_in, django_assert_max_num_queries):
    signed_in(Role.OPERATOR, Role.ADMIN)
    for _ in range(12):
        a_live_model(90, 10)

    with django_assert_max_num_queries(HOME_QUERIES):
        page = client.get(reverse("admin:index")).text

    assert page.count("rh-split") >= 12
    assert "could not be checked" not in page


def test_home_asks_the_same_however_much_is_wrong(client, signed_in, django_assert_max_num_queries):
    signed_in(Role.OPERATOR, Role.ADMIN)
    models = [a_live_model(100) for _ in range(8)]
    for number, model in enumerate(models):
        stop_model(model=model, text="x", by=an_actor())
        event = Event.objects.create(kind="test", object_kind="x", object_label="x", summary="x")
        subscription = Subscription.objects.create(
            name=model.slug, url="https://example.com/", secret_salt="x"
        )
        Delivery.objects.create(
            subscription=subscription, event=event, group_key="x", message_id=str(number), due_at=timezone.now(),
            attempts=5,
        )  # fmt: skip
        a_failed_check(model.versions.get())

    with django_assert_max_num_queries(HOME_QUERIES):
        page = client.get(reverse("admin:index")).text

    for line in (
        "8 stopped Models",
        "8 subscriptions that cannot be reached",
        "8 live versions that failed a check",
    ):
        assert line in page


def a_failed_check(version):
    now = timezone.now()
    return CheckRun.objects.create(
        version=version, number=1, state="failed", reason="torn", runtime_version="1", asked_by="tester",
        started_at=now, ended_at=now,
    )  # fmt: skip


def test_models_in_trouble_come_first_and_more_than_fifty_are_searched(client, operator, monkeypatch):
    monkeypatch.setattr("registry.console.home._MODEL_LIMIT", 3)
    for number in range(5):
        a_model(f"apple-{number}")
    stop_model(model=a_live_model(100, slug="zebra"), text="x", by=an_actor())

    page = client.get(reverse("admin:index"))
    rows = page.context["shown"]["rows"]

    assert [(row["model"].slug, row["state"].word) for row in rows] == [
        ("zebra", "stopped"), ("apple-0", "nothing live"), ("apple-1", "nothing live"),
    ]  # fmt: skip
    assert "All 6 Models" in page.text
    assert 'id="rh-model-search"' in page.text


def test_home_says_when_nothing_needs_attention_and_when_it_looked(client, operator, monkeypatch):
    a_live_model(100)
    for name, _ in ATTENTION.items():
        monkeypatch.setitem(ATTENTION._items, name, (0, lambda _by: []))

    page = client.get(reverse("admin:index")).text

    assert "Nothing needs attention." in page
    assert "Checked <time" in page


def test_home_shows_changes_to_people_who_may_read_audit_records(client, signed_in):
    model = a_live_model(100, slug="fresh")
    stop_model(model=model, text=EVIL, by=an_actor())

    signed_in(Role.OPERATOR)
    page = client.get(reverse("admin:index")).text
    signed_in(Role.VIEWER)
    viewed = client.get(reverse("admin:index")).text

    assert "Changed in the last 24 hours" in page
    assert "stopped the Model" in page
    assert EVIL not in page
    assert "Changed in the last 24 hours" not in viewed
