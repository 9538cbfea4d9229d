"""Predictions as Hugging Face's clients send them, and the same answers as through the other doors."""

import json
from collections import Counter
from io import BytesIO

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from inference.doors.hugging_face.tasks import PARAMETERS
from inference.pipelines.entities import Grouping
from inference.pipelines.scores import ScoreFunction
from inference.serving import runtime
from registry.access.keys import ring
from registry.catalogue.models import KeySource, Model
from registry.catalogue.services import edit_model
from tests.support.factories import a_key, an_actor
from tests.support.live_models import put_live
from tests.support.onnx_models import identity
from tests.support.picture_models import COLOURS, a_picture, in_base64, put_colours, put_patches
from tests.support.text_models import SENTIMENTS, put_names, put_tone
from tests.support.wire import received

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.support.routes")]
RED, GREEN = a_picture((255, 0, 0)), a_picture((0, 255, 0), size=(90, 40), kind="JPEG")
# Boxes with corners between pixels.
SHAPES = a_picture((0, 0, 0), size=(90, 90), blue=(22, 45, 45, 68), red=(0, 0, 22, 22))
TEXT = "😀 ann lee met ann@example.org in paris"
NO_TYPE = ""


@pytest.fixture(autouse=True)
def served(transactional_db, tmp_path):
    ring.clear()
    put_tone(tmp_path)
    put_names(tmp_path)
    put_names(tmp_path, "by-token", grouping="none", ignored=["O", "LOC"])
    put_colours(tmp_path)
    put_patches(tmp_path)
    runtime.start()
    yield
    runtime.stop()


@pytest.fixture
def post(client):
    key = a_key()[1]

    def post(url, body, kind="application/json", **headers):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {key}", **headers}
        return client.generic("POST", url, data, kind, headers=headers)

    return post


@pytest.fixture
def ask(post):
    def ask(who, inputs, kind="application/json", **parameters):
        body = inputs if isinstance(inputs, bytes) else {"inputs": inputs, "parameters": parameters}
        return post(f"/hf/models/{who}", body, kind)

    return ask


@pytest.fixture
def native(post):
    def native(who, **body):
        return post(f"/api/v1/models/{who}/predict", body).json()

    return native


@pytest.fixture
def over_oip(post):
    """The outputs of a request with one item, by name."""

    def over_oip(who, name, item):
        entry = {"name": name, "datatype": "BYTES", "shape": [1], "data": [item]}
        answer = post(f"/v2/models/{who}/infer", {"inputs": [entry]})
        return {name: rows[0] for name, rows in received(answer.headers, answer.content)[1].items()}

    return over_oip


def by_score(labels, scores):
    ranked = np.argsort(-np.asarray(scores), kind="stable")
    return [{"label": labels[at], "score": scores[at]} for at in ranked]


def in_pixels(found):
    corners = dict(zip(("xmin", "ymin", "xmax", "ymax"), map(int, found["box"].values()), strict=True))
    return {"label": found["label"], "score": found["confidence"], "box": corners}


def as_group(found):
    return {
        "entity_group": found["label"], "score": found["score"], "word": found["text"],
        "start": found["start"], "end": found["end"],
    }  # fmt: skip


def test_a_text_has_the_same_labels_through_all_doors(ask, native, over_oip):
    (labels,) = ask("tone", TEXT + " good").json()

    assert labels[0]["label"] == "positive"
    assert labels == native("tone", text=TEXT + " good")["labels"]
    assert labels == by_score(SENTIMENTS, over_oip("tone", "text", TEXT + " good")["scores"].tolist())


def test_a_text_has_the_same_entities_through_all_doors(ask, native, over_oip):
    entities = ask("names", TEXT).json()

    assert [(one["entity_group"], TEXT[one["start"] : one["end"]]) for one in entities] == [
        ("PER", "ann lee"), ("MAIL", "ann@example.org"), ("LOC", "paris"),
    ]  # fmt: skip
    assert entities == [as_group(one) for one in native("names", text=TEXT)["entities"]]
    assert entities == [as_group(one) for one in json.loads(over_oip("names", "text", TEXT)["entities"])]


