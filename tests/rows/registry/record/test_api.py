import pytest

from registry.record.audit import AuditSubject
from registry.record.events import emit
from registry.record.models import AuditRecord, Delivery, Event, Subscription
from tests.support.clients import client_for
from tests.support.factories import a_model
from tests.support.tables import cases

pytestmark = pytest.mark.django_db
WISH = {"name": "hook", "kinds": ["split_changed"], "url": "https://public.example/hook"}


@pytest.fixture
def admin(db):
    return client_for("admin")


@pytest.fixture
def lines(add_record):
    Subscription.objects.create(name="all", url="https://public.example/", secret_salt="s")
    for slug in ("fraud-score", "churn"):
        add_record(slug, action=f"touch_{slug}")
        emit("split_changed", subject=AuditSubject("split", slug, slug, slug), data={"a": 1}, summary=slug)


def _slugs(response) -> set[str]:
    return {row["model_slug"] for row in response.json()["results"]}


def test_the_audit_is_read_newest_first(lines):
    rows = client_for("operator").get("/api/v1/audit", {"actor": "ada"}).json()["results"]

    assert [row["model_slug"] for row in rows] == ["churn", "fraud-score"]
    assert rows[0]["after"] == {"shares": {"1": 9_000, "2": 1_000}}


@cases(
    "query, count",
    model=({"model": "churn"}, 1),
    action=({"action": "touch_churn"}, 1),
    source=({"source": "api", "actor": "ada"}, 0),
    request=({"request_id": "req-1"}, 2),
    since=({"since": "2999-01-01T00:00:00Z"}, 0),
    until=({"until": "2001-01-01T00:00:00Z"}, 0),
)
def test_the_audit_is_filtered(lines, query, count):
    assert len(client_for("operator").get("/api/v1/audit", query).json()["results"]) == count


def test_one_record(lines):
    seq = AuditRecord.objects.filter(model_slug="churn").get().pk

    record = client_for("operator").get(f"/api/v1/audit/{seq}").json()
    assert record["action"] == "touch_churn"
    assert record["sentence"].startswith("touch churn churn: shares: 1 10,000 → 1 9,000, 2 1,000")


PATHS = ["audit", "events", "deliveries"]


def test_who_is_limited_to_a_model_reads_what_is_about_it(lines):
    mine = a_model("churn")
    client = client_for("operator", models=[mine.pk])

    assert _slugs(client.get("/api/v1/audit")) == {"churn"}
    assert _slugs(client.get("/api/v1/events")) == {"churn"}
    events = {row["event"] for row in client.get("/api/v1/deliveries").json()["results"]}
    assert events == {Event.objects.get(model_slug="churn").pk}
    for path, row in (("audit", AuditRecord), ("events", Event)):
        foreign = row.objects.filter(model_slug="fraud-score").first()
        assert client.get(f"/api/v1/{path}/{foreign.pk}").status_code == 404


def test_a_subscription_is_made_with_its_secret(admin):
    response = admin.post("/api/v1/subscriptions", WISH | {"model": a_model("churn").slug})

    body = response.json()
    assert response.status_code == 201
    assert body["secret"].startswith("whsec_")
    assert response["Location"] == f"/api/v1/subscriptions/{body['id']}"
    shown = admin.get(response["Location"]).json()
    assert "secret" not in shown
    assert (shown["name"], shown["model"], shown["channel"]) == ("hook", "churn", "webhook")


def test_a_repeated_post_makes_one_and_tells_no_secret_again(admin):
    first, second = (
        admin.post("/api/v1/subscriptions", WISH, headers={"Idempotency-Key": "one"}) for _ in range(2)
    )

    assert (first.status_code, second.status_code) == (201, 201)
    assert second.json()["secret"] is None
    assert Subscription.objects.count() == 1


@cases(
    "change, code",
    kind=({"kinds": ["nothing"]}, "invalid"),
    address=({"url": "http://10.0.0.5/"}, "address_not_allowed"),
)
def test_a_refusal_has_its_code(admin, change, code):
    response = admin.post("/api/v1/subscriptions", WISH | change)

    assert (response.status_code, response.json()["code"]) == (422, code)


@pytest.fixture
def address(admin):
    return admin.post("/api/v1/subscriptions", WISH)["Location"]


def test_a_subscription_is_replaced_by_who_saw_its_state(admin, address):
    seen = admin.get(address)["ETag"]

    changed = admin.put(address, WISH | {"enabled": False}, headers={"If-Match": seen})
    stale = admin.put(address, WISH, headers={"If-Match": seen})

    assert (changed.status_code, changed.json()["enabled"]) == (200, False)
    assert stale.status_code == 412


def test_a_subscription_is_ended_by_who_saw_its_state(admin, address):
    assert admin.delete(address, headers={"If-Match": '"other"'}).status_code == 412
    assert admin.delete(address).status_code == 204
    assert admin.get(address).status_code == 404


def test_another_secret_is_shown_once(admin, address):
    assert admin.post(f"{address}/renew-secret").json()["secret"].startswith("whsec_")


def test_a_test_becomes_a_delivery(admin, address):
    response = admin.post(f"{address}/test")

    assert response.status_code == 202
    assert admin.get(response["Location"]).json()["subscription"] == "hook"


def test_a_delivery_shows_its_order_key_until_it_is_sent_again(admin, lines):
    subject = AuditSubject("split", "3", "a split")
    emit("split_changed", subject=subject, data={}, summary="It changed.", order_key="case:7")
    delivery = Delivery.objects.get(event__object_id="3")
    address = f"/api/v1/deliveries/{delivery.pk}"
    assert admin.get(address).json()["order_key"] == "case:7"

    Delivery.objects.filter(pk=delivery.pk).update(status="failed", ended_at=delivery.created_at)
    assert admin.post(f"{address}/resend").json()["order_key"] == ""


def test_a_delivery_is_sent_again_when_it_is_over(admin, lines):
    delivery = Delivery.objects.first()
    address = f"/api/v1/deliveries/{delivery.pk}/resend"
    assert admin.post(address).status_code == 409

    Delivery.objects.filter(pk=delivery.pk).update(status="failed", ended_at=delivery.created_at)
    assert admin.post(address).json()["status"] == "waiting"
