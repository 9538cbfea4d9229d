"""Erasures by the API, the command and the admin."""

import json
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse
from django.utils import timezone

from moderation.deciding.models import Decision
from moderation.deciding.services import digest_of
from moderation.privacy import erasing
from moderation.privacy.erasing import SETTLES_AFTER, erase_pending
from moderation.privacy.models import Erasure
from moderation.review.taking import set_legal_hold
from moderation.rights import ModerationRole
from registry.record.models import AuditRecord
from registry.record.sentences import describe
from tests.support.cases import a_case, a_reviewer, person_behind
from tests.support.decision_rows import a_decision, a_list_policy
from tests.support.factories import a_key, a_tenant

pytestmark = [pytest.mark.django_db, pytest.mark.both]

AUTHOR = "ann-7731"


@pytest.fixture(autouse=True)
def one_transaction(monkeypatch):
    """SQLite empties its log outside of transactions only; tests/chaos/moderation looks at the file."""
    monkeypatch.setattr(erasing, "wipe_free_pages", lambda: True)


@pytest.fixture
def policy():
    return a_list_policy()


@pytest.fixture
def tenant():
    return a_tenant("shop")


def finish_erasures():
    assert erase_pending(now=timezone.now() + SETTLES_AFTER + timedelta(seconds=1)) == 1


class TestApi:
    @pytest.fixture
    def ask(self, client, tenant):
        headers = {"Authorization": f"Bearer {a_key('erase', tenant=tenant)[1]}"}

        def ask(method, address, status, body=None):
            data = json.dumps(body) if body is not None else ""
            response = client.generic(method, address, data, "application/json", headers=headers)
            assert response.status_code == status, response.content
            return response.json()

        return ask

    def test_a_key_erases_an_author_of_its_tenant(self, ask, policy, tenant):
        a_decision(policy, tenant=tenant, author_id=AUTHOR, text="hers")
        others = a_decision(policy, author_id=AUTHOR, text="another Ann's")

        begun = ask("POST", "/api/v1/erasures", 202, {"author_id": AUTHOR, "reason": "She asked"})
        finish_erasures()

        done = ask("GET", f"/api/v1/erasures/{begun['id']}", 200)
        assert (done["status"], done["removed"], done["kept_cases"]) == ("done", {"contents": 1}, [])
        assert AUTHOR not in json.dumps(done)
        assert Decision.objects.get() == others

    def test_spaces_at_the_ends_of_ids_count(self, ask, policy, tenant):
        a_decision(policy, tenant=tenant, author_id=f" {AUTHOR}")
        others = a_decision(policy, tenant=tenant, author_id=AUTHOR)

        ask("POST", "/api/v1/erasures", 202, {"author_id": f" {AUTHOR}", "reason": "She asked"})
        finish_erasures()

        assert Decision.objects.get() == others

    def test_it_sees_its_own_tenants_only(self, ask, tenant):
        other = Erasure.objects.create(tenant=a_tenant("other"), kind="author", subject="x", reason="why")

        ask("GET", f"/api/v1/erasures/{other.pk}", 404)
        assert ask("GET", "/api/v1/erasures", 200)["results"] == []

    @pytest.mark.parametrize(
        ("body", "what"),
        [
            ({"reason": "why"}, "Name one"),
            ({"author_id": "a", "content_id": "b", "reason": "why"}, "Name one"),
            ({"author_id": AUTHOR, "reason": f"{AUTHOR} asked"}, "Leave the id out"),
            ({"request_id": "17", "reason": "why"}, "hexadecimal"),
            ({"author_id": AUTHOR, "reason": "why", "tenant": "nowhere"}, "no tenant"),
        ],
    )
    def test_what_cannot_be_understood_erases_nothing(self, ask, policy, tenant, body, what):
        a_decision(policy, tenant=tenant, author_id=AUTHOR)

        assert what in ask("POST", "/api/v1/erasures", 422, body)["detail"]

        assert not Erasure.objects.exists()

    def test_other_tenants_are_refused(self, ask):
        a_tenant("other")

        ask("POST", "/api/v1/erasures", 403, {"author_id": AUTHOR, "reason": "why", "tenant": "other"})

    def test_other_scopes_are_no_right(self, client, tenant):
        headers = {"Authorization": f"Bearer {a_key('moderate', 'report', tenant=tenant)[1]}"}

        assert client.post("/api/v1/erasures", headers=headers).status_code == 403

    def test_on_legal_hold(self, ask, policy, tenant):
        case = a_case(policy, tenant=tenant, author_id=AUTHOR)
        set_legal_hold(case=case, is_held=True, reason="Court order", by=a_reviewer("lead"))

        problem = ask("POST", "/api/v1/erasures", 409, {"author_id": AUTHOR, "reason": "She asked"})

        assert problem["code"] == "on_legal_hold"
        assert f"case {case.pk}" in problem["detail"]


