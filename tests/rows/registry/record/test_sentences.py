"""What the records say that the registry's services write."""

from datetime import UTC, datetime

import pytest
from axes.models import AccessAttempt
from django.utils import timezone

from registry.access import services as access
from registry.access.limits import CallerLimits
from registry.catalogue import services as catalogue
from registry.intake.checklist import services as checklist
from registry.intake.examples import services as examples
from registry.record import subscriptions
from registry.record.models import AuditRecord
from registry.record.sentences import describe, size
from registry.record.subscriptions import SubscriptionSettings
from registry.traffic import services as traffic
from tests.support.factories import (
    SIGNATURE,
    a_file,
    a_golden_result,
    a_golden_set,
    a_key,
    a_live_model,
    a_model,
    a_person,
    a_split,
    a_tenant,
    a_version,
    an_actor,
    an_uploaded_version,
)

pytestmark = pytest.mark.django_db


def said(action: str, kind: str | None = None) -> str:
    """The sentence of the newest record of this action."""
    records = AuditRecord.objects.filter(action=action)
    return describe((records.filter(object_kind=kind) if kind else records).latest("seq"))


@pytest.fixture
def by():
    return an_actor()


@pytest.fixture
def model():
    """All traffic on version 1; version 2 is ready."""
    model = a_live_model(100, slug="fraud")
    a_version(model)
    return model


class TestSplitSentences:
    def test_the_first_split_has_nothing_to_compare_with(self, model):
        assert said("set_split") == "set split 1: v1 100 %"

    def test_a_split_shows_every_share_before_and_after(self, model):
        a_split(model, 87.5, 12.5)

        assert said("set_split") == "set split 2: v2 0 → 12.5 %, v1 100 → 87.5 %"

    def test_shadows_are_shown_if_they_changed(self, model, by):
        _, second = model.versions.order_by("number")
        a_split(model, 100, shadows={second: 2000})
        assert said("set_split") == "set split 2: v1 100 %, mirrored to v2 20 %"

        a_split(model, 100, shadows={second: 500})
        assert said("set_split") == "set split 3: v1 100 %, mirrored to v2 20 → 5 %"

    def test_a_rollback(self, model, by):
        a_split(model, 0.01, 99.99)
        traffic.roll_back(model=model, reason="worse", by=by)

        assert said("roll_back") == "rolled back with split 3: v2 99.99 → 0 %, v1 0.01 → 100 %"

    def test_reshuffling(self, model, by):
        traffic.reshuffle(model=model, reason="again", by=by)
        assert said("reshuffle") == "reshuffled the routing keys: each gets a new random bucket (split 2)"

        traffic.reshuffle(model=a_model(), reason="again", by=by)
        assert said("reshuffle") == "reshuffled the routing keys: each gets a new random bucket"

    def test_an_approved_request(self, model, by):
        traffic.set_approval_rule(model=model, needed=True, reason="rule", by=by)
        assert said("set_approval_rule") == "turned the approval rule on: live share needs a second person"
        first, second = model.versions.order_by("number")
        request = traffic.ask_for_split(model=model, arms={first: 9000, second: 1000}, comment="try", by=by)
        assert said("ask_for_split") == f"opened request {request.pk} for v2 10 %, v1 90 %"

        approver = an_actor(user=a_person("approver"))
        traffic.approve_request(request=request, reason="fine", by=approver)

        assert said("approve_request", "split") == "set split 2, as approved: v2 0 → 10 %, v1 100 → 90 %"
        assert said("approve_request", "splitrequest") == f"approved request {request.pk}; it became split 2"

    def test_a_request_that_is_not_approved(self, model, by):
        first, second = model.versions.order_by("number")
        arms = {first: 9000, second: 1000}
        withdrawn = traffic.ask_for_split(model=model, arms=arms, comment="try", by=by)
        traffic.withdraw_request(request=withdrawn, reason="no", by=by)
        rejected = traffic.ask_for_split(model=model, arms=arms, comment="try", by=by)
        traffic.reject_request(request=rejected, reason="no", by=an_actor(user=a_person("approver")))

        assert said("withdraw_request") == f"withdrew request {withdrawn.pk}"
        assert said("reject_request") == f"rejected request {rejected.pk}"

    def test_stops_and_freezes(self, model, by):
        traffic.stop_model(model=model, text="smoke", by=by)
        assert said("stop_model") == "stopped the Model; callers get “smoke”"
        traffic.stop_model(model=model, text="fire", by=by)
        assert said("stop_model") == "changed the text of the stop: callers get “fire”"
        traffic.start_model(model=model, reason="out", by=by)
        assert said("start_model") == "started the Model again"
        traffic.freeze_model(model=model, reason="audit", by=by)
        assert said("freeze_model") == "froze the Model: no version can gain live share"
        traffic.freeze_model(model=model, reason="longer", by=by)
        assert said("freeze_model") == "changed the reason of the freeze to “longer”"
        traffic.unfreeze_model(model=model, reason="done", by=by)
        assert said("unfreeze_model") == "unfroze the Model: versions can gain live share again"


