"""Contents are erased: nothing of them is left, and the audit chain stays valid."""

import hashlib
import json
from datetime import timedelta

import pytest
from django.db import IntegrityError, OperationalError, transaction
from django.utils import timezone

from moderation.appeals.models import Appeal
from moderation.appeals.services import make_appeal
from moderation.cases.models import Case
from moderation.cases.opening import open_cases, withdraw_cases
from moderation.cases.transitions import CaseStatus
from moderation.deciding.findings import Findings
from moderation.deciding.models import Decision, StoredContent, StoredPicture
from moderation.errors import OnLegalHold
from moderation.privacy import erasing
from moderation.privacy.erasing import SETTLES_AFTER, erase_pending, preview_erasure, request_erasure
from moderation.privacy.models import Erasure, ErasureKind
from moderation.reports.models import Report
from moderation.reports.services import make_report, report_answer
from moderation.review.finals import make_final
from moderation.review.models import AccountProposal, FinalDecision, ReviewAction, Strike, Verdict
from moderation.review.strikes import decide_proposal
from moderation.review.taking import escalate, set_legal_hold
from moderation.rights import ModerationRight
from registry.errors import Invalid, NotAllowed, StaleState
from registry.kit.api.models import IdempotencyRecord
from registry.record.models import AuditRecord, Delivery, Event
from registry.record.subscriptions import SubscriptionSettings, add_subscription
from registry.record.verification import verify
from tests.support.cases import a_case, a_reviewer, decide, finish, for_review
from tests.support.decision_rows import a_decision, a_list_policy, a_png, listed
from tests.support.dumps import stored_bytes, where_stored
from tests.support.factories import a_key, a_tenant, an_actor

pytestmark = [pytest.mark.django_db, pytest.mark.both]

AUTHOR, CONTENT_ID, TEXT = "ann-the-author-7731", "post-number-90125", "you blockhead, I live at 5 Elm Street"
URL, THREAD = "https://example.org/elm-street", "thread-of-elms"


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


def erase(kind, subject, *, tenant=None, reason="The author asked for it."):
    """Request and carry out an erasure, with the last look."""
    erasure = request_erasure(tenant=tenant, kind=kind, subject=subject, reason=reason, by=an_actor())
    erase_pending(now=timezone.now() + SETTLES_AFTER + timedelta(seconds=1))
    erasure.refresh_from_db()
    return erasure


def of_ann(policy, text=TEXT, **more):
    values = {"author_id": AUTHOR, "content_id": CONTENT_ID, "url": URL, "thread": THREAD, **more}
    return for_review(policy, text, **values)


def a_subscriber():
    kinds = ("decision.final", "appeal.answered", "report.answered", "account.action")
    settings = SubscriptionSettings(name="hook", url="https://example.org/hook", kinds=kinds)
    return add_subscription(values=settings, by=an_actor())[0]


def everything_about_ann(policy, tenant):
    """A content that was reported, decided, struck and appealed, with everything that follows from it."""
    ReviewAction.objects.filter(name="suspend").update(proposed_at=1.0)
    a_subscriber()
    picture = a_png(61, 17)
    sha256 = hashlib.sha256(picture).hexdigest()
    findings = Findings(["text", "image"], pictures=[["image", sha256, "5d41402abc4b2a76", "f" * 64, 90]])
    decision = of_ann(
        policy,
        tenant=tenant,
        pictures=(picture,),
        findings=findings,
        digest=hashlib.sha256(TEXT.encode()).digest(),
    )
    by = an_actor(ModerationRight.REPORT)
    open_cases()
    make_report(decision=decision, text=f"They wrote: {TEXT}", reporter_id="bob", by=by)
    finish(decide(Case.objects.get(), "remove", a_reviewer(), note=f"It says {TEXT}"))
    decide_proposal(
        proposal=AccountProposal.objects.get(),
        is_accepted=True,
        reason="Three strikes",
        by=a_reviewer("lead"),
    )
    make_appeal(decision=decision, text=f"I only wrote {TEXT}", by=by)
    make_report(decision=decision, text=f"They also wrote: {TEXT}", reporter_id="carla", by=by)
    return decision, (picture, sha256.encode())


