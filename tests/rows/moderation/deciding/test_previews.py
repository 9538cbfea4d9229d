"""A preview equals what happens."""

from datetime import timedelta
from hashlib import md5

import pytest
from django.utils import timezone

from moderation import tasks
from moderation.deciding import previews, trials
from moderation.deciding.changes import Changes
from moderation.deciding.comparisons import NOT_FINISHED
from moderation.deciding.models import Decision, DetectorTrial, PolicyPreview, RunStatus, StoredContent
from moderation.deciding.policy_table import PolicyTable, read_table
from moderation.policies import services
from moderation.policies.models import Policy
from registry.catalogue.models import Model
from registry.errors import NotAllowed
from registry.traffic.gates import GateOutcome, plan_for
from roundhouse.celery import app
from tests.support.detectors import SEED_POLICY, publish_content, put_toxicity
from tests.support.factories import a_person, an_actor
from tests.support.picture_models import a_picture, in_base64

pytestmark = pytest.mark.both
TOXIC = SEED_POLICY["rules"][0]
CONTENTS = [
    {"text": text, "content_id": f"c{number}", "language": "de" if number % 3 else "en"}
    for number, text in enumerate(
        ["fine", "mild", "below", "edge", "above", "vile", "ann", "nan", "casino fine"] * 3
    )
] + [{"image": in_base64(a_picture((level,) * 3)), "content_id": f"p{level}"} for level in (100, 204, 230)]
DRAFTS = {
    "lower cut-offs": {"rules": [{**TOXIC, "review": 0.2, "block": 0.6}, *SEED_POLICY["rules"][1:]]},
    "a rule off": {"rules": [{**TOXIC, "state": "shadow"}, *SEED_POLICY["rules"][1:]]},
    "a list": {
        "rules": [
            *SEED_POLICY["rules"],
            {"name": "spam", "kind": "words", "entries": ["casino"], "code": "spam", "effect": "review"},
            {"name": "word", "kind": "patterns", "patterns": ["^f.ne$"], "code": "word", "effect": "block"},
        ]
    },
    "one language": {"rules": [{**TOXIC, "languages": ["en"]}, *SEED_POLICY["rules"][2:]]},
    "a known picture": {
        "rules": [
            *SEED_POLICY["rules"],
            {"name": "known", "kind": "hashes", "code": "known", "effect": "block",
             "hashes": [f"md5:{md5(a_picture((100, 100, 100))).hexdigest()}"]},
        ]
    },
}  # fmt: skip


@pytest.fixture
def stored(moderate, deciding):
    for content in CONTENTS:
        moderate(content)
    while deciding.writer.write():
        pass
    return Policy.objects.get()


def _save(policy, content):
    services.save_draft(policy=policy, content=content, expected=None, by=an_actor())
    policy.refresh_from_db()


@pytest.mark.parametrize("name", DRAFTS)
def test_a_preview_equals_what_happens(moderate, deciding, stored, name):
    before = {one.content_id: one.ruling for one in Decision.objects.all()}
    _save(stored, DRAFTS[name])
    preview = previews.request_preview(policy=stored, by=an_actor())
    previews.run_preview(preview.pk)
    preview.refresh_from_db()

    publish_content(stored, DRAFTS[name])
    deciding.refresh()
    happened = {content["content_id"]: moderate(content)["decision"] for content in CONTENTS}

    changes = {}
    for content_id, after in happened.items():
        if after != before[content_id]:
            changes[before[content_id], after] = changes.get((before[content_id], after), 0) + 1
    told = {(one["from"], one["to"]): one["count"] for one in preview.result["changes"]}
    assert preview.status == RunStatus.DONE
    assert preview.result["considered"] == len(CONTENTS)
    assert preview.result["undecided"] == {}
    assert told == changes != {}


