"""Calls of the Perspective API against a running product, with the key in the address."""

from tests.support.processes import post

PATH = "/v1alpha1/comments:analyze"
TEXT = "😀 Terrible, awful service from Charles Babbage. I want my money back."
CALL = {
    "comment": {"text": TEXT, "type": "PLAIN_TEXT"},
    "languages": ["en"],
    "requestedAttributes": {"TOXICITY": {}, "IDENTITY_ATTACK": {"scoreThreshold": 0.2}},
    "spanAnnotations": True,
    "clientToken": "call-1",
    "sessionId": "session-1",
    "communityId": "news.example/comments",
    "context": {"entries": [{"text": "An article"}]},
}


def test_a_call(foreign):
    status, answer = foreign.post(f"{PATH}?key={foreign.key}", CALL)

    assert status == 200
    toxicity = answer["attributeScores"]["TOXICITY"]
    assert toxicity["summaryScore"]["type"] == "PROBABILITY"
    assert toxicity["summaryScore"]["value"] > 0.5
    (whole,) = toxicity["spanScores"]
    assert (whole["begin"], whole["end"]) == (0, len(TEXT.encode("utf-16-le")) // 2)
    (span,) = answer["attributeScores"]["IDENTITY_ATTACK"]["spanScores"]
    units = TEXT.encode("utf-16-le")
    assert units[2 * span["begin"] : 2 * span["end"]].decode("utf-16-le") == "Charles Babbage"
    assert (answer["languages"], answer["clientToken"]) == (["en"], "call-1")
    assert answer["roundhouse"]["decision"] == "block"


def test_the_key_in_a_header_gets_the_same_answer(foreign):
    """Without a query string the event loop answers, else Django."""
    _, in_address = foreign.post(f"{PATH}?key={foreign.key}", CALL)
    status, in_header = post(f"{foreign.url}{PATH}", CALL, Authorization=f"Bearer {foreign.key}")

    assert status == 200
    for answer in (in_address, in_header):
        answer["roundhouse"].pop("request_id")
    assert in_header == in_address


def test_errors_are_googles(foreign):
    status, answer = foreign.post(f"{PATH}?key={foreign.key}", {**CALL, "requestedAttributes": {"SPAM": {}}})
    assert (status, answer["error"]["status"]) == (400, "INVALID_ARGUMENT")
    assert "IDENTITY_ATTACK, TOXICITY" in answer["error"]["message"]
    for path in (PATH, f"{PATH}?key=wrong"):
        status, answer = foreign.post(path, CALL)
        assert (status, answer["error"]["status"]) == (401, "UNAUTHENTICATED")
    assert foreign.post(f"/v1alpha1/comments:suggestscore?key={foreign.key}", CALL)[0] == 404


def test_the_key_is_not_logged(foreign):
    secret = foreign.key.rpartition("_")[2]
    for path in (PATH, "/v1alpha1/other", "/v1/moderations", "/api/v1/nothing"):
        foreign.post(f"{path}?key={foreign.key}", CALL)
    foreign.post(f"{PATH}?key={foreign.key}", {**CALL, "comment": {"text": "long " * 100_000}})

    assert foreign.served.output
    assert secret not in foreign.served.output