def traces(*more):
    return [name.encode() for name in (AUTHOR, CONTENT_ID, "Elm Street", URL, THREAD)] + list(more)


class TestByAuthor:
    def test_nothing_is_left(self, policy, tenant):
        decision, pictures = everything_about_ann(policy, tenant)
        digest = bytes(decision.digest)
        before = stored_bytes()
        assert [trace for trace in traces(*pictures, digest) if trace not in before] == []

        erasure = erase(ErasureKind.AUTHOR, AUTHOR, tenant=tenant)

        after = stored_bytes()
        assert [trace for trace in traces(*pictures, digest) if trace in after] == []
        assert erasure.status == "done"
        assert erasure.removed["contents"] == 1
        assert verify().fault is None

    def test_what_was_decided_stays_without_its_author(self, policy, tenant):
        everything_about_ann(policy, tenant)

        erase(ErasureKind.AUTHOR, AUTHOR, tenant=tenant)

        final = FinalDecision.objects.get()
        assert (final.ruling, final.effect, final.author_id, final.notice) == ("block", "remove", "", None)
        assert final.statement["decision_ground"]
        assert Verdict.objects.get().note == ""
        assert not Strike.objects.exists()
        assert AccountProposal.objects.get().author_id == ""
        assert set(Case.objects.values_list("status", flat=True)) == {CaseStatus.CLOSED, CaseStatus.WITHDRAWN}
        assert list(Report.objects.order_by("pk").values_list("status", flat=True)) == ["action", "dismissed"]
        assert Appeal.objects.get().status == "dismissed"
        assert Event.objects.get(kind="appeal.answered").data["status"] == "dismissed"

    def test_what_was_not_sent_yet_is_not_sent_any_more(self, policy, tenant):
        everything_about_ann(policy, tenant)
        assert Delivery.objects.filter(event__kind="decision.final").exists()

        erase(ErasureKind.AUTHOR, AUTHOR, tenant=tenant)

        assert (
            set(Event.objects.values_list("kind", flat=True)) & {"decision.final", "account.action"} == set()
        )
        assert not Delivery.objects.filter(order_key__contains=CONTENT_ID).exists()

    def test_other_authors_and_tenants_keep_theirs(self, policy, tenant):
        others = [
            a_decision(policy, tenant=tenant, author_id="bob", text="mine"),
            a_decision(policy, tenant=a_tenant("other"), author_id=AUTHOR, text="another tenant's"),
            a_decision(policy, author_id=AUTHOR, text="nobody's"),
        ]
        a_decision(policy, tenant=tenant, author_id=AUTHOR, text="hers")

        erase(ErasureKind.AUTHOR, AUTHOR, tenant=tenant)

        assert set(StoredContent.objects.values_list("decision", flat=True)) == {one.pk for one in others}

    def test_sent_again_a_content_goes_on_from_its_highest_number(self, policy, tenant):
        everything_about_ann(policy, tenant)
        erase(ErasureKind.AUTHOR, AUTHOR, tenant=tenant)

        again = {
            "author_id": AUTHOR,
            "content_id": CONTENT_ID,
            "awaits": "final",
            "text": TEXT,
            "evidence": (listed(4, 13),),
        }
        for sent_to in (tenant, tenant, None):
            a_decision(policy, "block", tenant=sent_to, **again)
        finish(decide(a_case(policy, "of bob", author_id="bob", content_id="new"), "remove", a_reviewer()))
        make_final()

        ours = FinalDecision.objects.filter(content_key=CONTENT_ID).order_by("pk")
        assert list(ours.filter(tenant=tenant).values_list("sequence", flat=True)) == [2, 3]
        assert ours.get(tenant=None).sequence == 1
        assert FinalDecision.objects.get(content_key="new").sequence == 1

        erase(ErasureKind.AUTHOR, AUTHOR, tenant=tenant)

        case = a_case(policy, TEXT, tenant=tenant, author_id=AUTHOR, content_id=CONTENT_ID)
        finish(decide(case, "remove", a_reviewer()))
        assert FinalDecision.objects.get(tenant=tenant, content_key=CONTENT_ID).sequence == 4

    def test_contents_that_went_before_are_erased_as_well(self, policy):
        everything_about_ann(policy, None)
        Report.objects.filter(status="open").delete()
        Decision.objects.all().delete()
        assert FinalDecision.objects.get().author_id == AUTHOR

        erase(ErasureKind.AUTHOR, AUTHOR)

        assert {trace: where_stored(trace) for trace in traces()} == {trace: [] for trace in traces()}

    def test_reports_that_the_author_made_lose_their_words(self, policy):
        make_report(
            decision=a_decision(policy, text="of bob"), text="I am Ann", reporter_id=AUTHOR,
            by=an_actor(ModerationRight.REPORT),
        )  # fmt: skip

        erase(ErasureKind.AUTHOR, AUTHOR)

        report = Report.objects.get()
        assert (report.reporter_id, report.text, report.status) == ("", "", "open")
        assert report.decision is not None

    def test_a_case_goes_on_with_the_contents_that_it_has_left(self, policy):
        of_ann(policy)
        bobs = for_review(policy, "you blockhead, I live at 5 Elm Street!", author_id="bob")
        open_cases()
        case = Case.objects.get()
        assert case.item_count == 2

        erase(ErasureKind.AUTHOR, AUTHOR)

        case.refresh_from_db()
        assert (case.status, case.item_count) == (CaseStatus.WAITING, 1)
        assert case.items.get().decision == bobs

    def test_a_case_whose_other_contents_were_withdrawn_says_nothing_any_more(self, policy):
        of_ann(policy)
        bobs = for_review(policy, "you blockhead, I live at 5 Elm Street!", author_id="bob")
        open_cases()
        withdraw_cases(Decision.objects.filter(pk=bobs.pk))
        case = Case.objects.get()
        escalate(case=case, note="Who lives in Elm Street?", by=a_reviewer("lead"))
        case.refresh_from_db()
        assert (case.status, bool(case.likeness)) == (CaseStatus.WAITING, True)

        erase(ErasureKind.AUTHOR, AUTHOR)

        case.refresh_from_db()
        assert case.status == CaseStatus.WITHDRAWN
        assert (bytes(case.likeness), case.pictures, case.note) == (b"", [], "")

    def test_what_was_written_to_colleagues_goes(self, policy):
        case = a_case(policy, TEXT, author_id=AUTHOR)
        escalate(case=case, note="Who lives in Elm Street?", by=a_reviewer("lead"))

        erase(ErasureKind.AUTHOR, AUTHOR)

        case.refresh_from_db()
        assert (case.status, case.note, case.pictures) == (CaseStatus.WITHDRAWN, "", [])

    def test_a_verdict_that_can_be_undone_is(self, policy):
        verdict = decide(a_case(policy, author_id=AUTHOR), "remove", a_reviewer())

        erase(ErasureKind.AUTHOR, AUTHOR)

        assert finish(verdict).status == "undone"
        assert not FinalDecision.objects.exists()


