"""Reports over HTTP: of known contents and of others, by whom, and what became of them."""

import pytest
from django.db import connection

from moderation.cases.models import Case, CaseSource
from moderation.cases.opening import open_cases
from moderation.deciding.models import Decision, StoredPicture
from moderation.deciding.services import decide_contents
from moderation.reports import reported_contents
from moderation.reports.models import Report
from moderation.rights import MODERATION_GRANTS, ModerationRight
from registry.access.keys import ring
from registry.kit.api.models import IdempotencyRecord
from tests.support.cases import a_reviewer, cases, decide, finish, for_review
from tests.support.clients import by_key, client_for, client_with
from tests.support.decision_rows import a_decision, a_list_policy
from tests.support.factories import a_key, a_tenant
from tests.support.picture_models import a_picture, in_base64

pytestmark = pytest.mark.both
URL = "/api/v1/reports"


@pytest.fixture(autouse=True)
def no_known_keys():
    ring.clear()


@pytest.fixture
def tenant(db):
    return a_tenant("shop")


@pytest.fixture
def reporter(tenant):
    return by_key(a_key("report", tenant=tenant)[1])


@pytest.mark.django_db
class TestKnownContents:
    @pytest.fixture
    def policy(self):
        return a_list_policy()

    @pytest.fixture
    def decision(self, policy, tenant):
        return a_decision(policy, text="hello", content_id="c1", author_id="ann", tenant=tenant)

    def test_one_is_reported_and_answered(self, reporter, decision):
        body = {"content_id": "c1", "violation": "slurs", "text": "He means me.", "reporter_id": "u1"}

        made = reporter.post(URL, {**body, "language": "de-AT"})

        assert made.status_code == 201, made.content
        report = made.json()
        assert made["Location"] == f"{URL}/{report['id']}"
        assert (report["status"], report["request_id"], report["answer"]) == (
            "open",
            decision.request_id,
            None,
        )
        case = Case.objects.get(source=CaseSource.REPORT)
        finish(decide(case, "remove", a_reviewer()))
        shown = reporter.get(f"{URL}/{report['id']}").json()
        assert (shown["status"], shown["answer"]["language"]) == ("action", "de")
        assert reporter.get(URL, {"status": "action"}).json()["results"] == [shown]
        assert reporter.get(URL, {"status": "open"}).json()["results"] == []

    def test_the_same_person_reports_a_content_once(self, reporter, policy, decision, tenant):
        body = {"content_id": "c1", "reporter_id": "u1"}
        first = reporter.post(URL, body)
        a_decision(policy, text="hello!", content_id="c1", tenant=tenant)

        again = reporter.post(URL, {**body, "text": "I said it before."})

        assert (first.status_code, again.status_code) == (201, 200)
        assert again.json() == first.json()
        assert Report.objects.get().text == ""

    @cases("body", another={"reporter_id": "u2"}, nobody={"reporter_id": ""}, unnamed={})
    def test_other_people_report_it_again(self, reporter, decision, body):
        first = reporter.post(URL, {"content_id": "c1", "reporter_id": "u1"})
        reporter.post(URL, {"content_id": "c1", **body})

        again = reporter.post(URL, {"content_id": "c1", **body, "reporter_id": body.get("reporter_id", "")})

        assert (first.status_code, Report.objects.count() > 1) == (201, True)
        assert again.status_code == (200 if body.get("reporter_id") else 201)
        assert Case.objects.get().reports.count() == Report.objects.count()

    def test_one_is_reported_again_after_the_answer(self, reporter, decision):
        body = {"content_id": "c1", "reporter_id": "u1"}
        reporter.post(URL, body)
        finish(decide(Case.objects.get(), "allow", a_reviewer()))

        assert reporter.post(URL, body).status_code == 201

    def test_the_newest_decision_counts(self, reporter, policy, decision, tenant):
        newer = a_decision(policy, text="hello!", content_id="c1", tenant=tenant)

        by_id = reporter.post(URL, {"content_id": "c1"}).json()
        by_request = reporter.post(URL, {"request_id": decision.request_id}).json()

        assert (by_id["request_id"], by_request["request_id"]) == (newer.request_id, decision.request_id)

    def test_a_content_that_awaits_its_case_gets_one_case(self, reporter, policy, tenant):
        for_review(policy, content_id="c2", tenant=tenant)

        assert reporter.post(URL, {"content_id": "c2"}).status_code == 201
        open_cases()

        case = Case.objects.get()
        assert (case.source, case.reports.count()) == (CaseSource.REPORT, 1)

    def test_what_was_held_is_known_by_the_first_request_id(self, reporter, policy, tenant):
        held = a_decision(policy, "review", text=None, tenant=tenant)
        again = a_decision(policy, text="hello", tenant=tenant, redecides=held)

        report = reporter.post(URL, {"request_id": held.request_id}).json()

        assert report["request_id"] == held.request_id
        assert Report.objects.get().decision == again

    @cases("body", by_id={"content_id": "c9"}, by_request={"request_id": "0" * 32}, no_id={"request_id": "?"})
    def test_what_is_not_known_has_to_be_sent(self, reporter, decision, body):
        answer = reporter.post(URL, body)

        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_decision")
        assert "`content`" in answer.json()["detail"]

    def test_another_tenants_is_not_known(self, decision):
        stranger = client_with("report")

        by_id = stranger.post(URL, {"content_id": "c1"})
        by_request = stranger.post(URL, {"request_id": decision.request_id})

        assert (by_id.status_code, by_request.status_code) == (404, 404)
        assert not Report.objects.exists()

    def test_reports_of_another_tenant_are_not_shown(self, reporter, decision):
        report = reporter.post(URL, {"content_id": "c1"}).json()
        stranger = client_with("report")

        assert stranger.get(URL).json()["results"] == []
        assert stranger.get(f"{URL}/{report['id']}").json()["code"] == "unknown_report"
        assert reporter.get(URL).json()["results"] == [report]

    @cases(
        "body",
        nothing={},
        two_names={"content_id": "c1", "request_id": "x"},
        name_and_content={"request_id": "x", "content": {"text": "x"}},
        long_text={"content_id": "c1", "text": "x" * 5_001},
        long_reporter={"content_id": "c1", "reporter_id": "x" * 201},
        violation={"content_id": "c1", "violation": "no such thing!"},
        source={"content_id": "c1", "source": "police"},
        language={"content_id": "c1", "language": "German"},
        no_object={"content": "text"},
    )
    def test_what_is_wrong_is_refused(self, reporter, decision, body):
        assert reporter.post(URL, body).status_code == 422
        assert not Report.objects.exists()

    def test_a_repeated_request_is_one_report(self, reporter, decision):
        headers = {"Idempotency-Key": "once"}
        first = reporter.post(URL, {"content_id": "c1"}, headers=headers)
        again = reporter.post(URL, {"content_id": "c1"}, headers=headers)

        assert (first.status_code, again.status_code, again["Idempotency-Replayed"]) == (201, 201, "true")
        assert again.json() == first.json()
        assert Report.objects.count() == 1

    def test_it_needs_the_scope(self, tenant, decision):
        moderator = by_key(a_key("moderate", tenant=tenant)[1])

        assert moderator.post(URL, {"content_id": "c1"}).status_code == 403
        assert moderator.get(URL).status_code == 403
        assert client_for("lead").get(URL).status_code == 401


