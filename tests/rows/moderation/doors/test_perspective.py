"""Calls of the Perspective API, as its clients make them, and the answers that they read."""

import json

from django.test import Client

from inference.engine import errors as engine
from inference.serving import runtime
from moderation.deciding.models import Decision, StoredContent
from registry.catalogue.models import Model
from registry.traffic import services as traffic
from tests.support.detector_faults import raising
from tests.support.detectors import SEED_POLICY, a_policy, publish_content
from tests.support.factories import a_key, an_actor
from tests.support.text_models import put_tone

PATH = "/v1alpha1/comments:analyze"
# A recorded call has these fields; those of the second line have no effect here.
RECORDED = {
    "comment": {"text": "vile kind of guy!", "type": "PLAIN_TEXT"},
    "context": {"entries": []}, "sessionId": "s-1", "communityId": "example.com/forum",
    "requestedAttributes": {"TOXICITY": {"scoreType": "PROBABILITY", "scoreThreshold": 0.0}},
    "languages": ["en"], "doNotStore": False, "spanAnnotations": False, "clientToken": "token-7",
}  # fmt: skip


def _summary(answer, name="TOXICITY"):
    return answer["attributeScores"][name]["summaryScore"]["value"]


def _policy(deciding, *rules, **more):
    from moderation.policies.models import Policy

    publish_content(Policy.objects.get(name="default"), {"rules": list(rules), **more})
    deciding.refresh()


def test_a_recorded_call_with_the_key_in_the_address(deciding, key):
    response = Client().post(f"{PATH}?key={key}", json.dumps(RECORDED), "application/json")

    assert response.status_code == 200
    answer = response.json()
    ours = answer.pop("roundhouse")
    assert answer == {
        "attributeScores": {
            "TOXICITY": {
                "spanScores": [{"begin": 0, "end": 17, "score": {"value": 0.99, "type": "PROBABILITY"}}],
                "summaryScore": {"value": 0.99, "type": "PROBABILITY"},
            }
        },
        "languages": ["en"],
        "clientToken": "token-7",
    }
    assert (ours["decision"], ours["violations"], ours["policy"]) == ("block", ["toxic_language"], "default")
    assert Decision.objects.get(pk=ours["request_id"]).language == "en"


def test_the_key_may_be_in_a_header(analyze):
    assert _summary(analyze("mild")) == 0.3


def test_a_key_in_the_address_opens_nothing_else(client, deciding, key):
    for path in ("/api/v1/moderate", "/moderate", "/v1/moderations", "/predict"):
        assert client.post(f"{path}?key={key}", "{}", "application/json").status_code == 401, path


def test_scores_below_the_threshold_are_left_out(post, deciding):
    body = {"comment": {"text": "mild"}, "requestedAttributes": {"TOXICITY": {"scoreThreshold": 0.31}}}
    assert post(PATH, body)["attributeScores"] == {}
    body["requestedAttributes"]["TOXICITY"]["scoreThreshold"] = 0.3
    assert list(post(PATH, body)["attributeScores"]) == ["TOXICITY"]


