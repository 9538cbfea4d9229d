"""Whatever fails, nothing is allowed: each fault through each way in."""

import asyncio

import pytest
from django.db import DatabaseError

from inference.engine import errors as engine
from inference.serving import runtime
from moderation.deciding import detectors, writer
from moderation.matching.errors import PatternTooSlow
from moderation.matching.patterns import PatternList
from moderation.matching.pictures import PictureHashes
from moderation.policies.models import Policy
from registry.catalogue.models import Model
from registry.traffic import services as traffic
from tests.support.detector_faults import RAISED, raising
from tests.support.detectors import SEED_POLICY, publish_content
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


def test_without_the_guard_a_failure_would_allow(moderate, monkeypatch):
    """The control: what these tests find when failures are forgotten."""
    monkeypatch.setattr(type(runtime.started()), "infer", raising(engine.Overloaded))
    monkeypatch.setattr("moderation.deciding.judgements._note_unanswered", lambda *arguments: None)

    with pytest.raises(AssertionError):
        _check_nothing_is_allowed(_decisions(moderate, CLEAN), "toxicity")
