"""Moderation by running servers: on the loop, through Django, and by itself after an outage."""

import json
import urllib.error
import urllib.request
from base64 import b64encode

import pytest

from tests.support.processes import ROOT, import_live, wait_until

ABUSE = ROOT / "examples" / "abuse"
TEXTS = {"block": "You are an idiot, get lost.", "allow": "The parcel arrived on Tuesday, thank you."}


@pytest.fixture(params=["embedded", "production"])
def served(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def ask(served):
    """Sends a body and gives the status and the answer; without a body it reads."""

    def ask(path, body=None, method=None, **headers):
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", **served.authorization, **headers}
        request = urllib.request.Request(served.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return response.status, json.loads(response.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    return ask


def _same(answer):
    return {name: value for name, value in answer.items() if name != "request_id"}


def test_the_loop_and_django_give_the_same_answers(ask):
    picture = b64encode((ROOT / "docs" / "pictures" / "home.png").read_bytes()).decode()
    for body in (
        {"text": TEXTS["block"], "language": "en"},
        {"text": TEXTS["allow"], "title": "Ada Lovelace, AL-123456"},
        {"text": "x", "image": picture},
        {"text": "", "title": ""},
        {"text": 5},
        [{"text": TEXTS["allow"]}, {"text": TEXTS["block"]}],
    ):
        on_loop, in_django = ask("/api/v1/moderate", body), ask("/api/v1/moderate?x=", body)

        assert on_loop[0] == in_django[0]
        if isinstance(body, list):
            pairs = zip(on_loop[1]["decisions"], in_django[1]["decisions"], strict=True)
            assert all(_same(one) == _same(other) for one, other in pairs)
        else:
            assert _same(on_loop[1]) == _same(in_django[1])


def test_decisions_are_looked_up(ask):
    for decision, text in TEXTS.items():
        status, answer = ask("/moderate", {"text": text, "content_id": f"look-up-{decision}"})
        assert (status, answer["decision"]) == (200, decision)
        url = f"/api/v1/decisions/{answer['request_id']}"
        wait_until(lambda url=url: ask(url)[0] == 200, within_s=10, what="it is written")

        status, listed = ask(f"/api/v1/decisions?content_id=look-up-{decision}")

        assert listed["results"][0]["decision"] == decision


def test_keys_without_the_scope_are_refused(ask):
    status, problem = ask("/api/v1/moderate", {"text": "x"}, Authorization="Bearer rh_nobody")

    assert (status, problem["code"]) == (401, "not_authenticated")


@pytest.fixture
def outage(served, ask):
    """A policy of its own whose detector is stopped; call it to end the outage."""
    slug = f"abuse-{served.port}"
    config = served.data / f"{slug}.json"
    config.write_text(json.dumps(json.loads((ABUSE / "about.json").read_text())["task_config"]))
    options = {"task": "text-classification", "task_config": config}
    imported = import_live(
        slug, ABUSE / "model.onnx", ABUSE / "vocab.txt", options=options, **served.variables
    )
    assert imported.returncode == 0, imported.stderr
    rule = {
        "name": "toxic",
        "kind": "detector",
        "detector": slug,
        "labels": ["toxic"],
        "code": "toxic",
        "block": 0.7,
    }
    policy = {"name": slug, "context": slug, "content": {"rules": [rule]}}
    status, made = ask("/api/v1/policies", policy)
    assert (status, made["tenant"]) == (201, "default")  # the tenant of the key
    assert ask(f"/api/v1/policies/{slug}/publish", {"reason": "test"})[0] == 201
    wait_until(
        lambda: (
            ask("/api/v1/moderate", {"text": TEXTS["allow"], "context": slug})[1].get("decision") == "allow"
        ),
        within_s=60,
        what="the policy decides",
    )
    assert ask(f"/api/v1/models/{slug}/stop", {"text": "repairs"})[0] == 200
    wait_until(
        lambda: (
            {ask("/api/v1/moderate", {"text": "x", "context": slug})[1]["decision"] for _ in range(20)}
            == {"review"}
        ),
        within_s=30,
        what="all processes know that it is stopped",
    )
    yield slug, lambda: ask(f"/api/v1/models/{slug}/start", {"reason": "repaired"})
    ask(f"/api/v1/policies/{slug}/retire", {"reason": "the test has ended"})


def test_what_an_outage_held_is_decided_by_itself(ask, outage):
    slug, end = outage
    contents = [
        {"text": text, "content_id": f"{slug}-{decision}-{number}", "context": slug}
        for number in range(20)
        for decision, text in TEXTS.items()
    ]
    status, during = ask("/api/v1/moderate", contents)
    assert status == 200
    assert {answer["decision"] for answer in during["decisions"]} == {"review"}
    assert all(answer["held"] for answer in during["decisions"])
    assert end()[0] == 200

    def results(content):
        return ask(f"/api/v1/decisions?content_id={content['content_id']}")[1]["results"]

    def decided():
        return all(len(results(content)) == 2 for content in contents)

    wait_until(decided, within_s=90, what="what was held is decided")
    for content in contents:
        newest, held = results(content)
        assert newest["decision"] == content["content_id"].split("-")[2]
        assert newest["held"] is held["held"] is False
