"""Requests as OpenAI's clients send them, and the answers that they read."""

from inference.engine import errors as engine
from inference.serving import runtime
from moderation.deciding import held
from moderation.deciding.models import Decision
from moderation.doors.categories.protocols import CATEGORIES
from tests.support.detector_faults import raising
from tests.support.detectors import SEED_POLICY, a_policy
from tests.support.factories import a_key, a_tenant
from tests.support.picture_models import a_picture, in_base64

RED = f"data:image/png;base64,{in_base64(a_picture((255, 0, 0)))}"
WORDS = {"name": "threats", "kind": "words", "code": "harassment_threatening", "entries": ["get you"],
         "effect": "block"}  # fmt: skip


def _true(result):
    return {name for name, is_true in result["categories"].items() if is_true}


def test_a_clean_text_is_not_flagged(openai):
    answer = openai("fine words")

    (result,) = answer["results"]
    assert answer["id"] == f"modr-{result['roundhouse']['request_id']}"
    assert answer["model"] == "default"
    assert result["flagged"] is False
    for name in ("categories", "category_scores", "category_applied_input_types"):
        assert tuple(result[name]) == CATEGORIES["openai"]
    assert _true(result) == set()
    assert set(result["category_scores"].values()) == {0.0}


def test_a_toxic_text_is_flagged_with_our_decision_beside_it(openai):
    (result,) = openai("vile words")["results"]

    assert result["flagged"] is True
    ours = result["roundhouse"]
    assert (ours["decision"], ours["violations"], ours["problems"]) == ("block", ["toxic_language"], [])
    assert (ours["policy"], ours["policy_revision"]) == ("default", 1)
    assert Decision.objects.get(pk=ours["request_id"]).ruling == "block"


def test_each_text_of_a_list_has_a_result(openai):
    results = openai(["fine", "vile", "mild"])["results"]

    assert [one["flagged"] for one in results] == [False, True, False]
    assert len({one["roundhouse"]["request_id"] for one in results}) == 3


def test_texts_and_pictures_together_have_one_result(openai):
    parts = [
        {"type": "text", "text": "fine"},
        {"type": "image_url", "image_url": {"url": RED}},
        {"type": "text", "text": "words"},
    ]

    (result,) = openai(parts)["results"]

    assert result["flagged"] is True
    assert _true(result) == {"sexual"}
    assert result["category_scores"]["sexual"] == 1.0
    assert result["category_applied_input_types"]["sexual"] == ["image"]
    content = Decision.objects.get(pk=result["roundhouse"]["request_id"]).content
    assert content.text == "fine\nwords"


def test_a_label_counts_for_the_categories_that_it_is_mapped_to(openai, map_labels):
    map_labels("openai", ("toxicity", "toxic", "harassment"), ("toxicity", "toxic", "hate"))

    (low, high) = openai(["mild", "vile"])["results"]

    assert (low["flagged"], _true(low)) == (False, set())
    assert (low["category_scores"]["harassment"], low["category_scores"]["hate"]) == (0.3, 0.3)
    assert (_true(high), high["category_scores"]["harassment"]) == ({"harassment", "hate"}, 0.99)
    assert low["category_applied_input_types"]["harassment"] == ["text"]
    assert low["category_applied_input_types"]["violence"] == []


def test_a_label_that_is_mapped_to_nothing_counts_for_nothing(openai, map_labels):
    map_labels("openai", ("nsfw", "nsfw", ""))

    (result,) = openai([{"type": "image_url", "image_url": {"url": RED}}])["results"]

    assert (result["flagged"], _true(result), result["category_scores"]["sexual"]) == (True, set(), 0.0)


def test_a_rule_counts_for_the_category_that_its_code_names(openai, deciding):
    a_policy({"rules": [*SEED_POLICY["rules"], WORDS]}, name="words", context="words")
    deciding.refresh()

    (hit, clean) = openai(["we will get you", "fine"], roundhouse={"context": "words"})["results"]

    assert _true(hit) == {"harassment/threatening"}
    assert hit["category_scores"]["harassment/threatening"] == 1.0
    assert (clean["flagged"], clean["category_scores"]["harassment/threatening"]) == (False, 0.0)
    assert clean["category_applied_input_types"]["harassment/threatening"] == ["text"]


def test_rules_in_shadow_count_for_nothing(openai, deciding, map_labels):
    shadow = {**SEED_POLICY["rules"][0], "detector": "nsfw", "reads": ["image"], "labels": ["nsfw"],
              "state": "shadow"}  # fmt: skip
    a_policy({"rules": [*SEED_POLICY["rules"][:1], {**shadow, "name": "tried"}]}, name="s", context="s")
    deciding.refresh()

    parts = [{"type": "text", "text": "fine"}, {"type": "image_url", "image_url": {"url": RED}}]
    (result,) = openai(parts, roundhouse={"context": "s"})["results"]

    assert _true(result) == set()
    assert result["category_scores"]["sexual"] is None  # no rule in force looks at pictures
    assert result["flagged"] is True


def test_openais_models_stand_for_the_usual_policy(openai):
    for model in (None, "", "omni-moderation-latest", "omni-moderation-2024-09-26", "text-moderation-stable"):
        assert openai("vile", model=model)["model"] == "default", model


