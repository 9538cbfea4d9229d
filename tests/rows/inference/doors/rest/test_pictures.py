"""Pictures over REST: as base64, as the body itself, in a form, and by their URL."""

import json

import pytest

from inference.serving import item_urls, runtime
from registry.access.keys import ring
from registry.errors import FetcherBusy
from registry.record.fetcher import Fetcher
from tests.support.factories import a_key
from tests.support.internet import Internet, redirect
from tests.support.picture_models import a_picture, in_base64, put_colours, put_patches
from tests.support.text_models import put_tone

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.support.routes")]
CLASSIFY, DETECT = "/api/v1/classify", "/api/v1/detect"
PREDICT = "/api/v1/models/colours/predict"
RED, GREEN = a_picture((255, 0, 0)), a_picture((0, 255, 0), size=(90, 40), kind="JPEG")
CONSTANT = {"model", "version", "arm", "split", "request_id", "preprocessing"}


@pytest.fixture(autouse=True)
def served(transactional_db, tmp_path, settings):
    ring.clear()
    settings.DEFAULT_MODELS = {"classify": "tone", "classify-images": "colours", "detect": "patches"}
    put_tone(tmp_path)
    put_colours(tmp_path)
    put_patches(tmp_path)
    runtime.start()
    yield
    runtime.stop()


@pytest.fixture
def post(client):
    key = a_key()[1]

    def post(url, body, kind="application/json"):
        data = json.dumps(body).encode() if kind == "application/json" else body
        return client.generic("POST", url, data, kind, headers={"Authorization": f"Bearer {key}"})

    return post


def form(*parts):
    """The body and the type of an HTML form; a part with bytes is a file."""
    pieces = [
        b'--edge\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n'
        % (name.encode(), b'; filename="a.png"' if isinstance(value, bytes) else b"",
           value if isinstance(value, bytes) else value.encode())
        for name, value in parts
    ]  # fmt: skip
    return b"".join([*pieces, b"--edge--\r\n"]), "multipart/form-data; boundary=edge"


def test_a_picture_gets_its_label(post):
    response = post(CLASSIFY, {"image": in_base64(GREEN), "top_k": 2})

    body = response.json()
    assert response.status_code == 200, body
    assert (body["model"], body["label"], len(body["labels"])) == ("colours", "green", 2)
    assert body["confidence"] == body["labels"][0]["score"] > 0.9
    assert (body["width"], body["height"], body["frames"]) == (90, 40, 1)
    assert body.keys() == CONSTANT | {"label", "confidence", "labels", "width", "height", "frames"}


def test_the_same_address_answers_texts(post):
    assert post(CLASSIFY, {"text": "good"}).json()["model"] == "tone"


def test_objects_get_boxes_in_the_pictures_own_pixels(post):
    picture = a_picture((0, 0, 0), size=(128, 128), blue=(32, 64, 64, 96), red=(0, 0, 32, 32))

    body = post(DETECT, {"image": in_base64(picture)}).json()

    found = {one["label"]: one["box"] for one in body["objects"]}
    assert found == {
        "red": {"x1": 0, "y1": 0, "x2": 32, "y2": 32},
        "blue": {"x1": 32, "y1": 64, "x2": 64, "y2": 96},
    }
    assert all(one["confidence"] > 0.9 for one in body["objects"])
    assert {name: body[name] for name in ("label", "confidence", "box")} == body["objects"][0]
    assert body.keys() == CONSTANT | {"label", "confidence", "box", "objects", "width", "height", "frames"}


def test_where_nothing_is_found_no_object_is_the_best(post):
    body = post(DETECT, {"image": in_base64(a_picture((0, 0, 0)))}).json()

    assert body["objects"] == []
    assert [body[name] for name in ("label", "confidence", "box")] == [None] * 3


def test_a_caller_may_choose_the_threshold(post):
    pale = a_picture((0, 0, 0), red=(0, 0, 16, 8))  # half of a cell: a score of 0.5 + 0.5

    assert len(post(DETECT, {"image": in_base64(pale), "threshold": 0.2}).json()["objects"]) == 1
    assert post(DETECT, {"image": in_base64(pale), "threshold": 1}).json()["objects"] == []
    assert post(DETECT, {"image": in_base64(pale), "threshold": 2}).json()["code"] == "invalid_item"


