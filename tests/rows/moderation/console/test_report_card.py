"""The report card's page, its API, and the form for golden sets."""

import json
from datetime import timedelta

import pytest
from django.utils import timezone

from moderation.cases.models import CaseSource
from moderation.console.report_card import in_words
from moderation.quality.estimates import Estimate
from moderation.quality.models import VerdictGoldenSet
from moderation.review.models import Reviewer
from moderation.rights import ModerationRole
from registry.access.policies import Role
from registry.catalogue.models import Model
from registry.record.models import AuditRecord
from tests.support.cases import a_reviewer, person_behind
from tests.support.factories import a_key, a_person, a_tenant, a_version
from tests.support.judged import a_flagged, a_toxicity_policy, an_allowed, judge

pytestmark = [pytest.mark.django_db, pytest.mark.both]
PAGE = "/admin/moderation/quality/"
GOLDEN = f"{PAGE}golden-sets/toxicity/"


@pytest.fixture
def policy():
    return a_toxicity_policy()


@pytest.fixture
def rita():
    return a_reviewer(username="rita")


@pytest.fixture
def show(client):
    """Opens the page as somebody with these roles; returns its text."""

    def show(*roles, path=PAGE, status=200):
        client.force_login(a_person(*roles))
        response = client.get(path)
        assert response.status_code == status
        return response.content.decode()

    return show


def judged(policy, rita, hits=24, false_alarms=8):
    for number in range(hits + false_alarms):
        judge(
            a_flagged(policy, text=f"text {number}"), action="remove" if number < hits else "allow", by=rita
        )
    judge(an_allowed(policy, text="fine"), action="allow", source=CaseSource.AUDIT, by=rita)


class TestPage:
    def test_figures_in_words(self, show, policy, rita):
        judged(policy, rita)

        page = show(ModerationRole.LEAD)

        assert "<b>75 %</b>" in page
        assert "not enough audits yet: 1 of about 30" in page

    def test_without_verdicts_it_says_what_to_do(self, show, policy):
        page = show(ModerationRole.POLICY_EDITOR)

        assert "has a final verdict yet" in page
        assert "No golden set was made from verdicts yet" in page

    def test_who_may_see_it(self, show, policy, rita):
        judged(policy, rita)

        assert ">rita</b>" in show(ModerationRole.LEAD)
        editors = show(ModerationRole.POLICY_EDITOR)
        assert "rita" not in editors
        assert "75 %" in editors
        show(ModerationRole.REVIEWER, status=403)
        show(Role.OPERATOR, status=403)

    def test_the_sidebar_links_it(self, show, policy):
        assert f'href="{PAGE}"' in show(ModerationRole.LEAD, path="/admin/")
        assert f'href="{PAGE}"' not in show(ModerationRole.REVIEWER, path="/admin/")

    def test_a_careless_reviewer_is_named_to_leads_only(self, client, show, policy, rita):
        ann, zoe = a_reviewer(username="ann"), a_reviewer(username="zoe")
        for number in range(60):
            decision, partner = a_flagged(policy), ann if number % 2 else zoe
            is_wrong = number % 3 == 0
            first = judge(decision, action="allow" if is_wrong else "remove", by=rita)
            judge(decision, action="remove", source=CaseSource.SECOND_REVIEW, about=first, by=partner)
            if is_wrong:
                judge(decision, action="remove", source=CaseSource.DISAGREEMENT, about=first, by=zoe)
        sentence = "rita&#x27;s second reviews differ more often than chance explains: 20 of 60"
        assert sentence in show(ModerationRole.LEAD)

        address = f"{PAGE}reviewers/{person_behind(rita).pk}/settle/"
        assert client.post(address, {"note": "We looked at ten of them."}).status_code == 302

        assert Reviewer.objects.get(user=person_behind(rita)).assessed_from is not None
        assert sentence not in show(ModerationRole.LEAD)
        client.force_login(person_behind(ann))
        assert client.post(address, {"note": "No."}).status_code == 403

    def test_of_one_policy_and_period(self, show, policy, rita):
        judge(a_flagged(policy, at=timezone.now() - timedelta(days=100)), action="remove", by=rita)

        assert "1 of about 30" not in show(ModerationRole.LEAD)
        assert "1 of about 30" in show(ModerationRole.LEAD, path=f"{PAGE}?days=365&policy=default")
        show(ModerationRole.LEAD, path=f"{PAGE}?days=%00x&policy=%00")

    def test_lines_are_downloaded(self, client, policy, rita):
        judged(policy, rita)
        client.force_login(a_person(ModerationRole.LEAD))

        response = client.post(f"{PAGE}verdicts/", {"days": "90", "contents": "yes"})
        lines = [json.loads(line) for line in b"".join(response.streaming_content).splitlines()]

        assert len(lines) == 33
        assert lines[0]["text"] == "fine"
        assert AuditRecord.objects.filter(action="export_verdicts").exists()