class TestCatalogueSentences:
    def test_a_model(self, by):
        ann, bob = a_person("operator", username="ann"), a_person("operator", username="bob")
        model = a_model("fraud")
        assert said("create_model") == "created the Model with task tensor"

        catalogue.edit_model(model=model, changes={"owner": ann, "title": "Fraud"}, by=by)
        assert said("edit_model") == "changed title: none → Fraud; owner: none → ann"
        limits = CallerLimits(rate_per_minute=6000)
        catalogue.edit_model(model=model, changes={"owner": bob, "limits": limits}, by=by)
        assert said("edit_model") == "changed owner: ann → bob; requests a minute: none → 6,000"
        catalogue.edit_model(model=model, changes={}, by=by)
        assert said("edit_model") == "saved the Model without changing it"

    def test_where_a_version_came_from_does_not_name_another_model(self, model, by):
        """Readers of the Model's records may not see the other one."""
        for parent, told in (
            (model.versions.get(number=1), "derived from version 1"),
            (a_version(a_model("fraud-next")), "derived from a version of another Model"),
        ):
            catalogue.register_version(model=model, file=a_file(), derived_from=parent, by=by)

            assert said("register_version").partition(", ")[2] == told

    def test_a_version_from_upload_to_archive(self, by):
        version = an_uploaded_version(a_model("fraud"))
        assert said("register_version") == f"registered version 1 ({size(1234)})"
        checklist.ask_check(version=version, by=by)
        assert said("ask_check") == "requested a check of version 1"
        version = catalogue.start_check(version=version, by=by)
        assert said("start_check") == "started checking version 1"
        version = catalogue.fail_check(version=version, failure="It has no outputs.", by=by)
        assert said("fail_check") == "marked version 1 as failed: It has no outputs."
        version = catalogue.start_check(version=version, by=by)
        version = catalogue.pass_check(version=version, signature=SIGNATURE, by=by)
        assert said("pass_check") == "marked version 1 as ready: it passed its checks"
        version = catalogue.archive_version(version=version, reason="old", by=by)
        assert said("archive_version") == "archived version 1"
        catalogue.unarchive_version(version=version, reason="needed", by=by)
        assert said("unarchive_version") == "restored version 1 from the archive as ready"

    def test_serving_settings(self, by):
        version = a_version()
        catalogue.change_serving(version=version, changes={"target_p99_ms": 50}, reason="slow", by=by)
        assert said("change_serving") == "changed the latency target of version 1: default → 50 ms"
        catalogue.change_serving(version=version, changes={"target_p99_ms": 20}, reason="slow", by=by)
        assert said("change_serving") == "changed the latency target of version 1: 50 → 20 ms"
        changes = {"max_batch_rows": 128, "soft_limit_s": 2.5}
        catalogue.change_serving(version=version, changes=changes, reason="slow", by=by)
        assert said("change_serving") == (
            "changed the serving settings of version 1: rows per batch: 64 → 128; time limit: 10.0 → 2.5 s"
        )

    def test_aliases_and_their_guards(self, model, by):
        assert said("move_alias") == "pointed alias champion to version 1"
        a_split(model, 0.01, 99.99)
        assert said("move_alias") == "moved alias champion from version 1 to 2"
        first = model.versions.get(number=1)
        alias = catalogue.move_alias(model=model, name="stable", version=first, reason="safe", by=by)
        catalogue.retire_alias(alias=alias, reason="gone", by=by)
        assert said("retire_alias") == "retired alias stable, which pointed to version 1"

        ann = a_person("operator", username="ann")
        key, _ = a_key("registry.write")
        catalogue.guard_alias(model=model, name="stable", people=[ann], keys=[key], reason="x", by=by)
        assert said("guard_alias") == f"guarded alias stable: only ann, key {key.name} may move it"
        catalogue.unguard_alias(model=model, name="stable", reason="x", by=by)
        assert (
            said("unguard_alias") == "removed the guard of alias stable: everyone with the right may move it"
        )

    def test_crashes(self, by):
        version = a_version()
        for process in ("one", "two"):
            catalogue.record_crash(
                version=version,
                signal="SIGSEGV",
                process="web",
                source=process,
                crashed_at=timezone.now(),
                by=by,
            )
        assert said("break_version") == (
            "marked version 1 as broken: it is refused because it crashed its processes"
        )
        catalogue.clear_crashes(version=version, reason="fixed", by=by)
        assert said("clear_crashes") == "cleared 2 crashes of version 1: it runs like any other version again"


