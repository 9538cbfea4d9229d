"""Stock huggingface_hub against `manage.py serve`, a new one and one that is a year old: four tasks, and what is refused."""

import json
import subprocess
import sys
from base64 import b64encode
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from tests.support.peers import old_huggingface_hub_python
from tests.support.processes import post

CALLS = Path(__file__).with_name("hugging_face_calls.py")
GOOD = "The food was wonderful."
TEXT = "Ada Lovelace met Charles Babbage in London."
GROUPS = [("PER", "Ada Lovelace", 0, 12), ("PER", "Charles Babbage", 17, 32), ("LOC", "London", 36, 42)]


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    image = Image.new("RGB", (301, 203), (235, 235, 235))
    ImageDraw.Draw(image).ellipse((80, 31, 221, 172), fill=(40, 70, 160))
    image.save(path := tmp_path_factory.mktemp("pictures") / "picture.png")
    return path


@pytest.fixture(scope="module", params=["new", "old"])
def called(request, embedded, picture):
    """What the client gave in each case."""
    python = sys.executable if request.param == "new" else old_huggingface_hub_python()
    made = subprocess.run(
        [python, "-P", CALLS, embedded.url, embedded.credentials["api_key"], picture],
        env={"HF_HUB_DISABLE_TELEMETRY": "1"}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    return json.loads(made.stdout)


@pytest.fixture(scope="module")
def native(embedded):
    def native(model, body):
        status, answer = post(
            f"{embedded.url}/api/v1/models/{model}/predict", body, **embedded.authorization,
            **{"Content-Type": "application/json"},
        )  # fmt: skip
        assert status == 200, answer
        return answer

    return native


def test_labels_of_a_text(called, native):
    labels = native("tone", {"text": GOOD})["labels"]

    assert labels[0]["label"] == "positive"
    for case in ("labels", "labels-alias", "labels-version", "labels-model-of-call", "labels-headers"):
        assert called[case] == {"answer": labels}, case
    assert called["labels-top"] == {"answer": labels[:1]}


def test_entities_of_a_text(called, native):
    entities = native("names", {"text": TEXT})["entities"]

    found = called["entities"]["answer"]
    assert [(one["entity_group"], one["word"], one["start"], one["end"]) for one in found] == GROUPS
    assert [one["score"] for one in found] == [one["score"] for one in entities]
    simple = native("names", {"text": TEXT, "grouping": "simple"})["entities"]
    assert [one["score"] for one in called["entities-simple"]["answer"]] == [one["score"] for one in simple]
    assert [one["entity"] for one in called["entities-none"]["answer"]][:2] == ["B-PER", "I-PER"]
    assert [one["word"] for one in called["entities-ignore"]["answer"]] == ["London"]
    assert called["entities-nothing"] == {"answer": []}


def test_labels_of_a_picture(called, native, picture):
    labels = native("figures", {"image": b64encode(picture.read_bytes()).decode()})["labels"]

    assert labels[0]["label"] == "circle"
    for case in ("picture-bytes", "picture-path", "picture-text-path"):
        assert called[case] == {"answer": labels}, case
    assert called["picture-top"] == {"answer": labels[:1]}


def test_objects_in_a_picture(called, native, picture):
    body = {"image": b64encode(picture.read_bytes()).decode(), "threshold": 0.5}
    objects = native("shapes", body)["objects"]

    expected = [
        {"label": one["label"], "score": one["confidence"],
         "box": dict(zip(("xmin", "ymin", "xmax", "ymax"), map(int, one["box"].values()), strict=True))}
        for one in objects
    ]  # fmt: skip
    assert [one["label"] for one in expected] == ["circle"]
    assert called["boxes-bytes"] == called["boxes-path"] == {"answer": expected}
    more = native("shapes", {**body, "threshold": 0.05})["objects"]
    assert [one["score"] for one in called["boxes-low"]["answer"]] == [one["confidence"] for one in more]
    assert called["boxes-none"] == {"answer": []}


@pytest.mark.parametrize(
    ("case", "status", "said"),
    [
        ("labels-other-function", 422, "are made by 'softmax'"),
        ("entities-stride", 422, "belongs to the version"),
        ("unknown-model", 404, "no-such-model"),
        ("no-key", 401, "unknown, expired or revoked"),
        ("another-task", 422, "send a text in JSON"),
        ("tensors", 422, "/api/v1/models/ripeness/predict"),
    ],
)
def test_what_is_refused_is_told_to_the_caller(called, case, status, said):
    assert called[case]["status"] == status
    assert said in called[case]["said"]
    assert called[case]["request_id"]


def test_no_case_failed_in_the_client(called):
    assert [case for case, told in called.items() if "error" in told] == []
