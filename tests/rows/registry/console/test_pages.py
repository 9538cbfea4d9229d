from html import unescape

import pytest
from django.contrib import admin
from django.urls import reverse

from registry.access.limits import NO_LIMITS
from registry.access.policies import Role
from registry.catalogue.models import Model, Version
from registry.catalogue.services import change_serving, move_alias
from registry.console.verbs import MODEL_VERBS
from registry.record.models import AuditRecord
from registry.traffic.models import Hold
from registry.traffic.services import freeze_model, stop_model
from tests.support.factories import a_live_model, a_model, a_person, a_split, a_version, an_actor

pytestmark = pytest.mark.django_db

LISTS = ["model", "version", "alias", "servingsettings", "artifact", "split", "hold"]
FULL = {"user", "group", "auditrecord", "event"}  # whoever looks has made some
OWN = {"enginereport"}  # no list, but a page that shows them all
EMPTY = [page for page in admin.site._registry.values() if page.opts.model_name not in FULL | OWN]
EVIL = "<script>alert(1)</script>"


@pytest.fixture
def signed_in(client):
    def sign_in(*roles, **more):
        person = a_person(*roles, **more)
        client.force_login(person)
        return person

    return sign_in


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


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR, Role.APPROVER, Role.ADMIN])
def test_every_list_opens_and_searches_for_every_role(client, signed_in, name, role):
    a_full_house()
    signed_in(role)
    url = reverse(f"admin:registry_{name}_changelist")

    assert client.get(url).status_code == 200
    assert client.get(url, {"q": "full"}).status_code == 200


@pytest.mark.parametrize("page", EMPTY, ids=str)
def test_an_empty_list_says_what_would_be_in_it(client, signed_in, page):
    signed_in(Role.ADMIN, Role.OPERATOR)
    url = reverse(f"admin:{page.opts.app_label}_{page.opts.model_name}_changelist")

    assert page.empty_text in unescape(client.get(url).text)
    if page.search_fields:
        assert "Nothing fits" in client.get(url, {"q": "no such thing"}).text


def test_nobody_sees_anything_without_a_role(client, signed_in):
    model = a_full_house()
    signed_in()

    assert client.get(change_page(model)).status_code in {302, 403}
    assert "full-house" not in client.get(reverse("admin:index")).content.decode()


def test_the_model_page_shows_what_is_live_and_what_holds_it_back(client, signed_in):
    model = a_full_house()
    signed_in(Role.VIEWER)

    page = client.get(change_page(model)).content.decode()

    for text in ("stopped for a test", "frozen for a test", "@champion", "50 %", "@next"):
        assert text in page


def test_an_operator_edits_a_model_through_the_service(client, signed_in):
    model = a_model(tags=["old"])
    signed_in(Role.OPERATOR)

    answer = client.post(
        change_page(model),
        {
            "title": "New",
            "notes": EVIL,
            "tag_words": "a, b",
            "key_source": "field",
            "key_field": "customer",
            **KEPT,
        },
    )

    edited = Model.objects.get(pk=model.pk)
    assert answer.status_code == 302
    assert (edited.title, edited.key_field, [tag.name for tag in edited.tags.all()]) == (
        "New", "customer", ["a", "b"],
    )  # fmt: skip
    assert edited.revision > model.revision
    assert EVIL not in client.get(change_page(model)).content.decode()


def test_an_operator_moves_a_model_to_another_pool_and_says_why(client, signed_in):
    model = a_model()
    signed_in(Role.OPERATOR)
    form = {"key_source": "random", **KEPT, "pool": "gpu"}

    asked = client.post(change_page(model), form).content.decode()
    client.post(change_page(model), {**form, "reason": "it is too big for the others"})

    assert "Say why the Model moves to another pool." in asked
    assert Model.objects.get().pool == "gpu"
    assert AuditRecord.objects.order_by("-pk")[0].reason == "it is too big for the others"


def test_page_refuses_to_move_a_live_model(client, signed_in, settings):
    settings.EXECUTOR = "workers"
    model = a_live_model(100)
    signed_in(Role.OPERATOR)

    form = {"key_source": "random", **KEPT, "pool": "gpu", "reason": "because"}
    page = client.post(change_page(model), form).content.decode()

    assert "Stop it, change its pool" in page
    assert Model.objects.get().pool == "infer"


def test_an_operator_limits_a_model(client, signed_in):
    model = a_model()
    signed_in(Role.OPERATOR)
    form = {"title": "", "notes": "", "key_source": "random", "key_field": "", **KEPT}

    client.post(
        change_page(model), {**form, "rate_per_minute": "600", "concurrency": "8", "exact_rate": "on"}
    )
    shown = client.get(reverse("admin:registry_model_changelist")).content.decode()
    page = client.post(change_page(model), {**form, "exact_rate": "on"})

    assert "600 a minute exactly, 8 at once" in shown
    assert "Counting exactly needs a rate" in page.content.decode()
    client.post(change_page(model), form)
    assert Model.objects.get().limits == NO_LIMITS


