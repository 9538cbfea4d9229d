"""Each look at a restricted content is in the audit chain, without the content."""

from datetime import timedelta

import pytest
from django.urls import reverse

from moderation.privacy import looks
from moderation.privacy.looks import record_look, record_look_at_decision
from moderation.rights import ModerationRole
from registry.access.models import ObjectScope
from registry.record.models import AuditRecord
from registry.record.sentences import describe
from tests.support.cases import a_case, a_guideline, a_reviewer, person_behind
from tests.support.decision_rows import a_decision, a_list_policy, a_png, listed

pytestmark = [pytest.mark.django_db, pytest.mark.both]

SEEING = (ModerationRole.REVIEWER, ModerationRole.CHILD_SAFETY)


@pytest.fixture
def policy():
    return a_list_policy()


@pytest.fixture
def case(policy):
    a_guideline(is_restricted=True)
    return a_case(policy, "you blockhead", pictures=(a_png(),))


def recorded():
    return AuditRecord.objects.filter(action="look_at_restricted")


class TestRecord:
    def test_it_says_who_looked_at_what_and_not_what_it_is(self, case):
        by = a_reviewer(*SEEING, username="rita")

        assert record_look(case=case, by=by)

        record = recorded().get()
        assert (record.actor_name, record.object_id, record.after) == ("rita", str(case.pk), None)
        assert describe(record) == f"looked at case {case.pk}, which is restricted"

    def test_reloads_are_one_look(self, case, monkeypatch):
        by = a_reviewer(*SEEING)

        assert [record_look(case=case, by=by) for _ in range(3)] == [True, False, False]
        assert record_look(case=case, by=a_reviewer(*SEEING))

        monkeypatch.setattr(looks, "_ONE_LOOK", timedelta())
        assert record_look(case=case, by=by)

    def test_others_are_not_recorded(self, policy):
        assert not record_look(case=a_case(policy), by=a_reviewer(*SEEING))

    def test_a_decision_without_a_case_is_restricted_by_its_violation(self, policy):
        a_guideline(is_restricted=True)
        decision = a_decision(policy, "block", evidence=(listed(4, 13),))
        other = a_decision(policy)
        by = a_reviewer(*SEEING)

        assert record_look_at_decision(decision=decision, by=by)
        assert not record_look_at_decision(decision=other, by=by)

        assert recorded().get().object_kind == "decision"


class TestPages:
    def test_the_decision_page_and_its_pictures(self, client, case):
        client.force_login(person_behind(a_reviewer(*SEEING, username="rita")))
        decision = case.items.get().decision

        client.get(reverse("admin:moderation_decision_change", args=[decision.pk]))
        client.get(reverse("admin:moderation_decision_picture", args=[decision.pk, 0]))

        assert recorded().get().actor_name == "rita"

    def test_a_picture_alone(self, client, case):
        client.force_login(person_behind(a_reviewer(*SEEING)))

        client.get(reverse("admin:moderation_decision_picture", args=[case.items.get().decision_id, 0]))

        assert recorded().count() == 1

    def test_a_case_that_is_taken(self, client, case):
        client.force_login(person_behind(a_reviewer(*SEEING)))

        assert client.post(reverse("review-next")).status_code == 200

        assert recorded().get().object_id == str(case.pk)

    def test_the_page_of_a_case(self, client, case):
        client.force_login(person_behind(a_reviewer(*SEEING)))

        client.get(reverse("admin:moderation_case_change", args=[case.pk]))

        assert recorded().get().object_id == str(case.pk)

    def test_what_is_not_restricted_is_not_recorded(self, client, policy):
        a_case(policy)
        client.force_login(person_behind(a_reviewer(*SEEING)))

        client.post(reverse("review-next"))
        client.get(reverse("admin:moderation_decision_changelist"))

        assert not recorded().exists()


class TestScope:
    """Who may not see restricted contents is not shown them, by whatever way they ask."""

    def test_a_restricted_case_is_not_there(self, client, case):
        client.force_login(person_behind(a_reviewer()))

        taken = client.post(reverse("review-next"))
        opened = client.post(reverse("review-take", args=[case.pk]))
        picture = client.get(reverse("review-picture", args=[case.pk, case.items.get().decision_id, 0]))

        assert "blockhead" not in taken.content.decode()
        assert (opened.status_code, picture.status_code) == (404, 404)
        assert not recorded().exists()
        case.refresh_from_db()
        assert case.claimed_by is None

    def test_whoever_may_see_it_is_shown_it(self, client, case):
        client.force_login(person_behind(a_reviewer(*SEEING)))

        assert "blockhead" in client.post(reverse("review-next")).content.decode()

    @pytest.mark.parametrize(
        ("method", "name"),
        [
            ("get", "review"),
            ("post", "review-next"),
            ("get", "admin:moderation_decision_changelist"),
            ("get", "admin:moderation_erasure_changelist"),
            ("get", "admin:moderation_erasure_add"),
        ],
    )
    def test_whose_rights_are_for_some_models_has_none_here(self, client, case, method, name):
        """Contents belong to no Model."""
        person = person_behind(a_reviewer(*ModerationRole))
        client.force_login(person)
        assert getattr(client, method)(reverse(name)).status_code == 200

        ObjectScope.objects.create(user=person)

        assert getattr(client, method)(reverse(name)).status_code == 403