def test_a_picture_has_the_same_labels_through_all_doors(ask, native, over_oip):
    labels = ask("colours", in_base64(GREEN)).json()

    assert labels[0]["label"] == "green"
    assert labels == native("colours", image=in_base64(GREEN))["labels"]
    scores = over_oip("colours", "image", in_base64(GREEN))["scores"].tolist()
    assert labels == by_score(COLOURS, scores)


def test_a_picture_has_the_same_boxes_through_all_doors(ask, native, over_oip):
    objects = ask("patches", in_base64(SHAPES), threshold=0.25).json()

    assert {one["label"] for one in objects} == {"blue", "red"}
    in_words = native("patches", image=in_base64(SHAPES))["objects"]
    assert objects == [in_pixels(one) for one in in_words]
    assert any(side % 1 for one in in_words for side in one["box"].values())  # else truncation shows nothing
    assert objects == [
        in_pixels(one) for one in json.loads(over_oip("patches", "image", in_base64(SHAPES))["objects"])
    ]


# One picture and one text in one list each; several in a list of lists, and the labels of a text always.
SHAPES_OF_ANSWERS = {
    "a text": ("tone", "good", 2),
    "texts": ("tone", ["good", "bad"], 2),
    "one text in a list": ("tone", ["good"], 2),
    "entities": ("names", "ann", 1),
    "entities of texts": ("names", ["ann", "met"], 2),
    "a picture": ("colours", in_base64(RED), 1),
    "pictures": ("colours", [in_base64(RED), in_base64(GREEN)], 2),
    "boxes": ("patches", in_base64(SHAPES), 1),
    "boxes of pictures": ("patches", [in_base64(SHAPES)], 2),
}


def test_answers_are_lists_or_lists_of_lists(ask):
    for case, (who, inputs, depth) in SHAPES_OF_ANSWERS.items():
        answer = ask(who, inputs).json()

        elements = answer if depth == 1 else answer[0]
        assert isinstance(elements[0], dict), case
        assert depth == 1 or len(answer) == (len(inputs) if isinstance(inputs, list) else 1), case


def test_several_texts_and_pictures_are_answered_in_their_order(ask):
    texts = ask("tone", ["bad", "good", "parcel"], top_k=1).json()
    assert [[one["label"] for one in labels] for labels in texts] == [["negative"], ["positive"], ["neutral"]]
    pictures = ask("colours", [in_base64(GREEN), in_base64(RED)], top_k=1).json()
    assert [[one["label"] for one in labels] for labels in pictures] == [["green"], ["red"]]


WAYS = {
    "its own type": (RED, "image/png"),
    "another type": (RED, "image/jpeg"),
    "no type": (RED, NO_TYPE),
    "octets": (RED, "application/octet-stream"),
    "a type of a store": (RED, "binary/octet-stream"),
    "text": (RED, "text/plain"),
    "JSON without a type": (json.dumps({"inputs": in_base64(RED), "parameters": {"top_k": 3}}).encode(), NO_TYPE),
    "JSON with space before it": (b" \r\n" + json.dumps({"inputs": in_base64(RED)}).encode(), NO_TYPE),
    "JSON": (json.dumps({"inputs": in_base64(RED)}).encode(), "Application/JSON; charset=utf-8"),
    "no parameters": (json.dumps({"inputs": in_base64(RED), "parameters": None}).encode(), "application/json"),
    "parameters that are null": (
        json.dumps({"inputs": in_base64(RED), "parameters": {"top_k": None, "function_to_apply": None}}).encode(),
        "application/json",
    ),
}  # fmt: skip


def test_all_ways_of_sending_a_picture_get_the_same_answer(ask):
    usual = ask("colours", in_base64(RED))
    assert [one["label"] for one in usual.json()] == ["red", "green", "blue"]

    for way, (body, kind) in WAYS.items():
        answer = ask("colours", body, kind)
        assert (answer.status_code, answer.content) == (200, usual.content), way


def test_a_picture_of_a_detector_may_be_the_body(ask):
    assert ask("patches", SHAPES, "image/png").json() == ask("patches", in_base64(SHAPES)).json() != []