WAYS = {
    "base64": ({"image": in_base64(RED)}, "application/json"),
    "data URL": ({"image": f"data:image/png;base64,{in_base64(RED)}"}, "application/json"),
    "body": (RED, "image/png"),
    "body of another type": (RED, "image/jpeg"),
    "form": form(("image", RED)),
    "base64 in a form": form(("image", in_base64(RED))),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("url", [CLASSIFY, PREDICT])
def test_all_ways_of_sending_a_picture_get_the_same_answer(post, url, way):
    body = post(url, *WAYS[way]).json()

    assert (body.get("label"), body.get("model")) == ("red", "colours"), body


def test_several_pictures_get_an_answer_each_in_their_order(post):
    sent = [in_base64(RED), in_base64(GREEN)]

    as_json = post(PREDICT, {"images": sent}).json()["answers"]
    as_form = post(PREDICT, *form(("images", RED), ("images", GREEN), ("top_k", "5"))).json()["answers"]

    assert [one["label"] for one in as_json] == ["red", "green"]
    assert as_form == as_json


def test_options_of_a_picture_that_is_the_body_are_in_the_address(post):
    body = post(f"{CLASSIFY}?top_k=1&model=colours", RED, "image/png").json()

    assert [one["label"] for one in body["labels"]] == ["red"]


@pytest.mark.parametrize("query", ["image=x", "image_url=http://a.example", "top_k=1&top_k=2", "a=1&" * 30])
def test_an_address_that_contradicts_the_body_is_refused(post, query):
    body = post(f"{PREDICT}?{query}", RED, "image/png").json()

    assert body["code"] == "bad_body"


def test_texts_of_a_form_stay_texts(post):
    body = post(CLASSIFY, *form(("image", RED), ("model", "2024"))).json()

    assert body["code"] == "unknown_model"


def test_a_dry_run_of_a_picture(post):
    body = post(f"{PREDICT}?dry_run=1", RED, "image/png").json()

    assert body["inputs"] == {"pixels": {"datatype": "FP32", "shape": [1, 3, 64, 64]}}


REFUSED = {
    "no picture": ({"image": in_base64(b"hello")}, "application/json", 422, "unsupported_picture", "#/image"),
    "the second one": (
        {"images": [in_base64(RED), "?"]}, "application/json", 422, "invalid_picture", "#/images/1",
    ),
    "a number": ({"image": 5}, "application/json", 422, "invalid_picture", "#/image"),
    "a body that is cut off": (RED[:40], "image/png", 422, "invalid_picture", "#/image"),
    "an unknown option": (*form(("image", RED), ("sharp", "1")), 422, "unknown_field", "#/sharp"),
    "the field twice": (*form(("image", RED), ("image", RED)), 400, "bad_body", None),
    "a form without an end": (b"--edge\r\nnonsense", "multipart/form-data; boundary=edge", 422, "not_a_prediction", None),
    "a form without a boundary": (b"x", "multipart/form-data", 400, "bad_body", None),
    "a form with many fields": (*form(*[(f"f{at}", "x") for at in range(2_000)]), 400, "bad_body", None),
    "a form with many files": (*form(*[("images", RED)] * 200), 400, "bad_body", None),
    "a form with a long field": (*form(("image", "A" * 4_000_000)), 400, "bad_body", None),
    "more pictures than are read": (*form(*[("images", RED)] * 65), 422, "too_many_items", "#/images"),
    "a text": ({"text": "red"}, "application/json", 422, "invalid_item", "#/text"),
    "both": ({"image": in_base64(RED), "image_url": "http://a.example"}, "application/json", 422, "not_a_prediction", None),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused(post, case):
    data, kind, status, code, pointer = REFUSED[case]

    response = post(PREDICT, data, kind)
    body = response.json()

    assert (response.status_code, body["code"]) == (status, code), body
    if pointer is not None:
        assert [error["pointer"] for error in body["errors"]] == [pointer]


def test_a_text_model_takes_no_pictures(post):
    body = post("/api/v1/models/tone/predict", RED, "image/png").json()

    assert body["code"] == "invalid_item"
    assert "text-classification" in body["detail"]


def test_pictures_that_never_fit_into_memory_are_refused_before_they_are_decoded(post, monkeypatch):
    monkeypatch.setattr("inference.doors.memory.memory.limit", 100_000)

    body = post(PREDICT, {"images": [in_base64(a_picture(size=(2, 2)))] * 40}).json()

    assert (body["status"], body["code"]) == (413, "body_too_large")


@pytest.fixture
def internet(settings, monkeypatch):
    answers = {"/red.png": _answer(RED), "/gone.png": b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
               "/moved.png": redirect("http://10.0.0.5/red.png"), "/page": _answer(b"<html>")}  # fmt: skip
    internet = Internet(lambda request: answers[request.split(b" ")[1].decode()])
    fetcher = Fetcher(resolve=internet.resolve, connect=internet.connect)
    monkeypatch.setattr(item_urls, "default_fetcher", lambda: fetcher)
    settings.ITEM_HOSTS = ["*"]
    yield internet
    internet.close()


def _answer(body):
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


def test_a_picture_by_its_url(post, internet):
    body = post(CLASSIFY, {"image_url": "http://public.example/red.png"}).json()

    assert (body.get("label"), body.get("model")) == ("red", "colours"), body
    assert internet.strays == []


def test_each_url_is_fetched_once(post, internet):
    url = "http://public.example/red.png"

    answers = post(PREDICT, {"image_urls": [url, url, url]}).json()["answers"]

    assert [one["label"] for one in answers] == ["red"] * 3
    assert len(internet.requests) == 1


NOT_FETCHED = {
    "http://public.example/gone.png": "answered 404",
    "http://public.example/moved.png": "redirect",
    "http://10.0.0.5/red.png": "public internet",
    "http://localhost/red.png": "public internet",
    "file:///etc/passwd": "http and https",
    "http://nowhere.example/red.png": "resolved",
    "http://public.example:8080/red.png": "ports",
}


@pytest.mark.parametrize("url", NOT_FETCHED)
def test_what_is_not_fetched_is_a_bad_request(post, internet, url):
    response = post(PREDICT, {"image_url": url})
    body = response.json()

    assert (response.status_code, body["code"]) == (400, "item_not_fetched"), body
    assert NOT_FETCHED[url] in body["detail"]
    assert [error["pointer"] for error in body["errors"]] == ["#/image_url"]
    assert internet.strays == []


def test_a_page_instead_of_a_picture(post, internet):
    assert post(PREDICT, {"image_url": "http://public.example/page"}).json()["code"] == "unsupported_picture"


@pytest.mark.parametrize("hosts", [[], ["other.example"], ["*.public.example"]])
def test_urls_are_fetched_only_from_hosts_that_are_allowed(post, internet, settings, hosts):
    settings.ITEM_HOSTS = hosts

    body = post(PREDICT, {"image_url": "http://public.example/red.png"}).json()

    assert (body["status"], body["code"]) == (400, "item_not_fetched")
    assert "ROUNDHOUSE_ITEM_HOSTS" in body["detail"]
    assert internet.requests == []


def test_a_busy_fetcher_is_a_503_that_may_be_sent_again(post, internet, monkeypatch):
    def fetch(url, **options):
        raise FetcherBusy

    monkeypatch.setattr(item_urls.default_fetcher(), "fetch", fetch)

    response = post(PREDICT, {"image_url": "http://public.example/red.png"})

    assert (response.status_code, response.json()["code"]) == (503, "overloaded")
    assert response.json()["retryable"]
    assert response["Retry-After"] == "1"


def test_too_many_urls(post, internet):
    body = post(PREDICT, {"image_urls": ["http://public.example/red.png"] * 17}).json()

    assert body["code"] == "too_many_items"
    assert internet.requests == []


OIP = "/v2/models/colours/infer"


def test_pictures_as_texts_over_the_open_inference_protocol(post):
    tensor = {"name": "image", "datatype": "BYTES", "shape": [2], "data": [in_base64(RED), in_base64(GREEN)]}

    body = post(OIP, {"inputs": [tensor]}).json()

    found = {output["name"]: output for output in body["outputs"]}
    assert found["label"]["data"] == ["red", "green"]
    assert found["scores"]["shape"] == [2, 3]


def test_pictures_as_bytes_and_as_pixels_over_the_open_inference_protocol(client):
    key = a_key()[1]
    as_bytes = len(RED).to_bytes(4, "little") + RED
    pixels = bytes([255, 0, 0] * 30 * 20)
    for datatype, shape, data in (("BYTES", [1], as_bytes), ("UINT8", [1, 30, 20, 3], pixels)):
        head = {"inputs": [{"name": "image", "datatype": datatype, "shape": shape,
                            "parameters": {"binary_data_size": len(data)}}]}  # fmt: skip
        text = json.dumps(head).encode()
        response = client.generic(
            "POST", OIP, text + data, "application/octet-stream",
            headers={"Authorization": f"Bearer {key}", "Inference-Header-Content-Length": str(len(text))},
        )  # fmt: skip
        body = response.json()
        assert body.get("outputs", [{}])[0].get("data") == ["red"], body


def test_the_models_own_tensors_are_still_taken(post):
    tensor = {"name": "pixels", "datatype": "FP32", "shape": [1, 3, 64, 64], "data": [0.5] * 3 * 64 * 64}

    body = post(OIP, {"inputs": [tensor]}).json()

    assert body["outputs"][0]["name"] == "logits"
