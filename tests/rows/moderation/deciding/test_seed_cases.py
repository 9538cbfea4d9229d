"""The request and the answer of the service whose clients move here."""

from inference.serving import runtime
from registry.catalogue.models import Model
from registry.traffic import services as traffic
from tests.support.factories import an_actor
from tests.support.picture_models import a_picture, in_base64

BOX = (16, 16, 32, 32)
CASES = {
    "a clean text": ({"text": "fine words"}, True, [], 0.0, None),
    "toxic below": ({"text": "below"}, True, [], 0.69, None),
    "toxic at": ({"text": "edge"}, True, [], 0.7, None),
    "toxic above": ({"text": "above"}, False, ["toxic_language"], 0.71, None),
    "an entity beside a clean text": ({"text": "ann met"}, True, ["sensitive_info"], 0.0, None),
    "an id": ({"text": "see ID-77"}, True, ["sensitive_info"], 0.0, None),
    "an entity in a toxic text": (
        {"text": "vile ann"},
        False,
        ["toxic_language", "sensitive_info"],
        0.99,
        None,
    ),
    "nsfw at": ({"image": (204, 204, 204)}, True, [], None, 0.8),
    "nsfw above": ({"image": (206, 206, 206)}, False, ["nsfw_content"], None, 206 / 255),
    "a weapon": ({"image": {"red": BOX}}, False, ["detected_weapon"], None, None),
    "drugs": ({"image": {"green": BOX}}, False, ["detected_drugs"], None, None),
    "a clean text with a bad picture": (
        {"text": "fine", "image": (255, 255, 255)},
        False,
        ["nsfw_content"],
        0.0,
        1.0,
    ),
}


def _body(case):
    image = case.get("image")
    if image is None:
        return case
    picture = a_picture((0, 0, 0), **image) if isinstance(image, dict) else a_picture(image)
    return {**case, "image": in_base64(picture)}


def test_the_seeds_answers(moderate):
    for name, (case, safe, violations, text_score, image_score) in CASES.items():
        answer = moderate(_body(case), url="/moderate")

        assert answer["safe"] is safe, name
        assert answer["violations"] == violations, name
        assert answer["text_score"] == text_score, name
        if image_score is not None:
            assert answer["image_score"] == image_score, name
        assert answer["problems"] == [], name


def test_entities_are_told_where_they_are(moderate):
    (found,) = moderate({"text": "we met ann lee in paris"}, url="/moderate")["sensitive_info"]

    assert found["label"] == "PER"
    assert (found["start"], found["end"], found["text"]) == (7, 14, "ann lee")


def test_a_detector_that_is_down_means_review(moderate):
    traffic.stop_model(model=Model.objects.get(slug="toxicity"), text="repairs", by=an_actor())
    runtime.started().refresh()

    answer = moderate({"text": "fine"}, url="/moderate")

    assert answer["decision"] == "review"
    assert answer["safe"] is None
    assert answer["text_score"] is None
    (problem,) = answer["problems"]
    assert problem["source"] == "toxicity"
    assert problem["code"] == "stopped"