def test_boxes_need_half_a_confidence_or_what_the_request_or_the_version_says(ask, tmp_path):
    put_patches(tmp_path, "careful", threshold=0.8)
    runtime.started().refresh()
    pale = in_base64(a_picture((0, 0, 0), red=(0, 0, 16, 6)))  # 6 of 16 lines of a cell: 0.375

    assert ask("patches", pale).json() == []
    (found,) = ask("patches", pale, threshold=0.3).json()
    assert 0.3 < found["score"] < 0.5
    better = in_base64(a_picture((0, 0, 0), red=(0, 0, 16, 10)))
    assert len(ask("patches", better).json()) == 1
    assert ask("careful", better).json() == []
    assert len(ask("careful", better, threshold=0.5).json()) == 1


def test_tokens_are_grouped_as_the_request_or_the_version_says(ask):
    def found(who, **parameters):
        return [
            one.get("entity_group") or one["entity"]
            for one in ask(who, "ann lee in paris", **parameters).json()
        ]

    assert found("names") == ["PER", "LOC"]
    assert found("names", aggregation_strategy="none") == ["B-PER", "I-PER", "B-LOC"]
    assert found("by-token") == ["B-PER", "I-PER"]
    for strategy in ("simple", "first", "average", "max"):
        assert found("by-token", aggregation_strategy=strategy) == ["PER"]
    assert [set(one) for one in ask("names", "ann", aggregation_strategy="none").json()] == [
        {"entity", "score", "word", "start", "end"}
    ]


def test_labels_are_left_out_by_their_group_or_token(ask):
    def words(who, **parameters):
        return [one["word"] for one in ask(who, "ann lee in paris", **parameters).json()]

    assert words("names", ignore_labels=["O"]) == ["ann lee", "paris"]
    assert words("names", ignore_labels=["O", "PER"]) == ["paris"]
    assert words("names", ignore_labels=["O", "I-PER"]) == ["ann lee", "paris"]
    assert words("names", ignore_labels=["O", "I-PER"], aggregation_strategy="none") == ["ann", "paris"]
    assert words("by-token") == words("by-token", ignore_labels=["LOC", "O"]) == ["ann", "lee"]


def test_the_function_of_the_version_may_be_named(ask):
    assert ask("tone", "good", function_to_apply="softmax").content == ask("tone", "good").content
    red = in_base64(RED)
    assert ask("colours", red, function_to_apply="softmax").content == ask("colours", red).content


# Who is asked with which parameters; what the refusal says.
REFUSED_PARAMETERS = [
    ("tone", {"function_to_apply": "sigmoid"}, "bad_parameter", "are made by 'softmax'"),
    ("tone", {"function_to_apply": ["softmax"]}, "bad_parameter", "Leave it out"),
    ("colours", {"function_to_apply": "none"}, "bad_parameter", "are made by 'softmax'"),
    ("tone", {"top_k": 0}, "invalid_item", "`top_k` must be a whole number"),
    ("colours", {"top_k": "3"}, "invalid_item", "`top_k` must be a whole number"),
    ("tone", {"candidate_labels": ["a"]}, "bad_parameter", "only `top_k`, `function_to_apply`"),
    ("tone", {"threshold": None}, "bad_parameter", "'threshold' is not known for text-classification"),
    ("names", {"stride": 16}, "bad_parameter", "belongs to the version"),
    ("names", {"aggregation_strategy": "last"}, "bad_parameter", "one of none, simple, first, average, max"),
    ("names", {"aggregation_strategy": ["none"]}, "bad_parameter", "one of none, simple"),
    ("names", {"ignore_labels": []}, "bad_parameter", "lacks 'O'"),
    ("by-token", {"ignore_labels": ["O"]}, "bad_parameter", "lacks 'LOC'"),
    ("names", {"ignore_labels": "O"}, "bad_parameter", "is not a list of labels"),
    ("names", {"ignore_labels": [5, "O"]}, "bad_parameter", "is not a list of labels"),
    ("names", {"offset_unit": "byte"}, "bad_parameter", "'offset_unit' is not known for entities"),
    ("patches", {"threshold": 2}, "invalid_item", "`threshold` must be a number from 0 to 1"),
    ("patches", {"top_k": 2}, "bad_parameter", "only `threshold`"),
]  # fmt: skip


def test_a_parameter_that_would_have_no_effect_is_refused(ask):
    for who, parameters, code, said in REFUSED_PARAMETERS:
        inputs = in_base64(RED) if who in {"colours", "patches"} else "good"

        answer = ask(who, inputs, **parameters)

        assert (answer.status_code, answer.json()["code"]) == (422, code), (who, parameters)
        assert said in answer.json()["error"]


