"""What the chapters tell about real predictions."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from inference.serving import request_id, runtime
from inference.story.chapters import CHAPTERS
from inference.story.selectors import GONE, story_of
from registry.access.policies import Right
from registry.catalogue import services as catalogue
from registry.catalogue.models import Version
from registry.errors import NotFound
from registry.traffic import services as traffic
from registry.traffic.assignment import bucket_of
from registry.traffic.models import Split
from registry.traffic.readiness import READINESS, Readiness, ReadinessCheck, ReadinessState
from tests.support.factories import a_person, a_split, an_actor
from tests.support.live_models import put_ready
from tests.support.processes import ROOT

pytestmark = pytest.mark.django_db
EXAMPLE = ROOT / "examples" / "ripeness" / "model.onnx"


def _story(text, by=None):
    return dict(story_of(text, by or an_actor()).chapters)


def _told(text, name, by=None):
    return " ".join(_story(text, by)[name].sentences)


def _key_in(model, number):
    """A routing key that a version answers, and its bucket."""
    split = model.splits.get(status="current")
    version = model.versions.get(number=number)
    owners = split.owners()
    for each in range(10_000):
        bucket = bucket_of(split.salt, f"key-{each}")
        if owners[bucket] == version.pk:
            return f"key-{each}", bucket
    raise AssertionError("no key")


class TestWhyThisVersion:
    def test_the_only_arm(self, predict):
        story = _story(predict())

        assert "It was the only arm of split 1" in " ".join(story["answer"].sentences)
        facts = story["answer"].facts
        version = Version.objects.get()
        assert (facts["model"], facts["version"], facts["arm"]) == ("ripeness", 1, "a")
        assert facts["file"] == version.artifact.sha256[:12]
        assert facts["inputs"] == "features FP32 (any × 3)"
        assert facts["routing key"] == "none"

    def test_the_bucket_of_a_routing_key(self, predict, second):
        for number, letter, interval, share in (
            (1, "a", "buckets 0 to 8,999", "90 %"),
            (2, "b", "buckets 9,000 to 9,999", "10 %"),
        ):
            key, bucket = _key_in(second.model, number)
            story = _story(predict(**{"X-Routing-Key": key}))

            told = " ".join(story["answer"].sentences)
            assert f"Its routing key belongs to bucket {bucket:,} of 10,000." in told
            assert f"Arm {letter} of split 2 owned {interval}; its share was {share}." in told
            assert story["answer"].facts["version"] == number
            assert story["answer"].facts["routing key"] != "none"

    def test_a_random_bucket(self, predict, second):
        text = predict()

        bucket = request_id.read(text).bucket
        assert f"It had no routing key and got a random bucket of 10,000: {bucket:,}." in _told(
            text, "answer"
        )
        split = Split.objects.get(number=2)
        assert split.owners()[bucket] == request_id.read(text).version_id

    def test_a_version_that_the_caller_named(self, predict, second):
        story = _story(predict("models/ripeness/versions/2"))

        assert "The caller named version 2, so the split did not decide." in story["answer"].sentences
        assert "arm" not in story["answer"].facts

    def test_an_alias_that_the_caller_named(self, predict, live, second):
        catalogue.move_alias(
            model=live.model, name="challenger", version=second, reason="compare", by=an_actor()
        )
        runtime.started().refresh()
        text = predict("models/ripeness@challenger")
        catalogue.move_alias(model=live.model, name="challenger", version=live, reason="no", by=an_actor())

        assert "The caller named @challenger, which pointed to version 2" in _told(text, "answer")
        assert "@challenger pointed to version 2." in _told(text, "state")

    def test_an_id_from_before_the_bucket_was_included(self, predict, live):
        old = [
            request_id.make(version_id=live.pk, split=1, arm=arm, routing_key=key)
            for arm, key in (("a", "anna"), ("a", None), ("", None))
        ]

        told = [_told(text, "answer") for text in old]

        assert "Split 1 chose arm a by its routing key." in told[0]
        assert "Split 1 chose arm a at random, because it had no routing key." in told[1]
        assert "The caller named a version or an alias" in told[2]


class TestSplitAndApproval:
    def test_the_split_and_who_set_it(self, predict, second):
        story = _story(predict())

        (decided, set_by) = story["split"].sentences
        assert decided == "Split 2 decided: version 1 90 %, version 2 10 %."
        assert set_by == "tester set it: because"
        assert story["split"].facts["until"] == "now"
        assert "tester set split 2 without an approval request." in story["approval"].sentences
        assert "Split 2 was in use, but did not decide:" in _told(
            predict("models/ripeness/versions/1"), "split"
        )

    def test_who_asked_who_approved_and_the_gates(self, predict, live, second):
        traffic.set_approval_rule(model=live.model, needed=True, reason="two", by=an_actor())
        asker, approver = a_person("operator", username="otto"), a_person("approver", username="anna")
        asked = traffic.ask_for_split(
            model=live.model, arms={second: 10_000}, comment="better on plums", by=an_actor(user=asker)
        )
        traffic.approve_request(request=asked, reason="looks right", by=an_actor(user=approver))
        runtime.started().refresh()

        story = _story(predict())

        told = story["approval"].sentences
        assert "otto asked for version 2 100 %: better on plums" in told
        assert "anna approved: looks right" in told
        assert any(sentence.startswith("Gate “checks” ") for sentence in told)
        assert story["approval"].facts["asked"] <= story["approval"].facts["approved"]

    def test_a_rollback_names_the_approval_before(self, predict, live, second):
        traffic.set_approval_rule(model=live.model, needed=True, reason="two", by=an_actor())
        asker, approver = a_person("operator", username="otto"), a_person("approver", username="anna")
        asked = traffic.ask_for_split(
            model=live.model, arms={second: 10_000}, comment="all", by=an_actor(user=asker)
        )
        traffic.approve_request(request=asked, reason="fine", by=an_actor(user=approver))
        traffic.roll_back(model=live.model, reason="errors", by=an_actor())
        traffic.roll_back(model=live.model, to_version=second, reason="it was the caller", by=an_actor())
        runtime.started().refresh()

        told = _told(predict(), "approval")

        assert "was a rollback, which needs no approval." in told
        assert (
            f"Version 2 was last approved for split {asked.model.splits.get(request=asked).number}:" in told
        )
        assert "anna approved: fine" in told

    def test_without_a_split(self, predict, live):
        text = request_id.make(
            version_id=live.pk, split=0, arm="", routing_key=None, chosen_by=request_id.BY_VERSION
        )
        gone = request_id.make(version_id=live.pk, split=77, arm="c", routing_key=None, chosen_by=3)

        assert _told(text, "split") == "ripeness had no current split."
        assert "Split 77 no longer exists" in _told(gone, "split")
        assert "bucket of 10,000: 3, which arm c of split 77 owned" in _told(gone, "answer")


class TestSettings:
    def test_the_revision_in_force(self, predict, live):
        before = predict()
        first = catalogue.change_serving(
            version=live, changes={"max_wait_ms": 2.0}, reason="batches", by=an_actor()
        )
        between = predict()
        catalogue.change_serving(version=live, changes={"max_wait_ms": 0.0}, reason="slow", by=an_actor())

        assert "Revision 1 of its serving settings was in force" in _told(before, "settings")
        assert "All settings have their defaults." in _told(before, "settings")
        assert f"Revision {first.revision} of its serving settings was in force, by tester: batches" in _told(
            between, "settings"
        )
        assert _story(between)["settings"].facts["max wait"] == "2 ms"
        assert "All settings have their defaults." in _told(predict(), "settings")


class TestState:
    def test_what_was_live_and_held(self, predict, live, second):
        traffic.freeze_model(model=live.model, reason="audit week", by=an_actor())
        text = predict("models/ripeness/versions/1")
        traffic.unfreeze_model(model=live.model, reason="over", by=an_actor())
        a_split(live.model, 100, versions=[second])

        told = _told(text, "state")

        assert "Split 2 was current." in told
        assert "Version 1 was approved." in told
        assert "ripeness was frozen: audit week" in told
        assert "@champion pointed to version 1." in told
        assert "neither stopped nor frozen" in _told(predict(), "state")

    def test_a_version_that_was_never_approved(self, live):
        config = {"labels": ["unripe", "ripe", "overripe"], "scores": "probabilities"}
        version = put_ready("ripeness", EXAMPLE, task_config=config)
        text = request_id.make(version_id=version.pk, split=1, arm="", routing_key=None)
        assert "Version 2 was not approved" in _told(text, "state")

        a_split(live.model, 50, 50)

        assert "Version 2 was not approved" in _told(text, "state")

    def test_a_process_that_still_used_the_split_before(self, predict, live, second):
        stale = request_id.make(version_id=live.pk, split=1, arm="a", routing_key=None)

        assert "Split 2 was current; the process still used split 1." in _told(stale, "state")
        none = request_id.make(version_id=live.pk, split=0, arm="", routing_key=None)
        assert "Split 2 was current; the process still used none." in _told(none, "state")


class TestChanges:
    def test_what_happened_since_newest_first(self, predict, live, second):
        before = predict()
        traffic.stop_model(model=live.model, text="wrong labels", by=an_actor())
        catalogue.change_serving(version=live, changes={"max_batch_rows": 8}, reason="less", by=an_actor())
        traffic.start_model(model=live.model, reason="fixed", by=an_actor())

        chapter = _story(before)["changes"]

        assert [(change.by, change.reason) for change in chapter.changes] == [
            ("tester", "fixed"),
            ("tester", "less"),
            ("tester", "wrong labels"),
        ]
        assert all(change.path.startswith("/admin/registry/auditrecord/") for change in chapter.changes)
        runtime.started().refresh()
        after = predict()
        assert "Nothing that decides about answers has changed since." in _told(after, "changes")

    def test_a_split_that_had_been_set_and_became_current(self, predict, live, second):
        with READINESS.changed(
            engines=ReadinessCheck(lambda _split: Readiness(ReadinessState.WAIT, "Still cold."))
        ):
            waiting = a_split(live.model, 100)
        text = predict()

        with READINESS.changed(engines=ReadinessCheck()):
            traffic.settle_split(split=waiting, by=an_actor())

        (change,) = _story(text)["changes"].changes
        assert change.sentence.startswith("made split 3 current")

    def test_at_most_twenty(self, predict, live):
        text = predict()
        for number in range(21):
            catalogue.change_serving(
                version=live, changes={"max_batch_rows": 10 + number}, reason=f"try {number}", by=an_actor()
            )

        chapter = _story(text)["changes"]

        assert len(chapter.changes) == 20
        assert chapter.changes[0].reason == "try 20"
        assert "The newest 20 changes; there are more" in " ".join(chapter.sentences)

    def test_without_the_right_to_read_records(self, predict, live):
        text = predict()
        traffic.stop_model(model=live.model, text="wrong labels", by=an_actor())

        chapter = _story(text, an_actor(Right.READ))["changes"]

        assert chapter.changes == ()
        assert "ripeness is stopped now: wrong labels" in chapter.sentences
        assert "You may not read audit records" in chapter.sentences[-1]


def test_a_chapter_that_fails_says_so_and_the_others_are_told(predict):
    def fails(_request, _by):
        raise RuntimeError("planted")

    text = predict()
    with CHAPTERS.changed(weather=fails):
        story = _story(text)

    assert story["weather"].sentences == ["This part could not be told. The server's log has the error."]
    assert story["answer"].facts["version"] == 1


def test_a_chapter_may_have_nothing_to_tell(predict):
    text = predict()
    with CHAPTERS.changed(weather=lambda _request, _by: None):
        assert "weather" not in _story(text)


def test_a_story_takes_few_queries(predict, live, second):
    text = predict()
    for number in range(5):
        catalogue.change_serving(
            version=live, changes={"max_batch_rows": 10 + number}, reason="a change", by=an_actor()
        )

    with CaptureQueriesContext(connection) as captured:
        story_of(text, an_actor())

    assert len(captured) <= 20


def test_a_database_that_was_replaced(live):
    """Another version may have the number that the id names."""
    at = live.created_at - timedelta(hours=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(request_id.time, "time", at.timestamp)
        text = request_id.make(version_id=live.pk, split=1, arm="a", routing_key=None)
    never = request_id.make(version_id=10**6, split=1, arm="a", routing_key=None)

    for gone in (text, never):
        with pytest.raises(NotFound) as refused:
            story_of(gone, an_actor())
        assert str(refused.value) == GONE
