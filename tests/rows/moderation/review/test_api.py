"""What stands, statements of reasons, authors and queues over HTTP."""

import json
from datetime import timedelta

import pytest
from django.utils import timezone

from moderation.cases.models import Case, ReviewQueue
from moderation.review import api
from moderation.review.finals import make_final
from moderation.review.models import FinalDecision, ReviewAction, Strike
from moderation.review.statements import check_statement
from registry.access.keys import ring
from registry.record.models import Event
from tests.support.cases import a_case, a_reviewer, cases, decide, finish, for_review
from tests.support.clients import by_key, client_for, client_with
from tests.support.decision_rows import a_decision, a_list_policy, listed
from tests.support.factories import a_key, a_tenant

pytestmark = [pytest.mark.django_db, pytest.mark.both]
DECISIONS, STATEMENTS = "/api/v1/decisions", "/api/v1/statements"
AUTHORS, QUEUES = "/api/v1/authors", "/api/v1/review/queues"
LONG_AGO = "2020-01-01T00:00:00Z"


@pytest.fixture
def tenant():
    ring.clear()
    return a_tenant("shop")


@pytest.fixture
def policy():
    return a_list_policy()


@pytest.fixture
def reader(tenant):
    return by_key(a_key("moderate", tenant=tenant)[1])


@pytest.fixture
def stranger():
    return client_with("moderate")


@pytest.fixture
def removed(policy, tenant):
    """The decision about a content that a person removed."""
    return _removed(policy, tenant, "c1")


def _removed(policy, tenant, content_id, author_id="ann"):
    case = a_case(policy, content_id=content_id, author_id=author_id, tenant=tenant)
    finish(decide(case, "remove", a_reviewer()))
    return case.items.get().decision


class TestFinals:
    def _final(self, reader, decision):
        shown = reader.get(f"{DECISIONS}/{decision.request_id}").json()
        listed_ones = reader.get(DECISIONS).json()["results"]
        assert shown in listed_ones
        return shown["final"]

    def test_a_verdict_stands(self, reader, removed):
        final = self._final(reader, removed)

        assert (final["sequence"], final["decision"], final["action"]) == (1, "block", "remove")
        assert (final["violations"], final["decided_by"]) == (["slurs"], "machine_and_person")
        assert "restricted" in final["notice"]["subject"]
        assert "statement" not in final

    def test_nothing_stands_while_a_person_is_needed(self, reader, policy, tenant):
        decision = for_review(policy, content_id="c2", tenant=tenant)

        assert self._final(reader, decision) is None

    def test_the_newest_of_several_stands(self, reader, removed, policy, tenant):
        newer = a_decision(
            policy, "block", evidence=(listed(0, 9),), content_id="c1", tenant=tenant, awaits="final"
        )
        make_final()

        of_newer, of_older = self._final(reader, newer), self._final(reader, removed)

        assert (of_newer["sequence"], of_newer["replaces"], of_newer["decided_by"]) == (2, 1, "machine")
        assert of_older == of_newer

    def test_what_stood_before_a_content_was_changed_is_not_said_of_the_new_one(
        self, reader, removed, policy, tenant
    ):
        newer = a_decision(policy, content_id="c1", tenant=tenant)

        assert self._final(reader, newer) is None
        assert self._final(reader, removed)["decision"] == "block"

    def test_what_was_held_is_told_by_the_first_request_id(self, reader, policy, tenant):
        held = a_decision(policy, "review", text=None, tenant=tenant)
        a_decision(policy, "allow", tenant=tenant, redecides=held, awaits="final")
        make_final()

        assert self._final(reader, held)["decision"] == "allow"
        assert Event.objects.get(kind="decision.final").data["request_id"] == held.request_id

    def test_contents_without_an_id_are_kept_apart(self, reader, policy, tenant):
        _removed(policy, tenant, "")
        other = a_decision(policy, tenant=tenant)

        assert self._final(reader, other) is None

    def test_the_list_reads_all_of_them_at_once(self, reader, policy, tenant, django_assert_max_num_queries):
        for number in range(5):
            a_decision(
                policy,
                "block",
                evidence=(listed(0, 9),),
                content_id=f"c{number}",
                tenant=tenant,
                awaits="final",
            )
        make_final()
        reader.get(DECISIONS)

        with django_assert_max_num_queries(3):
            results = reader.get(DECISIONS).json()["results"]

        assert [one["final"]["sequence"] for one in results] == [1] * 5


