"""Pages of decisions: the list with its filters, the content with its evidence, and pictures."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse, reverse_lazy
from django.utils import timezone

from moderation.deciding.findings import DetectorAnswer, Findings
from moderation.deciding.judgements import Problem
from moderation.rights import ModerationRole
from registry.access.policies import Role
from tests.support.decision_rows import a_box, a_decision, a_list_policy, a_png, listed
from tests.support.factories import a_live_model, a_person, a_tenant

pytestmark = pytest.mark.django_db
LIST = reverse_lazy("admin:moderation_decision_changelist")
HOSTILE = "You \u202eblockhead\u202c <script>alert(1)</script>"


@pytest.fixture(autouse=True)
def reviewer(client):
    client.force_login(a_person(ModerationRole.REVIEWER))


@pytest.fixture
def policy():
    return a_list_policy()


def page_of(client, decision):
    response = client.get(reverse("admin:moderation_decision_change", args=[decision.pk]))
    assert response.status_code == 200
    return response.content.decode()


def rows(client, **query):
    response = client.get(reverse("admin:moderation_decision_changelist"), query)
    assert response.status_code == 200
    return [decision.content_id for decision in response.context["cl"].result_list]


class TestTheList:
    @pytest.fixture
    def three(self, policy):
        now = timezone.now()
        a_decision(policy, content_id="old", author_id="ada", context="forum", at=now - timedelta(days=3))
        a_decision(policy, "block", content_id="bad", evidence=(listed(0, 4),), at=now - timedelta(hours=1))
        return a_decision(
            policy, "review", content_id="held", is_held=True, next_try_at=now, tenant=a_tenant()
        )

    def test_the_newest_is_first(self, client, three):
        assert rows(client) == ["held", "bad", "old"]

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ({"ruling__exact": "block"}, ["bad"]),
            ({"violation": "slurs"}, ["bad"]),
            ({"violation": "slur"}, []),
            ({"is_held__exact": "1"}, ["held"]),
            ({"author_id": "ada"}, ["old"]),
            ({"content_id": "bad"}, ["bad"]),
            ({"context": "forum"}, ["old"]),
            ({"q": "bad"}, ["bad"]),
            ({"q": "held"}, ["held"]),
            ({"q": "ba"}, []),
        ],
        ids=lambda one: str(one),
    )
    def test_filters_and_search(self, client, three, query, expected):
        assert rows(client, **query) == expected

    def test_a_period(self, client, three):
        yesterday = timezone.localdate() - timedelta(days=1)

        assert rows(client, received_at_from_0=str(yesterday)) == ["held", "bad"]

    def test_a_violation_is_searched_for_in_seven_days(self, client, policy):
        now = timezone.now()
        for days in (1, 8, 30, 40, 60):
            a_decision(
                policy, "block", content_id=f"{days}", evidence=(listed(0, 4),), at=now - timedelta(days=days)
            )
        today = timezone.localdate()

        def found(*, since=None, until=None):
            days = {"from": since, "to": until}
            ends = {
                f"received_at_{end}_0": str(today - timedelta(days=ago))
                for end, ago in days.items()
                if ago is not None
            }
            response = client.get(LIST, {"violation": "slurs", **ends})
            told = [str(message) for message in response.context["messages"]]
            return [one.content_id for one in response.context["cl"].result_list], told

        usual, told = found()
        assert usual == ["1"]
        assert len(told) == 1 and "at most 31 days" in told[0]
        assert found(since=10) == (["1", "8"], [])
        assert found(since=41, until=29) == (["30", "40"], [])
        longest, told = found(since=90)
        assert longest == ["1", "8", "30"]
        assert len(told) == 1
        assert found(until=59)[0] == ["60"]

    def test_held_ones_are_found_by_their_index(self, client, three):
        with CaptureQueriesContext(connection) as queries:
            assert rows(client, is_held__exact="1") == ["held"]
        assert any('"next_try_at" IS NOT NULL' in one["sql"] for one in queries)

        assert rows(client, is_held__exact="0") == ["bad", "old"]

    def test_a_request_id(self, client, three):
        assert rows(client, q=three.request_id) == ["held"]

    def test_texts_are_cut_and_escaped(self, client, policy):
        a_decision(policy, text=HOSTILE + "x" * 50_000)

        page = client.get(reverse("admin:moderation_decision_changelist")).content.decode()

        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
        assert "x" * 100 not in page

    def test_a_page_takes_few_queries(self, client, policy, django_assert_max_num_queries):
        for number in range(30):
            a_decision(policy, content_id=f"c{number}", text="words")

        with django_assert_max_num_queries(15):
            assert len(rows(client)) == 30


class TestTheContent:
    def test_evidence_is_marked_in_place(self, client, policy):
        start = HOSTILE.index("blockhead")
        decision = a_decision(policy, "block", text=HOSTILE, evidence=(listed(start, start + 9),))

        page = page_of(client, decision)

        assert '<mark class="rh-entity rh-found-block">blockhead<bdi dir="ltr">' in page
        assert "evidence 1: slurs, entry “blockhead”, block" in page
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
        assert "<script>alert" not in page

    def test_versions_are_linked(self, client, policy):
        version = a_live_model(100, slug="shapes").versions.get()
        findings = Findings(["image"], detectors={"shapes": DetectorAnswer(1, "abc", [])})
        decision = a_decision(policy, "block", evidence=(a_box(1, 2, 3, 4),), findings=findings)

        page = page_of(client, decision)

        assert page.count(reverse("admin:registry_version_change", args=[version.pk])) == 2
        assert "pre-processing abc" in page

    def test_it_is_not_stored_any_more(self, client, policy):
        page = page_of(client, a_decision(policy, "block", text=None, evidence=(listed(3, 12),)))

        assert "The content is not stored any more" in page
        assert "blockhead" in page

    def test_problems_say_what_to_do(self, client, policy):
        a_live_model(100, slug="toxicity")
        problems = (
            Problem("language_not_covered", "No detector of the policy reads 'fi'.", "text"),
            Problem("deadline_exceeded", "toxicity did not answer in time.", "toxicity", True),
        )
        now = timezone.now()

        page = page_of(client, a_decision(policy, "review", problems=problems, is_held=True, next_try_at=now))

        assert "Add a detector for this language to the policy" in page
        assert "It is decided again by itself" in page
        assert "Held:" in page

    def test_what_a_rule_in_shadow_found_is_apart(self, client, policy):
        page = page_of(client, a_decision(policy, evidence=(listed(0, 3, is_shadow=True),), text="abc"))

        assert "rules in shadow" in page
        assert "rh-entity" not in page


class TestTheSameContentId:
    def test_only_the_newest_counts(self, client, policy):
        now = timezone.now()
        first = a_decision(policy, content_id="c", at=now - timedelta(hours=2))
        second = a_decision(policy, "block", content_id="c", evidence=(listed(0, 1),), at=now)
        a_decision(policy, content_id="c", tenant=a_tenant(), at=now)

        before, after = page_of(client, first), page_of(client, second)

        assert "Superseded" in before
        assert "Superseded" not in after
        assert reverse("admin:moderation_decision_change", args=[first.pk]) in after
        assert after.count("earlier</td>") == 1

    def test_one_that_was_held(self, client, policy):
        held = a_decision(policy, "review", text=None, content_id="c")
        again = a_decision(policy, "allow", redecides=held, content_id="c")

        assert "has been decided again" in page_of(client, held)
        assert "Superseded" not in page_of(client, again)


class TestPictures:
    def get(self, client, decision, number=0):
        return client.get(reverse("admin:moderation_decision_picture", args=[decision.pk, number]))

    def test_a_picture(self, client, policy):
        decision = a_decision(policy, "block", evidence=(a_box(1, 2, 30, 14),), pictures=(a_png(),))

        response, page = self.get(client, decision), page_of(client, decision)

        assert response.content == a_png()
        assert response["Content-Type"] == "image/png"
        assert {"private", "no-store"} <= set(response["Cache-Control"].split(", "))
        assert response["X-Content-Type-Options"] == "nosniff"
        assert 'data-box="1.0 2.0 29.0 12.0"' in page
        assert "data-blurred" in page

    @pytest.mark.parametrize(
        "file", [b"<svg onload=alert(1)>", b"<html>", b"RIFF0000WAVE"], ids=["svg", "html", "sound"]
    )
    def test_what_is_no_picture_is_not_served(self, client, policy, file):
        assert self.get(client, a_decision(policy, pictures=(file,))).status_code == 404

    def test_others_may_not(self, client, policy):
        decision = a_decision(policy, pictures=(a_png(),))
        client.force_login(a_person(Role.OPERATOR))

        assert self.get(client, decision).status_code == 403

    def test_one_that_is_not_there(self, client, policy):
        assert self.get(client, a_decision(policy), 3).status_code == 404
