"""Verdicts as labels: golden sets and exported lines."""

import json
from datetime import timedelta
from hashlib import sha256

import pytest
from django.utils import timezone

from moderation.cases.models import CaseSource
from moderation.deciding.models import StoredContent
from moderation.quality.golden_sets import GoldenLabels, make_golden_set
from moderation.quality.judged_contents import ReceivedPeriod
from moderation.quality.models import VerdictGoldenSet
from moderation.quality.verdict_lines import VerdictExport, verdict_lines
from moderation.rights import ModerationRight
from registry.catalogue.models import Model
from registry.errors import Invalid, NotAllowed
from registry.intake.examples.models import GoldenSet
from registry.intake.examples.selectors import read_golden_rows
from registry.record.models import AuditRecord
from tests.support.cases import a_guideline, a_reviewer
from tests.support.decision_rows import a_png
from tests.support.factories import a_model, a_tenant, an_actor
from tests.support.judged import a_flagged, a_toxicity_policy, an_allowed, asked, judge

pytestmark = [pytest.mark.django_db, pytest.mark.both]
LABELS = GoldenLabels("toxic", "safe")


@pytest.fixture
def policy():
    return a_toxicity_policy()


@pytest.fixture
def rita():
    return a_reviewer(username="rita")


@pytest.fixture
def detector(policy):
    return Model.objects.get(slug="toxicity")


def both(policy, rita, count=2):
    """Contents that violate and contents that do not, all different."""
    for number in range(count):
        judge(a_flagged(policy, text=f"bad {number}"), action="remove", by=rita)
        judge(
            an_allowed(policy, text=f"fine {number}"),
            action="allow",
            source=CaseSource.AUDIT,
            by=rita,
        )


def make(model, **more):
    values = {
        "code": "toxic",
        "labels": LABELS,
        "metric": "accuracy",
        "reason": "from people",
        "by": an_actor(),
    }
    return make_golden_set(model=model, **{**values, **more})


def rows_of(made):
    return [(row.inputs, row.label) for row in read_golden_rows(made.golden_set)]


class TestGoldenSet:
    def test_it_holds_texts_with_their_labels(self, policy, rita, detector):
        both(policy, rita)

        made = make(detector)

        assert sorted(rows_of(made), key=str) == [
            ({"text": "bad 0"}, "toxic"), ({"text": "bad 1"}, "toxic"),
            ({"text": "fine 0"}, "safe"), ({"text": "fine 1"}, "safe"),
        ]  # fmt: skip
        assert made.golden_set.is_current
        assert (made.violating, made.others, made.code) == (2, 2, "toxic")
        assert AuditRecord.objects.get(action="put_golden_set").reason == "from people"

    def test_it_is_balanced_and_the_newest_come_first(self, policy, rita, detector):
        both(policy, rita, 3)
        judge(a_flagged(policy, text="bad 9"), action="remove", by=rita)

        assert (make(detector).violating, make(detector).others) == (3, 3)
        assert {inputs["text"] for inputs, _ in rows_of(make(detector, most=2))} == {"bad 9", "fine 2"}

    def test_the_latest_verdict_counts(self, policy, rita, detector):
        both(policy, rita, 1)
        decision = a_flagged(policy, text="joke")
        first = judge(decision, action="remove", by=rita)
        judge(decision, action="allow", source=CaseSource.APPEAL, about=first, by=a_reviewer())

        assert ({"text": "joke"}, "safe") in rows_of(make(detector))

    @pytest.mark.parametrize(
        "left_out",
        [
            "restricted case",
            "restricted violation",
            "erased",
            "not stored",
            "with a picture",
            "not asked",
            "equal",
        ],
    )
    def test_what_it_leaves_out(self, policy, rita, detector, left_out):
        both(policy, rita, 2)
        more = {"text": "not this one"}
        if left_out == "erased":
            more["text"] = ""
        elif left_out == "not stored":
            more["text"] = None
        elif left_out == "with a picture":
            more["findings"] = asked(parts=("text", "image"))
        elif left_out == "not asked":
            more["findings"] = asked()
            more["findings"].detectors.clear()
        elif left_out == "equal":
            more["digest"] = sha256(b"bad 1").digest()
        elif left_out == "restricted violation":
            a_guideline("secret", is_restricted=True)
        codes = ("toxic", "secret") if left_out == "restricted violation" else ("toxic",)
        # Another verdict about an equal content comes first, so the older one is left out; the others are never taken.
        judge(
            a_flagged(policy, **more),
            action="remove",
            codes=codes,
            is_restricted=left_out == "restricted case",
            by=rita,
        )

        texts = {inputs["text"] for inputs, _ in rows_of(make(detector))}

        assert texts == (
            {"not this one", "bad 0", "fine 0", "fine 1"}
            if left_out == "equal"
            else {"bad 0", "bad 1", "fine 0", "fine 1"}
        )

    def test_other_violations_are_neither(self, policy, rita, detector):
        both(policy, rita, 1)
        judge(a_flagged(policy, text="spam"), action="remove", codes=("spam",), by=rita)

        assert len(rows_of(make(detector))) == 2

    def test_pictures(self, policy, rita):
        model = a_model("nsfw", task="image-classification")
        findings = asked(parts=("image",))
        findings.detectors["nsfw"] = findings.detectors.pop("toxicity")
        for number, action in enumerate(["remove", "allow"]):
            decision = a_flagged(policy, findings=findings, pictures=(a_png(),), digest=bytes([number]) * 32)
            judge(decision, action=action, by=rita)

        rows = rows_of(make(model))

        assert [label for _, label in rows] == ["toxic", "safe"]
        assert all(set(inputs) == {"image"} for inputs, _ in rows)

    def test_too_few_verdicts(self, policy, rita, detector):
        judge(a_flagged(policy, text="bad"), action="remove", by=rita)

        with pytest.raises(Invalid, match="not enough verdicts"):
            make(detector)
        assert not VerdictGoldenSet.objects.exists()

    def test_if_it_is_refused_nothing_is_left(self, policy, rita, detector):
        both(policy, rita)

        with pytest.raises(Invalid):
            make(detector, metric="error")
        assert not VerdictGoldenSet.objects.exists()
        assert not GoldenSet.objects.exists()

    def test_equal_labels_and_tasks_without_labels(self, policy, detector):
        with pytest.raises(Invalid, match="different labels"):
            make(detector, labels=GoldenLabels("toxic", "toxic"))
        with pytest.raises(Invalid, match="image-classification"):
            make(a_model("names", task="entities"))

    @pytest.mark.parametrize("lacks", ["read_report_cards", "read_decisions", "write_registry"])
    def test_rights(self, policy, rita, detector, lacks):
        both(policy, rita)
        rights = {"read_report_cards", "read_decisions", "write_registry"}
        make(detector, by=an_actor(*rights))

        with pytest.raises(NotAllowed):
            make(detector, by=an_actor(*(rights - {lacks})))


