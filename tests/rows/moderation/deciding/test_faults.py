"""Whatever fails, nothing is allowed: each fault through each way in."""

import asyncio
from unittest.mock import Mock

import pytest
from django.db import DatabaseError, OperationalError

from inference.engine import errors as engine
from inference.serving import runtime
from moderation.deciding import detectors, examination, writer
from moderation.deciding.models import Decision
from moderation.deciding.policy_table import PolicyTable
from moderation.matching.errors import PatternTooSlow
from moderation.matching.patterns import PatternList
from moderation.matching.pictures import PictureHashes
from moderation.policies.models import Policy, PolicyRevision
from registry.catalogue.models import Model
from registry.traffic import services as traffic
from tests.support.detector_faults import RAISED, raising
from tests.support.detectors import SEED_POLICY, a_policy, publish_content
from tests.support.factories import an_actor
from tests.support.picture_models import a_picture, in_base64

CLEAN = {"text": "fine words"}
PICTURE = {"text": "fine", "image": in_base64(a_picture((0, 0, 0)))}


def _decisions(moderate, body):
    """The answers through every way in: one content, a list, the address of the seed."""
    return [
        moderate(body),
        moderate(body, url="/moderate"),
        *moderate([body, body])["decisions"],
        *moderate({"contents": [body]})["decisions"],
    ]


def _check_nothing_is_allowed(answers, *sources):
    for answer in answers:
        assert answer["decision"] == "review"
        assert answer["safe"] is None
        assert set(sources) <= {problem["source"] for problem in answer["problems"]}


def test_the_same_contents_are_allowed_without_faults(moderate):
    for body in (CLEAN, PICTURE):
        assert {answer["decision"] for answer in _decisions(moderate, body)} == {"allow"}


def test_whatever_an_engine_raises_means_review(moderate, monkeypatch):
    assert len(RAISED) == 25
    for error in RAISED:
        monkeypatch.setattr(type(runtime.started()), "infer", raising(error))

        _check_nothing_is_allowed(
            _decisions(moderate, PICTURE), "toxicity", "personal-data", "nsfw", "contraband"
        )


def test_one_detector_that_fails_among_others_that_work(moderate, monkeypatch):
    real = type(runtime.started()).infer
    broken = Model.objects.get(slug="nsfw").versions.get().pk

    async def infer(self, target, request):
        if target.version_id == broken:
            raise engine.RunFailed("It was injected.")
        return await real(self, target, request)

    monkeypatch.setattr(type(runtime.started()), "infer", infer)
    answers = _decisions(moderate, PICTURE)

    _check_nothing_is_allowed(answers, "nsfw")
    assert {problem["source"] for answer in answers for problem in answer["problems"]} == {"nsfw"}


def test_a_detector_that_never_answers(moderate, monkeypatch):
    async def infer(self, target, request):
        await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(type(runtime.started()), "infer", infer)

    answer = moderate(CLEAN, **{"X-Deadline-Ms": "200"})

    _check_nothing_is_allowed([answer], "toxicity")
    assert {problem["code"] for problem in answer["problems"]} == {"deadline_exceeded"}


def test_a_score_that_is_no_number(moderate):
    answers = _decisions(moderate, {"text": "nan"})

    _check_nothing_is_allowed(answers, "toxicity")
    assert {problem["code"] for answer in answers for problem in answer["problems"]} == {"unusable_output"}


def test_an_infinite_score(moderate, monkeypatch):
    monkeypatch.setattr(detectors, "_things", lambda answer: [("toxic", float("-inf"), None)])

    _check_nothing_is_allowed(_decisions(moderate, CLEAN), "toxicity", "personal-data")


def test_an_answer_with_too_few_items(moderate, monkeypatch):
    monkeypatch.setattr(detectors, "_read", lambda prediction: ([], {}))

    _check_nothing_is_allowed(_decisions(moderate, CLEAN), "toxicity", "personal-data")


def test_a_model_that_is_stopped(moderate):
    traffic.stop_model(model=Model.objects.get(slug="toxicity"), text="repairs", by=an_actor())
    runtime.started().refresh()

    _check_nothing_is_allowed(_decisions(moderate, CLEAN), "toxicity")


@pytest.mark.parametrize(
    ("rule", "source"),
    [
        ({"detector": "toxicity@gone"}, "toxicity@gone"),
        ({"detector": "toxicity", "reads": ["image"]}, "toxicity"),
        ({"detector": "nsfw", "reads": ["text"]}, "nsfw"),
    ],
)
def test_a_rule_that_cannot_be_asked(moderate, deciding, rule, source):
    rules = [*SEED_POLICY["rules"], {"name": "odd", "kind": "detector", "code": "odd", "block": 0.5, **rule}]
    publish_content(Policy.objects.get(), {"rules": rules})
    deciding.refresh()

    _check_nothing_is_allowed(_decisions(moderate, PICTURE), source)


@pytest.mark.parametrize(
    "image", [b"not a picture", b"\x89PNG\r\n\x1a\n" + b"\0" * 40, b"GIF89a", a_picture()[:60]]
)
def test_a_picture_that_cannot_be_read(moderate, image):
    _check_nothing_is_allowed(_decisions(moderate, {"image": in_base64(image)}), "image")


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9/x.png",
        "http://169.254.169.254/x",
        "ftp://example.com/x.png",
        "http://[::1]/",
        "nonsense",
    ],
)
def test_a_picture_that_cannot_be_fetched(moderate, url):
    _check_nothing_is_allowed(_decisions(moderate, {"text": "fine", "image_url": url}), "image")