def test_spans_count_utf16_units_of_the_text_as_sent(analyze, map_labels):
    map_labels("perspective", ("personal-data", "PER", "IDENTITY_ATTACK"))
    text = "😀 we met ann lee"

    with_spans = analyze(text, "IDENTITY_ATTACK", spanAnnotations=True)
    without = analyze(text, "IDENTITY_ATTACK")

    (span,) = with_spans["attributeScores"]["IDENTITY_ATTACK"]["spanScores"]
    units = text.encode("utf-16-le")
    assert units[2 * span["begin"] : 2 * span["end"]].decode("utf-16-le") == "ann lee"
    (whole,) = without["attributeScores"]["IDENTITY_ATTACK"]["spanScores"]
    assert (whole["begin"], whole["end"]) == (0, len(units) // 2)
    assert _summary(with_spans, "IDENTITY_ATTACK") == _summary(without, "IDENTITY_ATTACK") > 0.9


def test_a_text_without_what_is_looked_for_has_a_score_too(analyze, map_labels):
    map_labels("perspective", ("personal-data", "PER", "IDENTITY_ATTACK"))

    assert _summary(analyze("fine", "IDENTITY_ATTACK", spanAnnotations=True), "IDENTITY_ATTACK") == 0.0


def test_lists_score_by_their_violations_code(analyze, deciding):
    words = {"name": "w", "kind": "words", "code": "profanity", "entries": ["darn"], "effect": "review"}
    _policy(deciding, *SEED_POLICY["rules"], words)

    hit = analyze("oh darn it", "PROFANITY", spanAnnotations=True)
    (span,) = hit["attributeScores"]["PROFANITY"]["spanScores"]
    assert (span["begin"], span["end"], span["score"]["value"]) == (3, 7, 1.0)
    assert _summary(analyze("oh dear", "PROFANITY"), "PROFANITY") == 0.0


def test_attributes_that_are_not_mapped_are_refused_with_those_that_are(analyze):
    for name in ("INSULT", "NOVELTY"):
        error = analyze("vile", "TOXICITY", name, status=400)["error"]

        assert (error["code"], error["status"]) == (400, "INVALID_ARGUMENT")
        assert f"Attribute {name} is not available" in error["message"]
        assert "SEXUALLY_EXPLICIT, TOXICITY" in error["message"]
        violation = error["details"][1]["fieldViolations"][0]
        assert violation["field"] == f"requestedAttributes.{name}"
    assert not Decision.objects.exists()


def test_an_attribute_for_pictures_has_no_score_for_a_text(analyze):
    error = analyze("vile", "SEXUALLY_EXPLICIT", status=400)["error"]

    assert error["details"][0]["reason"] == "LANGUAGE_NOT_SCORED"


def test_a_failed_detector_is_an_error_and_no_low_score(analyze, monkeypatch):
    monkeypatch.setattr(type(runtime.started()), "infer", raising(engine.Overloaded))

    error = analyze("fine", status=503)["error"]

    assert (error["code"], error["status"]) == (503, "UNAVAILABLE")
    details = error["details"][0]
    assert details["reason"] == "ATTRIBUTE_NOT_SCORED"
    assert details["metadata"]["decision"] == "review"
    assert Decision.objects.get(pk=details["metadata"]["request_id"]).is_held


def test_a_failed_detector_that_the_attribute_does_not_need_is_no_error(analyze):
    traffic.stop_model(model=Model.objects.get(slug="personal-data"), text="repairs", by=an_actor())
    runtime.started().refresh()

    answer = analyze("mild")

    assert _summary(answer) == 0.3
    assert answer["roundhouse"]["decision"] == "review"


def test_a_language_that_no_detector_reads_is_an_error(analyze, deciding):
    _policy(deciding, {**SEED_POLICY["rules"][0], "languages": ["en"]})

    error = analyze("fine", status=400, languages=["de"])["error"]

    assert error["status"] == "INVALID_ARGUMENT"
    assert error["message"] == "Attribute TOXICITY does not support the language de."
    assert Decision.objects.get().ruling == "review"


def test_another_detector_that_reads_the_language_does_not_make_up_a_score(analyze, deciding, map_labels):
    """The attribute's own detector was not asked, so nothing is known about it."""
    map_labels("perspective", ("personal-data", "PER", "INSULT"))
    toxic, personal = SEED_POLICY["rules"][:2]
    _policy(deciding, {**toxic, "languages": ["en"]}, {**personal, "languages": ["de"]})

    error = analyze("vile", status=400, languages=["de"])["error"]

    assert error["details"][0]["reason"] == "LANGUAGE_NOT_SCORED"


def test_the_policys_default_language_is_not_a_detected_one(analyze, deciding):
    _policy(deciding, *SEED_POLICY["rules"], default_language="en")

    answer = analyze("mild")

    assert (answer["languages"], "detectedLanguages" in answer) == (["en"], False)


def test_a_detected_language_is_told(analyze, deciding, tmp_path):
    put_tone(tmp_path, "language", labels=["de", "fr", "en"])
    runtime.started().refresh()
    _policy(deciding, {**SEED_POLICY["rules"][0], "languages": ["de"]}, language_detector="language")

    german = analyze("bad bad")
    english = analyze("good good", status=400)

    assert (german["languages"], german["detectedLanguages"]) == (["de"], ["de"])
    assert "does not support the language en" in english["error"]["message"]


def test_a_language_detector_that_fails_is_an_error(analyze, deciding, tmp_path):
    """Which detectors read the text is unknown then."""
    put_tone(tmp_path, "language", labels=["de", "fr", "en"])
    _policy(deciding, {**SEED_POLICY["rules"][0], "languages": ["de"]}, language_detector="language")
    traffic.stop_model(model=Model.objects.get(slug="language"), text="repairs", by=an_actor())
    runtime.started().refresh()

    assert analyze("bad", status=503)["error"]["status"] == "UNAVAILABLE"


def test_do_not_store(analyze):
    assert analyze("vile", doNotStore=True)["roundhouse"]["decision"] == "block"
    assert not Decision.objects.exists()
    assert not StoredContent.objects.exists()


def test_fixed_texts_of_a_test_key(post, tenant):
    key = a_key("moderate.test", tenant=tenant)[1]

    scores = [
        _summary(
            post(
                PATH,
                {"comment": {"text": f"roundhouse-test: {one}"}, "requestedAttributes": {"TOXICITY": {}}},
                key=key,
            )
        )
        for one in ("allow", "review", "block")
    ]

    assert scores == [0.0, 1.0, 1.0]


def test_only_the_policy_of_the_own_tenant_is_asked(analyze, deciding, tenant):
    words = {"name": "w", "kind": "words", "code": "spam", "entries": ["buy"], "effect": "review"}
    a_policy({"rules": [words]}, name="shops", tenant=tenant)
    deciding.refresh()

    assert _summary(analyze("buy now", "SPAM"), "SPAM") == 1.0
    assert "The attributes are SPAM." in analyze("vile", status=400)["error"]["message"]


WRONG = {
    "no comment": {"comment": None},
    "a comment without text": {"comment": {}},
    "an empty comment": {"comment": {"text": "  "}},
    "HTML": {"comment": {"text": "<b>a</b>", "type": "HTML"}},
    "no attributes": {"requestedAttributes": {}},
    "attributes that are no object": {"requestedAttributes": ["TOXICITY"]},
    "another type of score": {"requestedAttributes": {"TOXICITY": {"scoreType": "SEVERITY"}}},
    "a list of types": {"requestedAttributes": {"TOXICITY": {"scoreType": []}}},
    "a threshold that is no number": {"requestedAttributes": {"TOXICITY": {"scoreThreshold": "high"}}},
    "two languages": {"languages": ["en", "de"]},
    "no language tag": {"languages": ["?"]},
    "a language that is no list": {"languages": "en"},
    "a flag that is none": {"doNotStore": "no"},
    "a token that is no text": {"clientToken": 7},
    "an unknown field": {"commentt": {}},
}


def test_wrong_requests_get_their_error(post):
    for name, changed in WRONG.items():
        error = post(PATH, {**RECORDED, **changed}, status=400)["error"]

        assert (error["code"], error["status"]) == (400, "INVALID_ARGUMENT"), name
        assert error["message"], name
    assert post(PATH, [], status=400)["error"]["status"] == "INVALID_ARGUMENT"
    assert not Decision.objects.exists()


def test_other_errors_have_the_same_body(post, client):
    assert post(PATH, RECORDED, key="", status=401)["error"]["status"] == "UNAUTHENTICATED"
    assert post(f"{PATH}?key=wrong", RECORDED, key="", status=401)["error"]["status"] == "UNAUTHENTICATED"
    no_scope = a_key("predict")[1]
    assert (
        post(f"{PATH}?key={no_scope}", RECORDED, key="", status=403)["error"]["status"] == "PERMISSION_DENIED"
    )
    assert post("/v1alpha1/comments:suggestscore", {}, status=404)["error"]["status"] == "NOT_FOUND"
    assert client.get("/v1alpha1/").json()["error"]["status"] == "NOT_FOUND"
    long = {**RECORDED, "comment": {"text": "a" * 300_000}}
    assert post(PATH, long, status=400)["error"]["status"] == "INVALID_ARGUMENT"


def test_a_score_of_a_list_does_not_depend_on_how_much_evidence_is_told(analyze, deciding):
    """Evidence is cut, the gravest first; a list that only reviews comes last."""
    many = {"name": "many", "kind": "patterns", "code": "many", "patterns": ["x"], "effect": "block"}
    blocks = [{**many, "name": f"many-{number}", "patterns": ["x", str(number)]} for number in range(8)]
    words = {"name": "w", "kind": "words", "code": "profanity", "entries": ["darn"], "effect": "review"}
    _policy(deciding, *blocks, words)

    answer = analyze("darn " + "x " * 30, "PROFANITY")

    assert _summary(answer, "PROFANITY") == 1.0
    assert answer["roundhouse"]["violations"] == ["many"]