class TestStatements:
    @pytest.fixture(autouse=True)
    def complete(self, monkeypatch):
        monkeypatch.setattr(api, "_INCOMPLETE_MINUTES", 0)

    def test_the_newest_are_left_out(self, reader, removed, monkeypatch):
        """They may not be committed yet, and whoever asks for the next period would never get them."""
        monkeypatch.setattr(api, "_INCOMPLETE_MINUTES", 5)

        assert self._lines(reader, since=LONG_AGO)[0] == []

    def _lines(self, client, **query):
        response = client.get(STATEMENTS, query)
        assert response.status_code == 200, response.content
        return [json.loads(line) for line in response.getvalue().splitlines()], response

    def test_of_a_restriction(self, reader, removed):
        statement = reader.get(f"{DECISIONS}/{removed.request_id}/statement").json()

        assert check_statement(statement) == []
        assert statement["puid"] == f"{removed.request_id}-1"

    def test_of_one_that_no_round_has_written_yet(self, reader, policy, tenant):
        decision = a_decision(
            policy, "block", evidence=(listed(0, 9),), content_id="c2", tenant=tenant, awaits="final"
        )

        statement = reader.get(f"{DECISIONS}/{decision.request_id}/statement").json()

        assert statement["automated_decision"] == "AUTOMATED_DECISION_FULLY"

    def test_there_is_none_of_what_nothing_restricts(self, reader, policy, tenant):
        decision = a_decision(policy, content_id="c2", tenant=tenant)

        answer = reader.get(f"{DECISIONS}/{decision.request_id}/statement")

        assert (answer.status_code, answer.json()["code"]) == (404, "no_statement")

    def test_of_another_tenants_content(self, stranger, removed):
        answer = stranger.get(f"{DECISIONS}/{removed.request_id}/statement")

        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_decision")

    def test_a_period_as_lines(self, reader, policy, tenant, removed):
        _removed(policy, tenant, "c2")
        case = a_case(policy, content_id="c3", tenant=tenant)
        finish(decide(case, "allow", a_reviewer()))

        lines, response = self._lines(reader, since=LONG_AGO)

        assert response["Content-Type"] == "application/x-ndjson"
        assert [check_statement(line) for line in lines] == [[], []]
        assert lines[0]["puid"] == f"{removed.request_id}-1"
        assert "Link" not in response

    def test_the_period_includes_its_start_only(self, reader, removed):
        at = FinalDecision.objects.get().made_at

        assert len(self._lines(reader, since=at.isoformat())[0]) == 1
        assert self._lines(reader, since=LONG_AGO, until=at.isoformat())[0] == []

    def test_pages_follow_one_another(self, reader, policy, tenant):
        wanted = {f"{_removed(policy, tenant, f'c{number}').request_id}-1" for number in range(5)}
        url, found, pages = f"{STATEMENTS}?since={LONG_AGO}&limit=2", [], 0

        while url:
            response = reader.get(url)
            found += [json.loads(line)["puid"] for line in response.getvalue().splitlines()]
            link = response.get("Link", "")
            url, pages = link.partition(">")[0].removeprefix("<"), pages + 1

        assert pages == 3
        assert len(found) == 5
        assert set(found) == wanted

    def test_a_tenant_gets_its_own(self, reader, stranger, removed):
        assert self._lines(stranger, since=LONG_AGO)[0] == []
        assert len(self._lines(reader, since=LONG_AGO)[0]) == 1

    def test_people_get_all(self, removed):
        assert len(self._lines(client_for("reviewer"), since=LONG_AGO)[0]) == 1

    @cases(
        "query",
        nothing={},
        no_date={"since": "yesterday"},
        too_many={"since": LONG_AGO, "limit": 10_001},
        misspelt={"since": LONG_AGO, "untill": LONG_AGO},
    )
    def test_what_is_wrong_is_refused(self, reader, query):
        assert reader.get(STATEMENTS, query).status_code == 422