class TestOtherContents:
    """Those that were never moderated."""

    @pytest.fixture(autouse=True)
    def process(self, deciding):
        return deciding

    @pytest.fixture
    def tenant(self, transactional_db):
        return a_tenant("shop")

    def test_one_is_moderated_stored_and_reported(self, reporter, tenant):
        made = reporter.post(
            URL, {"content": {"text": "fine", "content_id": "c1", "author_id": 7}, "reporter_id": "u1"}
        )

        assert made.status_code == 201, made.content
        decision = Decision.objects.get()
        assert (decision.ruling, decision.tenant) == ("allow", tenant)
        assert decision.author_id == ""  # or a reporter could have strikes given to anybody
        assert decision.content.text == "fine"
        assert made.json()["request_id"] == decision.request_id
        assert Case.objects.get().source == CaseSource.REPORT

    def test_its_picture_is_kept_although_it_is_allowed(self, reporter, moderate):
        picture = {"image": in_base64(a_picture((0, 0, 0)))}
        moderate({**picture, "content_id": "before"})

        reporter.post(URL, {"content": {**picture, "content_id": "reported"}})

        kept = StoredPicture.objects.filter(decision__content_id="reported").get()
        assert bytes(kept.file).startswith(b"\x89PNG")

    def test_the_outer_id_is_the_contents(self, reporter):
        reporter.post(URL, {"content_id": "c1", "content": {"text": "fine"}})

        assert Decision.objects.get().content_id == "c1"

    def test_one_that_is_known_is_not_moderated_again(self, reporter, moderate):
        moderate({"text": "vile", "content_id": "c1"})

        reporter.post(URL, {"content": {"text": "vile", "content_id": "c1"}})

        assert Decision.objects.count() == 1

    def test_reporters_change_no_content(self, reporter, moderate):
        """Another text would be the newest, so the case of what was written would be withdrawn."""
        moderate({"text": "vile", "content_id": "c1"})

        refused = reporter.post(URL, {"content": {"text": "fine", "content_id": "c1"}})

        assert refused.status_code == 403
        assert Decision.objects.count() == 1

    def test_one_that_was_changed_is(self, tenant, moderate):
        application = by_key(a_key("report", "moderate", tenant=tenant)[1])
        moderate({"text": "vile", "content_id": "c1"})

        report = application.post(URL, {"content": {"text": "fine", "content_id": "c1"}}).json()

        assert Report.objects.get().decision.ruling == "allow"
        assert Decision.objects.count() == 2
        assert report["content_id"] == "c1"

    def test_one_that_a_policy_sends_to_review_has_one_case(self, reporter):
        reporter.post(URL, {"content": {"text": "nan"}})
        open_cases()

        assert Decision.objects.get().ruling == "review"
        assert Case.objects.get().reports.count() == 1

    def test_a_repeated_request_moderates_once(self, reporter):
        body, headers = {"content": {"text": "fine"}}, {"Idempotency-Key": "once"}

        first, again = (reporter.post(URL, body, headers=headers) for _ in range(2))

        assert first.status_code == 201, first.content
        assert again.json() == first.json()
        assert Decision.objects.count() == Report.objects.count() == 1

    def test_detectors_are_not_asked_in_a_transaction(self, reporter, monkeypatch):
        """It would hold the database's only write lock (SQLite), so that the decision could not be stored."""
        in_transaction = []

        def note_and_decide(*contents, **more):
            in_transaction.append(connection.in_atomic_block)
            return decide_contents(*contents, **more)

        monkeypatch.setattr(reported_contents, "decide_contents", note_and_decide)

        reporter.post(URL, {"content": {"text": "fine"}}, headers={"Idempotency-Key": "once"})

        assert in_transaction == [False]

    def test_a_refusal_is_kept_for_the_key(self, reporter):
        refused = reporter.post(URL, {"content": {"text": ""}}, headers={"Idempotency-Key": "once"})

        assert (refused.status_code, refused.json()["code"]) == (422, "invalid_content")
        assert IdempotencyRecord.objects.get().status == 422

    @cases(
        "content, pointer",
        empty=({}, "#/content"),
        unknown=({"txt": "x"}, "#/content/txt"),
        unstored=({"text": "x", "do_not_store": True}, "#/content/do_not_store"),
        other_id=({"text": "x", "content_id": "c2"}, "#/content/content_id"),
    )
    def test_a_wrong_content_points_to_its_place(self, reporter, content, pointer):
        problem = reporter.post(URL, {"content_id": "c1", "content": content}).json()

        assert (problem["code"], problem["errors"][0]["pointer"]) == ("invalid_content", pointer)
        assert not Decision.objects.exists()

    def test_a_test_key_reports_nothing_new(self, tenant):
        key = by_key(a_key("report", "moderate.test", tenant=tenant)[1])

        assert key.post(URL, {"content": {"text": "fine"}}).status_code == 422
        assert not Decision.objects.exists()


def test_no_role_of_people_reports():
    assert not any(ModerationRight.REPORT in rights for rights in MODERATION_GRANTS.roles.values())