class TestOthers:
    def test_one_content_by_its_id(self, policy):
        of_ann(policy)
        another = of_ann(policy, "something else", content_id="another")

        erase(ErasureKind.CONTENT, CONTENT_ID)

        assert list(Decision.objects.all()) == [another]

    def test_a_request_with_what_was_decided_again(self, policy):
        held = a_decision(policy, text=None, author_id=AUTHOR)
        again = of_ann(policy, redecides=held)
        another = of_ann(policy)

        erase(ErasureKind.REQUEST, held.request_id)

        assert list(Decision.objects.all()) == [another]
        assert again.request_id not in str(StoredContent.objects.values_list("pk", flat=True))

    @pytest.mark.parametrize("at_once", [200, 1])
    def test_kept_answers_about_what_was_decided_again_go(self, policy, tenant, monkeypatch, at_once):
        monkeypatch.setattr(erasing, "_AT_ONCE", at_once)
        key, _ = a_key("report", tenant=tenant)
        held = of_ann(policy, tenant=tenant)
        again = of_ann(policy, tenant=tenant, redecides=held)
        other = of_ann(policy, tenant=tenant, author_id="bob")
        for decision in (again, other):
            report = make_report(decision=decision, text="Look", by=an_actor(ModerationRight.REPORT))
            IdempotencyRecord.objects.create(
                principal=f"key:{key.pk}", key=f"report-{report.pk}", status=201, leased_until=timezone.now(),
                expires_at=timezone.now(), body=json.dumps(report_answer(report), separators=(",", ":")),
            )  # fmt: skip

        erase(ErasureKind.AUTHOR, AUTHOR, tenant=tenant)

        kept = json.loads(IdempotencyRecord.objects.get().body)
        assert kept["request_id"] == other.request_id

    def test_a_request_of_another_tenant_is_not_found(self, policy, tenant):
        decision = of_ann(policy)

        preview = preview_erasure(
            tenant=tenant, kind=ErasureKind.REQUEST, subject=decision.request_id, by=an_actor()
        )

        assert preview.is_empty

    def test_no_request_id(self):
        with pytest.raises(Invalid, match="hexadecimal"):
            request_erasure(tenant=None, kind=ErasureKind.REQUEST, subject="17", reason="why", by=an_actor())