def test_a_preview_tells_by_language_violation_and_people(stored):
    a_person("reviewer")
    a_person("lead")
    _save(stored, DRAFTS["lower cut-offs"])

    result = previews.preview_changes(stored, previews.read_rules(stored.draft)).result(previews._people)

    assert {one["language"]: one["considered"] for one in result["by_language"]} == {"de": 18, "en": 9, "": 3}
    toxic = next(one for one in result["by_code"] if one["code"] == "toxic_language")
    assert (toxic["before"], toxic["after"]) == (6, 15)
    assert all(1 <= len(one["samples"]) <= 20 for one in result["changes"])
    assert result["rates"]["more_per_day"] > 0
    assert result["people"]["reviewers"] == 2
    assert result["people"]["hours_more"] == pytest.approx(
        result["rates"]["more_per_day"] * result["people"]["seconds_per_review"] / 3600
    )


def test_what_cannot_be_decided_is_counted(stored, tmp_path):
    put_toxicity(tmp_path, "other")
    StoredContent.objects.filter(decision__content_id="c0").delete()
    _save(stored, {"rules": [*DRAFTS["a list"]["rules"], {**TOXIC, "name": "other", "detector": "other"}]})

    result = previews.preview_changes(stored, previews.read_rules(stored.draft)).result()

    assert result["undecided"] == {"other was not asked then.": 26, "The text is not stored any more.": 1}


def test_superseded_contents_are_left_out(moderate, deciding, stored):
    moderate({"text": "vile", "content_id": "c0"})

    changes = previews.preview_changes(stored, previews.read_rules(stored.current.content))

    assert changes.considered == len(CONTENTS)
    assert changes.changed == 0


def test_decisions_of_older_revisions_are_compared_with_the_rules_in_force(deciding, stored):
    publish_content(stored, DRAFTS["lower cut-offs"])
    _save(stored, {"rules": stored.current.content["rules"], "default_language": "en"})

    changes = previews.preview_changes(stored, previews.read_rules(stored.draft))

    assert changes.changed == 0


