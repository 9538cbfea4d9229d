"""Whatever fails, the doors of other services say neither that a content is fine nor that its score is low."""

import asyncio

import pytest

from inference.engine import errors as engine
from inference.serving import runtime
from moderation.doors.categories.scores import CategoryScore
from moderation.matching.errors import PatternTooSlow
from moderation.matching.patterns import PatternList
from moderation.policies.models import Policy
from registry.catalogue.models import Model, Version
from registry.traffic import services as traffic
from tests.support.detector_faults import RAISED, raising
from tests.support.detectors import SEED_POLICY, publish_content
from tests.support.factories import a_model, an_actor
from tests.support.picture_models import a_picture, in_base64

TOXIC = SEED_POLICY["rules"][0]


def _url(picture):
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{in_base64(picture)}"}}


def _check_fails_safe(post, text="fine", **headers):
    """Through both doors. The category is mapped from the detector that fails."""
    answer = post("/v1/moderations", {"input": [text, text]}, **headers)
    for result in answer["results"]:
        assert result["flagged"] is True
        assert result["category_scores"]["harassment"] is None
        assert result["roundhouse"]["decision"] == "review"
        assert result["roundhouse"]["problems"]
    body = {"comment": {"text": text}, "requestedAttributes": {"TOXICITY": {}}}
    error = post("/v1alpha1/comments:analyze", body, status=503, **headers)["error"]
    assert error["status"] == "UNAVAILABLE"
    assert error["details"][0]["metadata"]["decision"] == "review"


@pytest.fixture
def mapped(map_labels):
    map_labels("openai", ("toxicity", "toxic", "harassment"))


@pytest.fixture
def fails_safe(post, mapped):
    return lambda *texts, **headers: _check_fails_safe(post, *texts, **headers)


def test_without_faults_both_answer(post, mapped):
    (result,) = post("/v1/moderations", {"input": "fine"})["results"]
    assert (result["flagged"], result["category_scores"]["harassment"]) == (False, 0.0)
    with pytest.raises(AssertionError):
        _check_fails_safe(post)


def test_whatever_an_engine_raises(fails_safe, monkeypatch):
    for error in RAISED:
        monkeypatch.setattr(type(runtime.started()), "infer", raising(error))
        fails_safe()


def test_a_detector_that_never_answers(fails_safe, monkeypatch):
    async def infer(self, target, request):
        await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(type(runtime.started()), "infer", infer)

    fails_safe(**{"X-Deadline-Ms": "200"})


def test_a_score_that_is_no_number(fails_safe):
    fails_safe("nan")


def test_a_model_that_is_stopped(fails_safe):
    traffic.stop_model(model=Model.objects.get(slug="toxicity"), text="repairs", by=an_actor())
    runtime.started().refresh()

    fails_safe()


def test_a_version_that_crashed_processes(fails_safe):
    Version.objects.filter(model__slug="toxicity").update(broken_at="2026-01-01T00:00Z")
    runtime.started().refresh()
    runtime.stop()
    runtime.start()

    fails_safe()


def test_a_detector_whose_labels_nobody_knows(post, mapped, deciding):
    """It has no live version, so it might feed any category."""
    a_model("unborn", task="text-classification")
    rule = {"name": "odd", "kind": "detector", "detector": "unborn", "code": "odd", "block": 0.5}
    publish_content(Policy.objects.get(), {"rules": [*SEED_POLICY["rules"], rule]})
    deciding.refresh()
    runtime.started().refresh()

    _check_fails_safe(post)


@pytest.mark.parametrize(
    "rule", [{"detector": "toxicity@gone"}, {"detector": "nsfw", "reads": ["text"]}], ids=["alias", "task"]
)
def test_a_rule_that_cannot_be_asked(post, map_labels, deciding, rule):
    detector = rule["detector"]
    map_labels("openai", (detector, "toxic", "harassment"), (detector, "nsfw", "harassment"))
    map_labels("perspective", (detector, "toxic", "TOXICITY"), (detector, "nsfw", "TOXICITY"))
    odd = {"name": "odd", "kind": "detector", "code": "odd", "block": 0.5, **rule}
    publish_content(Policy.objects.get(), {"rules": [TOXIC, odd]})
    map_labels("openai", (detector, "toxic", "harassment"), (detector, "nsfw", "harassment"))

    _check_fails_safe(post)


def test_a_list_that_takes_too_long(post, mapped, deciding, monkeypatch):
    rules = [
        {"name": "slow", "kind": "patterns", "patterns": ["x+"], "code": code, "effect": "block"}
        for code in ("harassment", "toxicity")
    ]
    rules[1] |= {"name": "slow-too", "patterns": ["y+"]}
    publish_content(Policy.objects.get(), {"rules": [*SEED_POLICY["rules"], *rules]})
    deciding.refresh()

    def find(self, text, *, most=20):
        raise PatternTooSlow

    monkeypatch.setattr(PatternList, "find", find)

    _check_fails_safe(post)


@pytest.mark.parametrize(
    "part",
    [
        _url(b"no picture"),
        _url(a_picture()[:60]),
        {"type": "image_url", "image_url": {"url": "http://127.0.0.1:9/x"}},
    ],
    ids=["no picture", "cut", "not fetched"],
)
def test_a_picture_that_nobody_could_see(post, mapped, part):
    (result,) = post("/v1/moderations", {"input": [{"type": "text", "text": "fine"}, part]})["results"]

    assert result["flagged"] is True
    assert set(result["category_scores"].values()) == {None}


def test_a_failed_detector_beside_evidence(post, mapped, monkeypatch):
    """What was found is told; the score is not, as it might be higher."""
    real, broken = type(runtime.started()).infer, Model.objects.get(slug="nsfw").versions.get().pk

    async def infer(self, target, request):
        if target.version_id == broken:
            raise engine.RunFailed("It was injected.")
        return await real(self, target, request)

    monkeypatch.setattr(type(runtime.started()), "infer", infer)

    parts = [{"type": "text", "text": "vile"}, _url(a_picture((0, 0, 0)))]
    (result,) = post("/v1/moderations", {"input": parts})["results"]

    assert (result["flagged"], result["categories"]["harassment"]) == (True, True)
    assert result["category_scores"]["harassment"] == 0.99
    assert result["category_scores"]["sexual"] is None


def test_without_the_guard_a_failure_would_be_a_low_score(post, mapped, monkeypatch):
    """The control: what these tests find when failures are forgotten."""
    monkeypatch.setattr(type(runtime.started()), "infer", raising(engine.Overloaded))
    monkeypatch.setattr(CategoryScore, "is_known", True)

    (result,) = post("/v1/moderations", {"input": "fine"})["results"]

    assert result["category_scores"]["harassment"] == 0.0