class TestRequest:
    def test_the_id_stays_out_of_the_audit_log(self):
        with pytest.raises(Invalid, match="audit log"):
            erase(ErasureKind.AUTHOR, AUTHOR, reason=f"{AUTHOR.upper()} asked")

    @pytest.mark.parametrize(
        ("subject", "reason"),
        [
            ("4", "Ticket 4"),
            ("@ann", "write to bob@ann"),
            ("ann", "ann's mother asked"),
            ("\u5f35", "\u66ff\u5f35\u5148\u751f"),
        ],
    )
    def test_a_reason_with_the_id_as_a_word_is_refused(self, subject, reason):
        with pytest.raises(Invalid, match="audit log"):
            erase(ErasureKind.AUTHOR, subject, reason=reason)

    @pytest.mark.parametrize(("subject", "reason"), [("4", "Ticket 4711"), ("ann", "An annual clean-up")])
    def test_a_reason_that_only_has_the_same_letters_is_none(self, subject, reason):
        assert erase(ErasureKind.AUTHOR, subject, reason=reason).reason == reason

    def test_ids_are_taken_as_they_were_sent(self, policy):
        of_ann(policy, author_id=" ann")
        anns = of_ann(policy, author_id="ann", content_id="another")

        erase(ErasureKind.AUTHOR, " ann")

        assert Decision.objects.get() == anns

    def test_two_of_the_same_cannot_work_at_once(self, tenant):
        for tenant_id in (None, tenant.pk):
            values = {"tenant_id": tenant_id, "kind": "author", "subject": AUTHOR, "reason": "why"}
            Erasure.objects.create(**values)
            Erasure.objects.create(**{**values, "subject": "bob"})
            with pytest.raises(IntegrityError), transaction.atomic():
                Erasure.objects.create(**values)

    def test_a_key_erases_its_own_tenants_contents_only(self, tenant):
        key = an_actor(ModerationRight.ERASE)
        with pytest.raises(NotAllowed, match="own tenant"):
            request_erasure(
                tenant=None, kind=ErasureKind.AUTHOR, subject=AUTHOR, reason="why",
                by=type(key)(**{**{f: getattr(key, f) for f in key.__slots__}, "tenant_id": tenant.pk}),
            )  # fmt: skip

    def test_it_needs_the_right(self):
        with pytest.raises(NotAllowed):
            preview_erasure(
                tenant=None, kind=ErasureKind.AUTHOR, subject=AUTHOR, by=an_actor(ModerationRight.LEAD)
            )

    def test_it_is_the_same_while_it_works(self, policy):
        of_ann(policy)
        values = {
            "tenant": None,
            "kind": ErasureKind.AUTHOR,
            "subject": AUTHOR,
            "reason": "why",
            "by": an_actor(),
        }

        assert request_erasure(**values) == request_erasure(**values)

        erase_pending(now=timezone.now() + 2 * SETTLES_AFTER)
        assert Erasure.objects.get().status == "done"
        assert request_erasure(**values) != Erasure.objects.get(status="done")

    def test_a_content_that_is_written_late_is_found_by_the_last_look(self, policy):
        came_at = timezone.now()
        erasure = request_erasure(
            tenant=None, kind=ErasureKind.AUTHOR, subject=AUTHOR, reason="why", by=an_actor()
        )
        assert erase_pending() == 0
        of_ann(policy, at=came_at)

        assert erase_pending(now=erasure.made_at + SETTLES_AFTER) == 1

        assert not Decision.objects.exists()

    def test_what_comes_afterwards_is_not_meant(self, policy):
        erasure = request_erasure(
            tenant=None, kind=ErasureKind.AUTHOR, subject=AUTHOR, reason="why", by=an_actor()
        )
        new = of_ann(policy, at=erasure.made_at + timedelta(seconds=1))

        erase_pending(now=erasure.made_at + SETTLES_AFTER)

        assert Decision.objects.get() == new