REFUSED_BODIES = {
    "no JSON": (b"{", "application/json", 400, "bad_body", "not valid JSON"),
    "no object": (b"[]", "application/json", 422, "not_a_prediction", "no `inputs`"),
    "no inputs": ({"text": "good"}, "application/json", 422, "not_a_prediction", "no `inputs`"),
    "no text": ({"inputs": []}, "application/json", 422, "not_a_prediction", "empty list"),
    "a number": ({"inputs": 5}, "application/json", 422, "invalid_text", "not a string"),
    "the second is a number": ({"inputs": ["a", 5]}, "application/json", 422, "invalid_text", "Text 2 is not a string"),
    "too many": ({"inputs": ["a"] * 257}, "application/json", 422, "too_many_items", "at most 256"),
    "parameters of another kind": ({"inputs": "a", "parameters": [1]}, "application/json", 422, "bad_parameter", "not an object"),
    "a parameter beside": ({"inputs": "a", "top_k": 1}, "application/json", 422, "unknown_field", "put it into `parameters`"),
    "another field": ({"inputs": "a", "options": {}}, "application/json", 422, "unknown_field", "only `inputs` and `parameters`"),
    "a picture": (RED, "image/png", 422, "wrong_task", "send a text in JSON"),
    "plain text": (b"good", "text/plain", 422, "wrong_task", "send a text in JSON"),
}  # fmt: skip


def test_what_is_no_request_is_refused(post):
    for case, (body, kind, status, code, said) in REFUSED_BODIES.items():
        answer = post("/hf/models/tone", body, kind)

        assert (answer.status_code, answer.json()["code"]) == (status, code), case
        assert said in answer.json()["error"]
        assert answer.json().keys() == {"error", "code", "retryable"}
        assert answer["Content-Type"] == "application/json"


def test_errors_of_pictures(ask):
    for inputs, code in (
        (in_base64(b"hello"), "unsupported_picture"),
        ("?", "invalid_picture"),
        ({}, "invalid_picture"),
    ):
        answer = ask("colours", inputs)
        assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert ask("colours", b"hello", "image/png").json()["code"] == "unsupported_picture"


def test_models_of_numbers_name_their_own_address(ask, tmp_path):
    put_live("numbers", identity(tmp_path / "numbers.onnx"))
    runtime.started().refresh()

    answer = ask("numbers", "good")

    assert (answer.status_code, answer.json()["code"]) == (422, "wrong_task")
    assert "/api/v1/models/numbers/predict" in answer.json()["error"]


def test_options_in_the_address_are_refused(post):
    answer = post("/hf/models/colours?top_k=1", RED, "image/png")

    assert (answer.status_code, answer.json()["code"]) == (422, "bad_parameter")


def test_headers_say_who_answered(ask):
    answer = ask("tone", ["good", "bad bad"])

    assert answer["X-Request-ID"]
    assert {name: answer[name] for name in ("X-Model", "X-Model-Version", "X-Arm", "X-Split")} == {
        "X-Model": "tone", "X-Model-Version": "1", "X-Arm": "a", "X-Split": "1",
    }  # fmt: skip
    assert len(answer["X-Preprocessing"]) == 16
    assert (answer["X-Tokens-Given"], answer["X-Tokens-Used"]) == ("1,2", "1,2")
    assert "X-Arm" not in ask("tone/versions/1", "good")
    assert "X-Tokens-Given" not in ask("colours", in_base64(RED))


def test_a_text_that_is_cut_says_so_or_is_refused(ask, tmp_path):
    put_tone(tmp_path, "short", max_tokens=3)
    put_tone(tmp_path, "strict", max_tokens=3, long_texts="refuse")
    runtime.started().refresh()

    answer = ask("short", "good good bad bad")
    assert (answer["X-Tokens-Given"], answer["X-Tokens-Used"]) == ("4", "3")

    refused = ask("strict", "good good bad bad")
    assert (refused.status_code, refused.json()["code"]) == (422, "text_too_long")


def test_a_version_and_an_alias_may_be_named(ask):
    for who in ("tone", "tone@champion", "tone/versions/1"):
        answer = ask(who, "good")
        assert (answer.status_code, answer["X-Model-Version"]) == (200, "1")