def test_the_model_may_be_a_policy_of_all_tenants_or_of_the_own(openai, deciding, tenant):
    strict = {"rules": [{**SEED_POLICY["rules"][0], "block": 0.2}]}
    a_policy(strict, name="strict", context="strict")
    a_policy(strict, name="our-own", tenant=tenant, context="own")
    deciding.refresh()

    assert openai("mild")["results"][0]["flagged"] is False
    for name in ("strict", "our-own"):
        answer = openai("mild", model=name)
        assert (answer["model"], answer["results"][0]["flagged"]) == (name, True)


def test_a_policy_of_another_tenant_does_not_exist(openai, deciding):
    a_policy(SEED_POLICY, name="theirs", tenant=a_tenant("other"))
    deciding.refresh()

    for name in ("theirs", "gone", "gpt-4o"):
        error = openai("vile", model=name, status=404)["error"]
        assert (error["code"], error["type"]) == ("unknown_policy", "invalid_request_error")
        assert name in error["message"]
    assert not Decision.objects.exists()


def test_a_content_that_was_held_is_decided_again_by_the_policy_that_was_named(openai, deciding, monkeypatch):
    a_policy({"rules": [{**SEED_POLICY["rules"][0], "block": 0.2}]}, name="strict", context="strict")
    deciding.refresh()
    with monkeypatch.context() as patch:
        patch.setattr(type(runtime.started()), "infer", raising(engine.Overloaded))
        assert openai("mild", model="strict")["results"][0]["roundhouse"]["decision"] == "review"
    Decision.objects.update(next_try_at="2020-01-01T00:00Z")

    assert held.decide_held() == 1

    again = Decision.objects.get(redecides__isnull=False)
    assert (again.policy.name, again.ruling) == ("strict", "block")


def test_our_own_fields(openai):
    ours = {
        "content_id": "c-1",
        "author_id": 7,
        "context": "comments",
        "language": "en",
        "url": "https://x.example",
    }

    openai("vile", roundhouse=ours)

    decision = Decision.objects.get()
    assert (decision.content_id, decision.author_id, decision.context) == ("c-1", "7", "comments")
    assert (decision.language, decision.url) == ("en", "https://x.example")


def test_what_must_not_be_stored_is_not(openai):
    assert openai("vile", roundhouse={"do_not_store": True})["results"][0]["flagged"] is True
    assert not Decision.objects.exists()


def test_fixed_texts_of_a_test_key(post, tenant):
    key = a_key("moderate.test", tenant=tenant)[1]
    texts = [f"roundhouse-test: {ruling}" for ruling in ("allow", "review", "block")]

    results = post("/v1/moderations", {"input": texts}, key=key)["results"]

    assert [one["flagged"] for one in results] == [False, True, True]


WRONG = {
    "no input": ({}, "input"),
    "an empty list": ({"input": []}, "input"),
    "a number": ({"input": 7}, "input"),
    "tokens": ({"input": [1, 2]}, "input[0]"),
    "an empty text": ({"input": ""}, "input"),
    "an empty text among others": ({"input": ["fine", ""]}, "input[1]"),
    "texts and parts": ({"input": ["fine", {"type": "text", "text": "a"}]}, "input[1]"),
    "too many texts": ({"input": ["a"] * 65}, "input"),
    "an unknown part": ({"input": [{"type": "video", "video": "x"}]}, "input[0]"),
    "a part without its text": ({"input": [{"type": "text"}]}, "input[0]"),
    "a data URI that is no base64": (
        {"input": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,?"}}]},
        "input",
    ),
    "a model that is no text": ({"input": "a", "model": 3}, "model"),
    "an unknown field": ({"input": "a", "temperature": 1}, "temperature"),
    "an unknown field of ours": ({"input": "a", "roundhouse": {"text": "b"}}, "roundhouse"),
    "ours that is no object": ({"input": "a", "roundhouse": 1}, "roundhouse"),
    "one id for two contents": ({"input": ["a", "b"], "roundhouse": {"content_id": "c"}}, "roundhouse"),
    "a list": ([], None),
}


def test_wrong_requests_get_their_error(post):
    for name, (body, param) in WRONG.items():
        error = post("/v1/moderations", body, status=400)["error"]

        assert set(error) == {"message", "type", "param", "code"}, name
        assert (error["type"], error["param"]) == ("invalid_request_error", param), name
    assert not Decision.objects.exists()


def test_other_errors_have_the_same_body(post, client, deciding):
    assert post("/v1/moderations", b"{", status=400)["error"]["code"] == "bad_body"
    assert post("/v1/moderations", {"input": "a"}, key="", status=401)["error"]["code"] == "not_authenticated"
    no_scope = a_key("predict")[1]
    assert post("/v1/moderations", {"input": "a"}, key=no_scope, status=403)["error"]["code"] == "not_allowed"
    assert post("/v1/chat/completions", {}, status=404)["error"]["code"] == "not_found"
    assert client.get("/v1/models").json()["error"]["type"] == "invalid_request_error"
    assert set(client.get("/v1/moderations").json()) == {"error"}


def test_overload_says_when_to_try_again(openai, deciding, monkeypatch):
    from moderation.deciding import writer

    monkeypatch.setattr(writer, "_ROOM", 0)

    error = openai("fine", status=503)["error"]

    assert (error["type"], error["code"]) == ("server_error", "writes_behind")