class TestLegalHold:
    def test_what_is_on_hold_stays_and_its_case_is_named(self, policy):
        kept = a_case(policy, TEXT, author_id=AUTHOR)
        set_legal_hold(case=kept, is_held=True, reason="Court order", by=a_reviewer("lead"))
        of_ann(policy, "another")

        erasure = erase(ErasureKind.AUTHOR, AUTHOR)

        assert (erasure.kept_count, erasure.kept_cases) == (1, [kept.pk])
        assert StoredContent.objects.get().text == TEXT
        assert AuditRecord.objects.get(action="finish_erasure").after["kept_in_cases"] == [kept.pk]

    def test_it_is_refused_where_everything_is_on_hold(self, policy):
        kept = a_case(policy, TEXT, author_id=AUTHOR)
        set_legal_hold(case=kept, is_held=True, reason="Court order", by=a_reviewer("lead"))

        with pytest.raises(OnLegalHold, match=f"case {kept.pk}"):
            erase(ErasureKind.AUTHOR, AUTHOR)

        assert not Erasure.objects.exists()

    def test_a_final_decision_on_hold_keeps_its_author(self, policy):
        kept = a_case(policy, TEXT, author_id=AUTHOR)
        finish(decide(kept, "remove", a_reviewer()))
        set_legal_hold(case=kept, is_held=True, reason="Court order", by=a_reviewer("lead"))
        of_ann(policy, "another")

        erase(ErasureKind.AUTHOR, AUTHOR)

        assert FinalDecision.objects.get().author_id == AUTHOR
        assert Strike.objects.get().author_id == AUTHOR