class TestGoldenSetPage:
    @pytest.fixture
    def ready(self, policy, rita):
        """The detector has a version with labels, and there are verdicts."""
        a_version(Model.objects.get(slug="toxicity"), task_config={"labels": ["safe", "toxic"]})
        judged(policy, rita)

    def test_labels_are_those_of_the_rule(self, show, ready):
        page = show(ModerationRole.LEAD, Role.OPERATOR, path=GOLDEN)

        assert '<option value="toxic" selected>toxic (24 verdicts)</option>' in page
        assert page.count('<option value="toxic" selected>toxic</option>') == 1
        assert page.count('<option value="safe" selected>safe</option>') == 1

    def test_it_is_made(self, client, show, ready):
        show(ModerationRole.LEAD, Role.OPERATOR, path=GOLDEN)
        fields = {
            "code": "toxic", "violating_label": "toxic", "other_label": "safe", "most": "10", "metric": "accuracy",
            "reason": "from people",
        }  # fmt: skip

        assert client.post(GOLDEN, {**fields, "other_label": "toxic"}).status_code == 200
        assert not VerdictGoldenSet.objects.exists()
        page = client.post(GOLDEN, fields, follow=True).content.decode()

        made = VerdictGoldenSet.objects.get()
        assert (made.violating, made.others, made.golden_set.rows) == (5, 5, 10)
        assert "holds 5 contents with toxic and 5 without a violation" in page
        assert "5 with toxic as toxic" in page

    def test_why_it_cannot_be_made(self, show, policy):
        page = show(ModerationRole.LEAD, Role.OPERATOR, path=GOLDEN)

        assert "at least two labels" in page
        assert "<form class=" not in page

    @pytest.mark.parametrize("roles", [(ModerationRole.LEAD,), (Role.OPERATOR,)])
    def test_who_may_make_it(self, show, ready, roles):
        show(*roles, path=GOLDEN, status=403)


class TestApi:
    @pytest.fixture
    def tenant(self):
        return a_tenant()

    @pytest.fixture
    def ask(self, client, tenant):
        def ask(path, *scopes, status=200):
            key = a_key(*(scopes or ("quality.read",)), tenant=tenant)[1]
            response = client.get(f"/api/v1/{path}", headers={"Authorization": f"Bearer {key}"})
            assert response.status_code == status, response.content
            return response

        return ask

    def test_cards_of_the_keys_tenant(self, ask, tenant, policy, rita):
        for number in range(32):
            judge(a_flagged(policy, tenant=tenant), action="remove" if number < 24 else "allow", by=rita)
        judge(a_flagged(policy, tenant=a_tenant()), action="allow", by=rita)

        answer = ask("report-cards?detector=toxicity").json()

        (card,) = answer["cards"]
        assert (card["policy"], card["detector"], card["version"]) == (None, "toxicity", 1)
        assert card["precision"]["value"] == 0.75
        assert (card["precision"]["count"], answer["needed"]) == (32, 30)
        assert card["recall"]["value"] is None
        assert card["by_code"][0]["name"] == "toxic"
        assert {card["policy"] for card in ask("report-cards").json()["cards"]} == {"default", None}

    def test_figures_wait_for_enough(self, ask, tenant, policy, rita):
        judge(a_flagged(policy, tenant=tenant), action="remove", by=rita)

        (card,) = ask("report-cards?policy=default&detector=toxicity").json()["cards"]

        assert card["precision"]["value"] is None
        assert card["hits"] == 1

    @pytest.mark.parametrize(
        "query",
        ["detectr=x", "version=0", "since=soon", "since=2026-02-01T00:00:00Z&until=2026-01-01T00:00:00Z"],
    )
    def test_what_it_does_not_take(self, ask, query):
        ask(f"report-cards?{query}", status=422)

    def test_lines(self, ask, tenant, policy, rita):
        judge(a_flagged(policy, tenant=tenant, text="bad"), action="remove", by=rita)

        plain = ask("verdicts.jsonl")

        assert plain["Content-Type"] == "application/x-ndjson"
        assert "text" not in json.loads(b"".join(plain.streaming_content))
        ask("verdicts.jsonl?contents=true", status=403)
        ask("verdicts.jsonl?policy=missing", status=404)
        whole = ask("verdicts.jsonl?contents=true", "quality.read", "moderate")
        assert json.loads(b"".join(whole.streaming_content))["text"] == "bad"

    def test_scope(self, ask):
        ask("report-cards", "moderate", status=403)
        ask("verdicts.jsonl", "moderate", status=403)


@pytest.mark.parametrize(
    ("estimate", "value", "rest"),
    [
        (Estimate(0.75, 0.6, 0.86, 40), "75 %", "60 – 86 %"),
        (Estimate(0.004, 0.0, 0.021, 300), "0.4 %", "0 – 2.1 %"),
        (Estimate(0.75, 0.3, 0.9, 7), "", "not enough verdicts yet: 7 of about 30"),
        (Estimate(None, 0.0, 1.0, 30), "", "no violation is known"),
    ],
)
def test_estimates_in_words(estimate, value, rest):
    words = in_words(estimate, "verdicts")

    assert (words.value, words.rest) == (value, rest)