def test_a_half_said_routing_key_is_refused_on_the_form(client, signed_in):
    model = a_model()
    signed_in(Role.OPERATOR)

    page = client.post(change_page(model), {"key_source": "field", "key_field": ""})

    assert "Name a field exactly where" in page.content.decode()


def test_the_split_is_set_from_the_model_page(client, signed_in):
    model = a_live_model(90, 10)
    signed_in(Role.OPERATOR)
    page = client.get(verb_page(model, "split"))
    assert 'value="90.00"' in page.content.decode() or 'value="90"' in page.content.decode()

    answer = client.post(
        verb_page(model, "split"), {"version_1": "87.5", "version_2": "12.5", "reason": "more", "seen": "1"}
    )

    assert answer.status_code == 302
    assert sorted(model.splits.get(status="current").shares().values()) == [1_250, 8_750]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"version_1": "80"}, "make 100 %"),
        ({"version_1": "90", "reason": ""}, "required"),
        ({"seen": "0"}, "newest split"),
    ],
    ids=["sum", "reason", "somebody was faster"],
)
def test_what_is_wrong_with_a_split_is_said_on_its_form(client, signed_in, given, said):
    model = a_live_model(90, 10)
    signed_in(Role.OPERATOR)

    page = client.post(
        verb_page(model, "split"),
        {"version_1": "90", "version_2": "10", "reason": "x", "seen": "1", **given},
    )

    assert said in page.content.decode()
    assert model.splits.count() == 1


@pytest.mark.parametrize(
    ("verb", "kind"), [("stop", "stopped"), ("freeze", "frozen")], ids=["stop", "freeze"]
)
def test_holding_back_and_letting_go_from_the_page(client, signed_in, verb, kind):
    model = a_live_model(100)
    signed_in(Role.OPERATOR)
    back = {"stop": "start", "freeze": "unfreeze"}[verb]

    client.post(verb_page(model, verb), {"reason": EVIL})
    page = client.get(change_page(model)).content.decode()

    assert Hold.objects.get(to_at=None).kind == kind
    assert EVIL not in page
    assert verb_page(model, back) in page
    client.post(verb_page(model, back), {"reason": "done"})
    assert not Hold.objects.filter(to_at=None).exists()


@pytest.mark.parametrize("verb", MODEL_VERBS, ids=lambda verb: verb.name)
def test_a_viewer_gets_no_button_and_no_page(client, signed_in, verb):
    model = a_live_model(90, 10)
    signed_in(Role.VIEWER)

    assert verb_page(model, verb.name) not in client.get(change_page(model)).content.decode()
    assert client.get(verb_page(model, verb.name)).status_code == 403
    assert client.post(verb_page(model, verb.name), {"reason": "x"}).status_code == 403


def test_a_version_is_archived_and_brought_back_from_its_page(client, signed_in):
    version = a_version()
    signed_in(Role.OPERATOR)

    client.post(verb_page(version, "archive"), {"reason": "old"})
    assert Version.objects.get(pk=version.pk).status == "archived"

    client.post(verb_page(version, "unarchive"), {"reason": "needed"})
    assert Version.objects.get(pk=version.pk).status == "ready"


@pytest.mark.parametrize("name", LISTS)
def test_a_list_page_asks_at_most_fifteen_queries_and_no_full_count(
    client, signed_in, name, django_assert_max_num_queries
):
    for _ in range(12):
        a_live_model(90, 10)
    signed_in(Role.VIEWER)

    with django_assert_max_num_queries(15) as asked:
        client.get(reverse(f"admin:registry_{name}_changelist"))

    counts = [q["sql"] for q in asked.captured_queries if "COUNT(" in q["sql"].upper()]
    assert all("LIMIT" in sql.upper() for sql in counts)


def test_home_asks_the_same_however_many_models_there_are(client, signed_in, django_assert_max_num_queries):
    for _ in range(12):
        a_live_model(90, 10)
    signed_in(Role.OPERATOR)

    with django_assert_max_num_queries(18):
        page = client.get(reverse("admin:index")).content.decode()

    assert page.count("rh-split") >= 12


def test_home_tells_what_changed_to_those_who_may_read_the_record(client, signed_in):
    model = a_live_model(100, slug="fresh")
    stop_model(model=model, text=EVIL, by=an_actor())

    signed_in(Role.OPERATOR)
    page = client.get(reverse("admin:index")).content.decode()
    signed_in(Role.VIEWER)
    viewed = client.get(reverse("admin:index")).content.decode()

    assert "Changed in the last 24 hours" in page
    assert "stop model" in page
    assert EVIL not in page
    assert "Changed in the last 24 hours" not in viewed