class TestAuthors:
    def test_what_is_known(self, reader, policy, tenant):
        ReviewAction.objects.filter(name="suspend").update(proposed_at=2)
        for number in range(2):
            _removed(policy, tenant, f"c{number}")
        case = a_case(policy, content_id="c3", author_id="ann", tenant=tenant)
        finish(decide(case, "allow", a_reviewer()))

        author = reader.get(f"{AUTHORS}/ann").json()

        assert (author["contents"], author["restricted"], author["strike_weight"]) == (3, 2, 2)
        assert [strike["content_key"] for strike in author["strikes"]] == ["c1", "c0"]
        assert author["strikes"][0]["expires_at"] > timezone.now().isoformat()
        assert [(one["action"], one["effect"]) for one in author["proposals"]] == [("suspend", "suspend")]

    def test_expired_strikes_do_not_count(self, reader, removed):
        Strike.objects.update(expires_at=timezone.now() - timedelta(days=1))

        author = reader.get(f"{AUTHORS}/ann").json()

        assert (author["strikes"], author["strike_weight"], author["restricted"]) == ([], 0, 1)

    def test_another_tenants_author_of_the_same_id_is_another(self, reader, stranger, removed):
        unknown = stranger.get(f"{AUTHORS}/ann").json()

        assert (unknown["contents"], unknown["strikes"], unknown["proposals"]) == (0, [], [])
        assert reader.get(f"{AUTHORS}/ann").json()["contents"] == 1

    @cases("author_id", slash="a/b", sign="a%25b", long="x" * 300, nul="a%00b")
    def test_whatever_the_id(self, reader, author_id):
        assert reader.get(f"{AUTHORS}/{author_id}").json()["contents"] == 0

    def test_it_needs_a_key(self):
        assert client_for("lead").get(f"{AUTHORS}/ann").status_code == 401


class TestQueues:
    def _queue(self, client, name):
        return next(one for one in client.get(QUEUES).json()["queues"] if one["name"] == name)

    def test_how_many_wait_and_how_long(self, reader, policy, tenant):
        now = timezone.now()
        ages = {"old": 7_200, "older": 86_400, "young": 60}
        for name, age_s in ages.items():
            case = a_case(policy, text=name, content_id=name, tenant=tenant)
            Case.objects.filter(pk=case.pk).update(
                opened_at=now - timedelta(seconds=age_s),
                harm=4,
                due_at=now - timedelta(seconds=age_s - 3_600),
            )

        shown = reader.get(QUEUES).json()

        assert (shown["waiting"], shown["overdue"]) == (3, 2)
        assert 86_400 <= shown["oldest_seconds"] < 86_500  # the oldest, not the newest
        severe = self._queue(reader, "severe")
        assert (severe["waiting"], severe["overdue"]) == (3, 2)
        empty = self._queue(reader, "appeals")
        assert (empty["waiting"], empty["oldest_seconds"]) == (0, None)

    def test_decided_cases_do_not_wait(self, reader, removed):
        assert reader.get(QUEUES).json()["waiting"] == 0

    def test_a_tenant_sees_its_own(self, reader, stranger, policy, tenant):
        a_case(policy, content_id="c1", tenant=tenant)

        assert stranger.get(QUEUES).json()["waiting"] == 0
        assert reader.get(QUEUES).json()["waiting"] == 1
        assert client_for("reviewer").get(QUEUES).json()["waiting"] == 1

    def test_a_tenant_does_not_see_queues_of_others(self, reader, tenant):
        queue = ReviewQueue.objects.create(name="private", title="Private")
        queue.tenants.add(a_tenant())

        names = [one["name"] for one in reader.get(QUEUES).json()["queues"]]
        queue.tenants.add(tenant)
        allowed = [one["name"] for one in reader.get(QUEUES).json()["queues"]]

        assert ("private" in names, allowed.count("private")) == (False, 1)

    def test_it_needs_the_right(self, tenant):
        assert client_with("report", tenant=tenant).get(QUEUES).status_code == 403