def lines(*, contents=False, by=None, policy=None, days=30):
    now = timezone.now()
    period = ReceivedPeriod(now - timedelta(days=days), now + timedelta(minutes=1))
    export = VerdictExport(period, policy, contents)
    return [json.loads(line) for line in verdict_lines(export=export, by=by or an_actor())]


class TestLines:
    def test_a_line(self, policy, rita):
        decision = a_flagged(policy, text="bad", content_id="c1")
        judge(decision, action="remove", by=rita)

        (line,) = lines()

        assert line["request_id"] == decision.request_id
        assert (line["decision"], line["verdict"], line["violations"]) == ("review", "block", ["toxic"])
        assert (line["content_id"], line["language"], line["source"], line["weight"]) == (
            "c1",
            "en",
            "review",
            1.0,
        )
        assert line["detectors"] == {"toxicity": {"version": 1, "scores": {"toxic": 0.7}}}
        assert "text" not in line
        assert not AuditRecord.objects.filter(action="export_verdicts").exists()

    def test_weights(self, policy, rita):
        judge(an_allowed(policy, weight=25), action="allow", source=CaseSource.AUDIT, by=rita)
        judge(an_allowed(policy, weight=None), action="remove", source=CaseSource.REPORT, by=rita)

        judge(a_flagged(policy), action="remove", source=CaseSource.REPORT, by=rita)

        assert [line["weight"] for line in lines()] == [1.0, None, 25.0]

    def test_the_latest_verdict_counts(self, policy, rita):
        decision = a_flagged(policy)
        first = judge(decision, action="remove", by=rita)
        judge(decision, action="allow", source=CaseSource.APPEAL, about=first, by=a_reviewer())

        (line,) = lines()

        assert (line["verdict"], line["source"], line["weight"]) == ("allow", "appeal", 1.0)

    def test_with_contents(self, policy, rita):
        """Restricted ones and those that are gone are left out, and the export is recorded."""
        judge(a_flagged(policy, text="bad"), action="remove", by=rita)
        judge(a_flagged(policy, text="secret"), action="remove", is_restricted=True, by=rita)
        a_guideline("secret", is_restricted=True)
        judge(a_flagged(policy, text="secret"), action="remove", codes=("secret",), by=rita)
        judge(a_flagged(policy, text=None), action="remove", by=rita)

        assert [line["text"] for line in lines(contents=True)] == ["bad"]
        assert len(lines()) == 4
        assert AuditRecord.objects.filter(action="export_verdicts").count() == 1

    def test_erased_texts_are_left_out(self, policy, rita):
        judge(a_flagged(policy, text="bad"), action="remove", by=rita)
        StoredContent.objects.update(text="")

        assert lines(contents=True) == []

    def test_of_a_policy_and_a_period(self, policy, rita):
        judge(a_flagged(policy, at=timezone.now() - timedelta(days=40)), action="remove", by=rita)

        assert lines() == []
        assert len(lines(days=50, policy=policy)) == 1

    def test_rights_and_tenants(self, policy, rita):
        judge(a_flagged(policy, tenant=a_tenant()), action="remove", by=rita)
        theirs = an_actor(ModerationRight.READ_QUALITY)

        assert len(lines(by=theirs)) == 1
        with pytest.raises(NotAllowed):
            lines(contents=True, by=theirs)
        with pytest.raises(NotAllowed):
            lines(by=rita)