def test_an_address_with_an_empty_file(moderate, monkeypatch):
    monkeypatch.setattr(examination, "read_item_url", lambda url, field: Mock(host="pictures.example"))
    monkeypatch.setattr(examination, "fetch_item", lambda url, field, most, end: b"")

    _check_nothing_is_allowed(
        _decisions(moderate, {"text": "fine", "image_url": "https://pictures.example/x"}), "image"
    )


def test_lists_that_are_not_read_in_time(moderate, deciding, monkeypatch):
    rule = {"name": "words", "kind": "words", "entries": ["casino"], "code": "spam", "effect": "block"}
    publish_content(Policy.objects.get(), {"rules": [*SEED_POLICY["rules"], rule]})
    deciding.refresh()
    monkeypatch.setattr(examination, "_search", lambda searches, asking: None)
    monkeypatch.setattr(examination, "_is_long", lambda searches: False)

    answers = _decisions(moderate, CLEAN)

    _check_nothing_is_allowed(answers)
    assert {problem["code"] for answer in answers for problem in answer["problems"]} == {"not_looked_at"}


def test_more_found_than_is_decided_about(moderate, monkeypatch):
    monkeypatch.setattr(detectors, "MAX_FOUND", 1)

    _check_nothing_is_allowed(_decisions(moderate, CLEAN), "toxicity")


def test_one_list_in_two_rules_that_read_different_parts(moderate, deciding):
    words = {"kind": "words", "entries": ["casino"], "code": "spam"}
    listed = [
        {**words, "name": "in-titles", "reads": ["title"], "effect": "note"},
        {**words, "name": "in-texts", "reads": ["text"], "effect": "block"},
    ]
    publish_content(Policy.objects.get(), {"rules": [*SEED_POLICY["rules"], *listed]})
    deciding.refresh()

    assert moderate({"title": "fine", "text": "a casino"})["decision"] == "block"
    assert moderate({"title": "a casino", "text": "fine"})["decision"] == "allow"


def test_a_policy_that_cannot_be_read_is_not_replaced_by_a_wider_one(moderate, deciding, tenant):
    strict = a_policy({"rules": SEED_POLICY["rules"][:1]}, name="strict", tenant=tenant)
    PolicyRevision.objects.filter(policy=strict).update(content={"rules": [{"kind": "of another release"}]})
    deciding.table = PolicyTable()
    deciding.refresh()

    assert moderate(CLEAN, status=503)["code"] == "policy_unreadable"


def test_hashes_that_cannot_be_made(moderate, monkeypatch):
    def fail(content):
        raise ZeroDivisionError

    monkeypatch.setattr(PictureHashes, "of", staticmethod(fail))

    _check_nothing_is_allowed(_decisions(moderate, PICTURE), "image")


def test_a_list_that_takes_too_long(moderate, deciding, monkeypatch):
    rule = {"name": "slow", "kind": "patterns", "patterns": ["x+"], "code": "slow", "effect": "block"}
    publish_content(Policy.objects.get(), {"rules": [*SEED_POLICY["rules"], rule]})
    deciding.refresh()

    def find(self, text, *, most=20):
        raise PatternTooSlow

    monkeypatch.setattr(PatternList, "find", find)

    answers = _decisions(moderate, CLEAN)

    _check_nothing_is_allowed(answers)
    assert {problem["code"] for answer in answers for problem in answer["problems"]} == {"list_failed"}


def test_no_free_thread_for_lists(moderate, deciding, monkeypatch):
    rule = {"name": "slow", "kind": "patterns", "patterns": ["x+"], "code": "slow", "effect": "block"}
    publish_content(Policy.objects.get(), {"rules": [*SEED_POLICY["rules"], rule]})
    deciding.refresh()

    async def refuse(work):
        raise engine.Overloaded

    monkeypatch.setattr("moderation.deciding.examination.off_loop", refuse)

    _check_nothing_is_allowed(_decisions(moderate, CLEAN))


def test_a_database_that_is_away_while_a_block_is_written(moderate, deciding, monkeypatch):
    """The caller gets an error, not an answer that nobody could look up."""

    def fail(batch):
        raise DatabaseError("It was injected.")

    monkeypatch.setattr(writer, "_write", fail)

    assert moderate({"text": "vile"}, status=503)["code"] == "database_unavailable"


def test_a_database_that_does_not_answer_in_time(moderate, deciding, monkeypatch):
    """The caller is told, and the decision is written when the database is back."""
    real = writer._write

    def fail(batch):
        raise OperationalError("It was injected.")

    monkeypatch.setattr(writer, "_write", fail)
    assert moderate({"text": "vile"}, status=503, **{"X-Deadline-Ms": "500"})["code"] == "writes_behind"
    monkeypatch.setattr(writer, "_write", real)
    while deciding.writer.write():
        pass

    assert Decision.objects.get().ruling == "block"
    deciding.writer.check_room()
    assert deciding.writer._bytes == 0


def test_a_commit_whose_answer_was_lost(moderate, deciding, monkeypatch):
    real, tries = writer._write, []

    def fail_after(batch):
        tries.append(len(batch))
        written = real(batch)
        if len(tries) == 1:
            raise OperationalError("The connection was lost.")
        return written

    monkeypatch.setattr(writer, "_write", fail_after)

    assert moderate({"text": "vile"})["decision"] == "block"
    assert Decision.objects.count() == 1


def test_without_the_guard_a_failure_would_allow(moderate, monkeypatch):
    """The control: what these tests find when failures are forgotten."""
    monkeypatch.setattr(type(runtime.started()), "infer", raising(engine.Overloaded))
    monkeypatch.setattr("moderation.deciding.judgements._Gathered.note_unseen", lambda *arguments: None)

    with pytest.raises(AssertionError):
        _check_nothing_is_allowed(_decisions(moderate, CLEAN), "toxicity")