class TestIntakeSentences:
    def test_examples(self, by):
        version = an_uploaded_version()
        example = {"inputs": {"x": [1, 2]}, "expected": {"y": [1]}}
        examples.add_examples(version=version, examples=[example, example], by=by)
        assert said("add_examples") == "added 2 examples to version 1, which now has 2"

        examples.add_examples(version=version, examples=[example], by=by)
        assert said("add_examples") == "added 1 example to version 1, which now has 3"

    def test_golden_sets(self):
        version = a_version()
        golden = a_golden_set(version.model, floor=0.9)
        assert said("put_golden_set") == "added golden set 1 with 1 row, measured by accuracy"
        a_golden_result(version, golden, 0.95)
        assert said("record_golden_result") == (
            "measured version 1 with golden set 1: accuracy 0.95, 0 of 1 row wrong"
        )
        a_golden_set(version.model, floor=0.8)
        assert said("put_golden_set") == "replaced golden set 1 with 2: floor: 0.9 → 0.8"
        a_golden_set(version.model, {"inputs": {"x": [3]}, "label": "dog"}, floor=0.8)
        assert said("put_golden_set") == "replaced golden set 2 with 3: other rows"


class TestAccessSentences:
    def test_tenants(self, by):
        tenant = access.create_tenant(
            slug="acme", limits=CallerLimits(rate_per_minute=100, concurrency=5), by=by
        )
        assert (
            said("create_tenant")
            == "created tenant acme, at most 100 requests a minute and 5 requests at once"
        )
        access.change_tenant(tenant=tenant, title="Acme", by=by)
        assert said("change_tenant") == "changed tenant acme: title: none → Acme"
        access.change_tenant(tenant=tenant, by=by)
        assert said("change_tenant") == "saved tenant acme without changing it"

    def test_keys_never_show_their_text(self, by):
        model = a_model("fraud")
        until = datetime(2099, 1, 31, 14, 5, tzinfo=UTC)
        key, text = access.issue_key(
            name="ci",
            tenant=a_tenant(),
            scopes=["predict", "registry.read"],
            models=[model.pk],
            expires_at=until,
            by=by,
        )
        told = [
            "created API key ci with scopes predict, registry.read, only for fraud, until 2099-01-31 14:05 UTC"
        ]
        assert said("issue_key") == told[0]
        access.change_key(key=key, name="ci", scopes=["predict"], models=[], expires_at=None, by=by)
        told.append(
            "changed API key ci: scopes: predict, registry.read → predict; Models: fraud → all; "
            "expiry: 2099-01-31 14:05 UTC → none"
        )
        assert said("change_key") == told[1]
        access.revoke_key(key=key, by=by)
        assert said("revoke_key") == "revoked API key ci"
        assert not any(part in sentence for part in (text, key.prefix, key.digest) for sentence in told)

    def test_people(self, by):
        a_person("admin")
        ann = a_person("viewer", username="ann")
        assert said("create_person") == "created the account of ann with role viewer"
        access.change_person(user=ann, person=access.Person(username="ann", roles=["operator"]), by=by)
        assert said("change_person") == "changed the account of ann: roles: viewer → operator"
        gone = access.Person(username="ann", roles=["operator"], is_active=False)
        access.change_person(user=ann, person=gone, by=by)
        assert said("change_person") == "deactivated the account of ann"
        access.set_password(user=ann, password="a-long-enough-one", by=by)
        assert said("set_password") == "set the password of ann"
        access.set_password(user=ann, password=None, by=by)
        assert said("set_password") == "removed the password of ann"
        attempt = AccessAttempt.objects.create(username="ann", ip_address="192.0.2.1", failures_since_start=5)
        access.unlock_login(attempt=attempt, by=by)
        assert said("unlock_login") == "unlocked the login of ann from 192.0.2.1 after 5 failed attempts"


def test_subscriptions_never_show_a_webhooks_path(by):
    def settings(path, **more):
        url = f"https://hooks.example/{path}"
        return SubscriptionSettings(name="ops", url=url, **{"kinds": ["split_changed"], **more})

    row, _ = subscriptions.add_subscription(values=settings("TOKEN"), by=by)
    assert said("add_subscription") == "added subscription ops: split changed to hooks.example"
    subscriptions.change_subscription(subscription=row, values=settings("TOKEN", enabled=False), by=by)
    assert said("change_subscription") == "changed subscription ops: enabled: yes → no"
    subscriptions.change_subscription(subscription=row, values=settings("OTHER", enabled=False), by=by)
    assert said("change_subscription") == "changed subscription ops: webhook URL changed"
    subscriptions.renew_secret(subscription=row, by=by)
    assert said("renew_webhook_secret") == "replaced the signing secret of subscription ops"
    subscriptions.remove_subscription(subscription=row, by=by)
    assert said("remove_subscription") == "removed subscription ops"