def test_a_preview_is_run_once_and_says_why_it_failed(stored, monkeypatch):
    preview = previews.request_preview(policy=stored, by=an_actor())
    monkeypatch.setattr(previews, "preview_changes", lambda *a, **k: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        previews.run_preview(preview.pk)

    previews.run_preview(preview.pk)

    preview.refresh_from_db()
    assert preview.status == RunStatus.FAILED
    assert preview.failure


def test_only_the_newest_previews_are_kept(stored):
    for _ in range(25):
        previews.request_preview(policy=stored, by=an_actor())

    assert PolicyPreview.objects.count() == 20
    with pytest.raises(NotAllowed):
        previews.request_preview(policy=stored, by=an_actor("read_policies"))


def _let_pass(minutes, rows):
    rows.update(progress_at=timezone.now() - timedelta(minutes=minutes))


class TestSweeping:
    @pytest.fixture
    def waiting(self, stored):
        return previews.request_preview(policy=stored, by=an_actor())

    def test_what_no_worker_begins_has_failed(self, waiting):
        _let_pass(14, PolicyPreview.objects)
        tasks.sweep_comparisons()
        waiting.refresh_from_db()
        assert waiting.status == RunStatus.WAITING

        _let_pass(16, PolicyPreview.objects)
        tasks.sweep_comparisons()

        waiting.refresh_from_db()
        assert (waiting.status, waiting.failure) == (RunStatus.FAILED, NOT_FINISHED)
        assert waiting.ended_at is not None
        previews.run_preview(waiting.pk)  # its message came late
        waiting.refresh_from_db()
        assert waiting.status == RunStatus.FAILED

    def test_a_worker_that_gets_further_is_left_alone(self, waiting, monkeypatch):
        def sweep_meanwhile(_policy, _rules, *, tell):
            _let_pass(16, PolicyPreview.objects)
            tell(10, 20)
            tasks.sweep_comparisons()
            return Changes()

        monkeypatch.setattr(previews, "preview_changes", sweep_meanwhile)
        previews.run_preview(waiting.pk)

        waiting.refresh_from_db()
        assert (waiting.status, waiting.done, waiting.total) == (RunStatus.DONE, 10, 20)

    def test_a_worker_that_gets_no_further_has_failed(self, waiting, monkeypatch):
        def sweep_meanwhile(_policy, _rules, *, tell):
            _let_pass(16, PolicyPreview.objects)
            tasks.sweep_comparisons()
            return Changes()

        monkeypatch.setattr(previews, "preview_changes", sweep_meanwhile)
        previews.run_preview(waiting.pk)

        waiting.refresh_from_db()
        assert (waiting.status, waiting.result) == (RunStatus.FAILED, None)

    def test_it_is_swept_every_minute(self):
        times = {one["task"]: one["schedule"] for one in app.conf.beat_schedule.values()}

        assert times["moderation.sweep_comparisons"] == 60


def test_a_preview_counts_no_more_than_it_reads(stored):
    most = []
    changes = previews.preview_changes(
        stored,
        previews.read_rules(stored.current.content),
        most=4,
        tell=lambda done, total: most.append(total),
    )

    assert changes.considered == 4
    assert set(most) == {4}


class TestTrials:
    @pytest.fixture
    def candidate(self, stored, tmp_path):
        """A version for which mild words are toxic, and vile ones are not."""
        version = put_toxicity(tmp_path, is_live=False, mild=0.95, vile=0.1)
        trials.runtime.started().refresh()
        return version

    def gates(self, version):
        return trials.decision_gates(plan_for(Model.objects.get(slug="toxicity"), {version: 10_000}))

    def test_a_promotion_shows_which_decisions_would_change(self, candidate):
        (waiting,) = self.gates(candidate)
        assert waiting.outcome is GateOutcome.UNKNOWN
        assert "being tried" in waiting.sentence
        assert len(self.gates(candidate)) == 1
        trials.run_trial(DetectorTrial.objects.get().pk)

        (gate,) = self.gates(candidate)

        assert gate.outcome is GateOutcome.WARNED
        assert gate.sentence.startswith(
            "With version 2, 6 of the last 27 stored decisions would change: 3 from "
        )
        assert "3 from allow to block" in gate.sentence
        assert "3 from block to allow" in gate.sentence

    def test_after_one_that_no_worker_finished_another_one_starts(self, candidate):
        self.gates(candidate)
        _let_pass(16, DetectorTrial.objects)
        tasks.sweep_comparisons()

        (gate,) = self.gates(candidate)

        assert "being tried" in gate.sentence
        assert [one.status for one in DetectorTrial.objects.all()] == [RunStatus.WAITING, RunStatus.FAILED]

    def test_it_says_how_far_it_is(self, candidate):
        self.gates(candidate)
        trials.run_trial(DetectorTrial.objects.get().pk)

        assert DetectorTrial.objects.get().done == 27

    def test_only_the_newest_are_kept(self, candidate):
        for _ in range(7):
            self.gates(candidate)
            _let_pass(16, DetectorTrial.objects)
            tasks.sweep_comparisons()

        assert DetectorTrial.objects.count() == 5

    def test_the_same_scores_change_nothing(self, stored, tmp_path):
        version = put_toxicity(tmp_path, is_live=False)
        trials.runtime.started().refresh()
        self.gates(version)
        trials.run_trial(DetectorTrial.objects.get().pk)

        (gate,) = self.gates(version)

        assert gate.outcome is GateOutcome.PASSED
        assert "none of the last 27" in gate.sentence

    def test_other_models_have_no_such_gate(self, deciding, stored):
        model = Model.objects.get(slug="toxicity")
        publish_content(stored, {"rules": SEED_POLICY["rules"][1:]})
        deciding.refresh()

        assert trials.decision_gates(plan_for(model, {model.versions.get(): 10_000})) == []


def test_a_table_reads_only_what_is_new(deciding, stored, django_assert_num_queries):
    with django_assert_num_queries(1):
        assert read_table(deciding.table) is deciding.table
    assert read_table(PolicyTable()).default.number == 1