class TestCommand:
    def run(self, capsys, *arguments):
        call_command("erase_contents", *arguments)
        return capsys.readouterr().out

    def test_it_erases(self, policy, tenant, capsys):
        a_decision(policy, tenant=tenant, author_id=AUTHOR)
        what = ("--author-id", AUTHOR, "--tenant", "shop")

        assert "1 contents and 0 other rows" in self.run(capsys, *what, "--dry-run")
        assert Decision.objects.exists()
        assert "1 content erased. In a minute" in self.run(capsys, *what, "--reason", "She asked")

        assert not Decision.objects.exists()
        finish_erasures()
        assert AUTHOR not in str(Erasure.objects.values())

    def test_a_reason_is_needed(self, policy):
        with pytest.raises(CommandError, match="reason"):
            call_command("erase_contents", "--author-id", AUTHOR)

    def test_a_tenant_that_is_none(self):
        with pytest.raises(CommandError, match="no tenant nowhere"):
            call_command("erase_contents", "--author-id", AUTHOR, "--tenant", "nowhere", "--dry-run")

    def test_whoever_has_the_content_can_check_that_it_was_erased(self, policy, capsys):
        a_decision(policy, author_id=AUTHOR, text="short", digest=digest_of("short", "", []))
        self.run(capsys, "--author-id", AUTHOR, "--reason", "She asked")
        finish_erasures()
        number = str(Erasure.objects.get().pk)

        call_command("check_erasure", number, "--text", "short")
        call_command("check_erasure", number, "--id", AUTHOR)

        for wrong in (("--text", "shorter"), ("--id", "bob")):
            with pytest.raises(CommandError, match="not so"):
                call_command("check_erasure", number, *wrong)
        with pytest.raises(CommandError, match="no erasure"):
            call_command("check_erasure", "0", "--id", AUTHOR)


class TestAdmin:
    @pytest.fixture
    def lead(self, client):
        client.force_login(person_behind(a_reviewer(ModerationRole.LEAD, username="lea")))

    def post(self, client, **values):
        form = {
            "kind": "author",
            "subject": AUTHOR,
            "tenant": "",
            "reason": "She asked",
            "again": "",
            **values,
        }
        return client.post(reverse("admin:moderation_erasure_add"), form)

    def test_first_it_counts_and_with_the_id_typed_again_it_erases(self, client, lead, policy):
        a_decision(policy, author_id=AUTHOR)

        shown = self.post(client).content.decode()
        assert "Type the id again" in shown
        assert "<b>1</b> content and" in shown
        assert not Erasure.objects.exists()
        wrong = self.post(client, again="bob").content.decode()
        assert "another id" in wrong
        assert not Erasure.objects.exists()
        response = self.post(client, again=AUTHOR)

        erasure = Erasure.objects.get()
        assert response["Location"] == reverse("admin:moderation_erasure_change", args=[erasure.pk])
        assert erasure.made_by == "lea"

    def test_spaces_at_the_ends_of_ids_count(self, client, lead, policy):
        a_decision(policy, author_id=f"{AUTHOR} ")

        self.post(client, subject=f"{AUTHOR} ", again=f"{AUTHOR} ")

        assert Erasure.objects.get().subject == f"{AUTHOR} "

    def test_an_id_that_nobody_knows(self, client, lead):
        shown = self.post(client).content.decode()

        assert "Nothing is stored" in shown
        assert "Type the id again" not in shown

    def test_it_names_what_is_kept(self, client, lead, policy):
        case = a_case(policy, author_id=AUTHOR)
        set_legal_hold(case=case, is_held=True, reason="Court order", by=a_reviewer("lead"))

        assert f"on legal hold, in case {case.pk}" in self.post(client).content.decode()

    def test_the_pages_of_an_erasure(self, client, lead, policy):
        a_decision(policy, author_id=AUTHOR)
        self.post(client, again=AUTHOR)
        address = reverse("admin:moderation_erasure_change", args=[Erasure.objects.get().pk])
        assert "A worker looks once more" in client.get(address).content.decode()
        finish_erasures()

        page = client.get(address).content.decode()
        assert "1 content." in page
        assert AUTHOR not in page
        assert "She asked" in client.get(reverse("admin:moderation_erasure_changelist")).content.decode()

    def test_others_may_not(self, client):
        client.force_login(person_behind(a_reviewer()))

        assert self.post(client, again=AUTHOR).status_code == 403
        assert client.get(reverse("admin:moderation_erasure_changelist")).status_code == 403

    def test_the_audit_log_says_it_in_sentences(self, client, lead, policy):
        a_decision(policy, author_id=AUTHOR)
        self.post(client, again=AUTHOR)
        finish_erasures()

        number = Erasure.objects.get().pk
        actions = ("request_erasure", "erase_contents", "finish_erasure")
        said = [describe(record) for record in AuditRecord.objects.filter(action__in=actions).order_by("seq")]
        assert said == [
            f"requested erasure {number}, by author id",
            f"erased 1 content for erasure {number}",
            f"finished erasure {number}",
        ]
