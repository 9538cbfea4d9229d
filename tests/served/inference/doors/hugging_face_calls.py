"""Calls a running server with stock huggingface_hub; runs in that package's own environment.

Prints one JSON object: case -> what came back, or the error.
"""

import json
import sys
from pathlib import Path

from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError

URL, KEY, PICTURE = sys.argv[1], sys.argv[2], Path(sys.argv[3])
TEXT = "Ada Lovelace met Charles Babbage in London."


def client(who, key=KEY, **more):
    return InferenceClient(model=f"{URL}/hf/models/{who}", token=key, **more)


def cases():
    tone, names, figures, shapes = (client(who) for who in ("tone", "names", "figures", "shapes"))
    good, picture = "The food was wonderful.", PICTURE.read_bytes()
    yield "labels", lambda: tone.text_classification(good)
    yield "labels-top", lambda: tone.text_classification(good, top_k=1, function_to_apply="softmax")
    yield "labels-other-function", lambda: tone.text_classification(good, function_to_apply="sigmoid")
    yield "labels-alias", lambda: client("tone@champion").text_classification(good)
    yield "labels-version", lambda: client("tone/versions/1").text_classification(good)
    yield (
        "labels-model-of-call",
        lambda: InferenceClient(token=KEY).text_classification(good, model=f"{URL}/hf/models/tone"),
    )
    yield (
        "labels-headers",
        lambda: client("tone", headers={"X-Routing-Key": "anna"}).text_classification(good),
    )
    yield "entities", lambda: names.token_classification(TEXT)
    yield "entities-simple", lambda: names.token_classification(TEXT, aggregation_strategy="simple")
    yield "entities-none", lambda: names.token_classification(TEXT, aggregation_strategy="none")
    yield "entities-ignore", lambda: names.token_classification(TEXT, ignore_labels=["O", "PER"])
    yield "entities-stride", lambda: names.token_classification(TEXT, stride=8)
    yield "entities-nothing", lambda: names.token_classification("It rained.")
    yield "picture-bytes", lambda: figures.image_classification(picture)
    yield "picture-path", lambda: figures.image_classification(PICTURE)
    yield "picture-text-path", lambda: figures.image_classification(str(PICTURE))
    yield "picture-top", lambda: figures.image_classification(picture, top_k=1)
    yield "boxes-bytes", lambda: shapes.object_detection(picture)
    yield "boxes-path", lambda: shapes.object_detection(PICTURE)
    yield "boxes-low", lambda: shapes.object_detection(picture, threshold=0.05)
    yield "boxes-none", lambda: shapes.object_detection(picture, threshold=1)
    yield "unknown-model", lambda: client("no-such-model").text_classification(good)
    yield "no-key", lambda: client("tone", key="rh_guessed").text_classification(good)
    yield "another-task", lambda: names.image_classification(picture)
    yield "tensors", lambda: client("ripeness").text_classification(good)


def told(call):
    try:
        return {"answer": call()}
    except HfHubHTTPError as error:
        return {"status": error.response.status_code, "said": str(error), "request_id": error.request_id}
    except Exception as error:  # noqa: BLE001
        return {"error": f"{type(error).__name__}: {error}"}


def main():
    sys.stdout.write(json.dumps({name: told(call) for name, call in cases()}))


main()