class TestManyAtOnce:
    def test_a_thousand_leave_nothing(self, policy):
        for number in range(1_000):
            a_decision(
                policy, text=f"{TEXT} {number}", author_id=AUTHOR, content_id=f"{CONTENT_ID}-{number}",
                pictures=(a_png(),) if number % 100 == 0 else (),
            )  # fmt: skip
        kept = a_decision(policy, author_id="bob", text="of somebody else")
        assert StoredPicture.objects.count() == 10

        erasure = erase(ErasureKind.AUTHOR, AUTHOR)

        after = stored_bytes()
        assert [trace for trace in traces(a_png()) if trace in after] == []
        assert erasure.removed == {"contents": 1_000}
        assert Decision.objects.get() == kept
        assert verify().fault is None

    def test_it_goes_on_where_it_stopped(self, policy, monkeypatch):
        for number in range(5):
            of_ann(policy, content_id=str(number))
        monkeypatch.setattr(erasing, "_AT_ONCE", 2)
        dead = monkeypatch.context()
        with dead as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(erasing, "_erase_about_author", _interrupt)
            patch.setattr(erasing, "_erase_finals", _interrupt)
            request_erasure(tenant=None, kind=ErasureKind.AUTHOR, subject=AUTHOR, reason="why", by=an_actor())
            erase_pending()

        erase_pending(now=timezone.now() + 2 * SETTLES_AFTER)

        assert not Decision.objects.exists()
        assert Erasure.objects.get().removed["contents"] == 5

    def test_a_step_that_is_tried_again_counts_once(self, policy, monkeypatch):
        of_ann(policy)
        record, failures = erasing.record_change, [OperationalError("deadlock detected")]

        def record_unless_deadlocked(**values):
            if values["action"] == "erase_contents" and failures:
                raise failures.pop()
            return record(**values)

        monkeypatch.setattr(erasing, "record_change", record_unless_deadlocked)

        assert erase(ErasureKind.AUTHOR, AUTHOR).removed == {"contents": 1}
        assert AuditRecord.objects.get(action="finish_erasure").after["contents"] == 1

    def test_who_is_too_slow_adds_to_what_another_has_done(self, policy):
        of_ann(policy)
        erasure = request_erasure(
            tenant=None, kind=ErasureKind.AUTHOR, subject=AUTHOR, reason="why", by=an_actor()
        )
        slow = Erasure.objects.get()
        Erasure.objects.update(removed={"contents": 200}, open_jobs=["a-job"])

        erasing._erase_decisions(slow)

        erasure.refresh_from_db()
        assert (erasure.removed, erasure.open_jobs) == ({"contents": 201}, ["a-job"])

    def test_who_is_too_slow_stops(self, policy):
        request_erasure(tenant=None, kind=ErasureKind.AUTHOR, subject=AUTHOR, reason="why", by=an_actor())
        slow = Erasure.objects.get()
        erase_pending(now=timezone.now() + 2 * SETTLES_AFTER)
        nobodys = for_review(policy, "by nobody")

        with pytest.raises(StaleState):
            erasing._erase_decisions(slow)
        with pytest.raises(StaleState):
            erasing._finish(slow, timezone.now())

        assert Decision.objects.get() == nobodys

    def test_two_threads_of_a_process_do_not_erase_at_once(self, policy, monkeypatch):
        of_ann(policy)
        request_erasure(tenant=None, kind=ErasureKind.AUTHOR, subject=AUTHOR, reason="why", by=an_actor())
        monkeypatch.setattr(erasing.leases.threading, "get_ident", lambda: 1)
        second = []

        def look_meanwhile(erasure):
            with monkeypatch.context() as other_thread:
                other_thread.setattr(erasing.leases.threading, "get_ident", lambda: 2)
                other_thread.setattr(erasing, "_erase_alone", lambda *_: second.append("came in"))
                assert erase_pending() == 0
            return False

        with monkeypatch.context() as patch:
            patch.setattr(erasing, "_erase_decisions", look_meanwhile)
            erase_pending()

        assert second == []

    def test_another_that_has_taken_over_is_left_alone(self, policy, monkeypatch):
        of_ann(policy)
        request_erasure(tenant=None, kind=ErasureKind.AUTHOR, subject=AUTHOR, reason="why", by=an_actor())
        answers = iter([True, True, False])
        monkeypatch.setattr(erasing.leases, "claim", lambda *_, **__: next(answers))

        assert erase_pending(now=timezone.now() + 2 * SETTLES_AFTER) == 0

        assert Erasure.objects.get().status == "working"


def _interrupt(*_):
    raise KeyboardInterrupt