# What is asked how; the status and the code of the refusal.
ERRORS = [
    ("/hf/models/nobody", "POST", 404, "unknown_model"),
    ("/hf/models/tone/versions/7", "POST", 404, "not_found"),
    ("/hf/models/tone@nobody", "POST", 404, "not_found"),
    ("/hf/models/tone/info", "GET", 404, "not_found"),
    ("/hf/", "POST", 404, "not_found"),
    ("/hf/models/tone", "GET", 405, "method_not_allowed"),
]


def test_errors_are_what_the_clients_read_at_every_address(client):
    key = a_key()[1]
    for path, method, status, code in ERRORS:
        answer = client.generic(method, path, headers={"Authorization": f"Bearer {key}"})

        assert (answer.status_code, answer.json()["code"]) == (status, code), path
        assert answer.json()["error"]


def test_without_a_key_nobody_is_answered(client):
    answer = client.post("/hf/models/tone", {"inputs": "good"}, "application/json")

    assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")
    assert answer["WWW-Authenticate"] == "Bearer"


def test_a_routing_key_may_be_a_field_of_the_body(post):
    model = Model.objects.get(slug="tone")
    edit_model(model=model, changes={"key_source": KeySource.FIELD, "key_field": "customer"}, by=an_actor())
    runtime.started().refresh()

    assert post("/hf/models/tone", {"inputs": "good", "customer": "anna"}).status_code == 200
    assert post("/hf/models/names", {"inputs": "good", "customer": "anna"}).json()["code"] == "unknown_field"


def test_json_without_a_type_has_the_limit_of_json(post, settings):
    """Negative control: a picture of that size is read."""
    settings.PREDICT_JSON_BYTES = 2_000
    long = json.dumps({"inputs": "good", "more": "x" * 2_000}).encode()
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 255, (64, 64, 3), np.uint8))
    noise.save(file := BytesIO(), "PNG")

    assert post("/hf/models/tone", long, NO_TYPE).json()["code"] == "body_too_large"
    assert post("/hf/models/tone", long).json()["code"] == "body_too_large"
    assert len(file.getvalue()) > 2_000
    assert post("/hf/models/colours", file.getvalue(), NO_TYPE).status_code == 200


_ODD = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=4),
    st.lists(st.one_of(st.none(), st.text(max_size=3), st.integers(-2, 3)), max_size=3), st.just({}), st.just({"a": [1]}),
)  # fmt: skip
_VALUES = st.one_of(
    _ODD, st.sampled_from([*Grouping, *ScoreFunction, ["O"], ["O", "PER"], ["O", "LOC"], 0.3, 1, 2, 10**6])
)
_NAMES = st.sampled_from([*{name for names in PARAMETERS.values() for name in names}, "labels"])
_FIT = st.sampled_from(["good", "ann lee", in_base64(RED), f"data:,{in_base64(GREEN)}"])
_INPUTS = st.one_of(_FIT, st.lists(_FIT, max_size=3), _ODD)
_BODIES = st.one_of(
    st.fixed_dictionaries({"inputs": _FIT}, optional={"parameters": st.dictionaries(_NAMES, _VALUES, max_size=1)}),
    st.fixed_dictionaries({"inputs": _INPUTS}, optional={"parameters": _ODD}),
    st.dictionaries(st.sampled_from(["inputs", "parameters", "text", "top_k"]), _INPUTS, max_size=3),
    _ODD,
)  # fmt: skip


def test_whatever_comes_is_answered_or_refused_in_words(post):
    count = Counter()

    @settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(_BODIES, st.sampled_from(["tone", "names", "by-token", "colours", "patches"]), st.booleans())
    def send(body, who, has_type):
        answer = post(
            f"/hf/models/{who}", json.dumps(body).encode(), "application/json" if has_type else NO_TYPE
        )

        told = answer.json()
        assert answer.status_code in {200, 400, 422}, told
        assert isinstance(told, list) or told["error"]
        count[answer.status_code] += 1

    send()
    assert count[200] > 20 and count[422] > 20


def test_packed_bodies_are_refused(post):
    answer = post("/hf/models/tone", {"inputs": "good"}, **{"Content-Encoding": "gzip"})

    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")
