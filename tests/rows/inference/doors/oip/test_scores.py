"""Users, candidates and rows of columns in the protocol: over HTTP in JSON and in binary, over gRPC."""

import json

import numpy as np
import orjson
import pytest
from grpc import StatusCode

from inference.doors.grpc import inference_service
from inference.doors.grpc.codes import refusal_for
from inference.doors.grpc.generated import open_inference_pb2 as pb
from inference.engine.loop import complete
from inference.serving import runtime
from registry.access.keys import ring
from tests.support.grpc_callers import GrpcCaller
from tests.support.user_models import MISSING, put_bills, put_foods, put_offers, put_people
from tests.support.wire import in_binary, packed, received, unpacked

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.support.routes")]
OFFERS = [{"topic": "art", "price": 3}, {"topic": "art", "price": 1}]
# By Model: the tensors of two items, and what is answered.
ASKED = {
    "foods": (
        {"user": ("BYTES", ["ann", "5"]), "exclude": ("BYTES", ['["jam","egg"]', ""])},
        {"items": ['["ham","fig"]', '["tea","jam"]'], "scores": ["[3.0,2.0]", "[5.0,4.0]"], "fallback": [False, False]},
    ),
    "offers": (
        {"user": ("BYTES", ['{"likes":"art"}'] * 2), "candidates": ("BYTES", [json.dumps(OFFERS), '[{"topic":"","price":0}]'])},
        {"indices": ["[1,0]", "[0]"]},
    ),
    "people": (
        {"age": ("FP32", [25.0, np.nan]), "city": ("BYTES", ["Lugano", ""])},
        {"label": ["no", "yes"], "confidence": [0.625, 0.75], "scores": [[0.625, 0.375], [0.25, 0.75]]},
    ),
    "bills": (
        {"food": ("FP32", [1.0, 2.0]), "drinks": ("FP32", [0.0, 0.0]), "tip": ("FP32", [np.nan, 7.0])},
        {"value": [1.5, 9.0]},
    ),
}  # fmt: skip
each_model = pytest.mark.parametrize("slug", ASKED)
each_shape = pytest.mark.parametrize("shape", [[2], [2, 1]], ids=["rows", "rows and an axis of one"])


@pytest.fixture(autouse=True)
def served(transactional_db, tmp_path):
    ring.clear()
    put_foods(tmp_path, top_k=2)
    put_offers(tmp_path)
    put_people(tmp_path, **MISSING)
    put_people(tmp_path, "complete")
    put_bills(tmp_path)
    runtime.start()
    yield
    runtime.stop()


def arrays(slug, shape):
    asked = ASKED[slug][0].items()
    dtypes = {"BYTES": object, "FP32": np.float32}
    return {
        name: (datatype, np.array(rows, dtypes[datatype]).reshape(shape)) for name, (datatype, rows) in asked
    }


def check(slug, outputs):
    for name, expected in ASKED[slug][1].items():
        got = outputs[name].tolist()
        assert got == (
            expected if isinstance(expected[0], (str, bool)) else pytest.approx(np.array(expected))
        )


@each_model
@each_shape
def test_items_over_http_in_binary(ask, slug, shape):
    text, data = in_binary(arrays(slug, shape), parameters={"binary_data_output": True})
    head = json.dumps(text).encode()

    answer = ask("POST", f"{slug}/infer", head + data, **{"Inference-Header-Content-Length": str(len(head))})

    assert answer.status_code == 200, answer.content
    check(slug, received(answer.headers, answer.content)[1])


@each_model
@each_shape
def test_items_over_http_in_json(ask, slug, shape):
    inputs = [
        {"name": name, "datatype": datatype, "shape": shape, "data": [None if row != row else row for row in rows]}
        for name, (datatype, rows) in ASKED[slug][0].items()
    ]  # fmt: skip

    answer = ask("POST", f"{slug}/infer", {"inputs": inputs})

    assert answer.status_code == 200, answer.content
    check(slug, received(answer.headers, answer.content)[1])


@each_model
@each_shape
@pytest.mark.parametrize("is_raw", [True, False], ids=["raw", "contents"])
def test_items_over_grpc(key, slug, shape, is_raw):
    message = pb.ModelInferRequest(model_name=slug)
    for name, (datatype, array) in arrays(slug, shape).items():
        tensor = message.inputs.add(name=name, datatype=datatype, shape=shape)
        if is_raw:
            message.raw_input_contents.append(packed(array, datatype))
        elif datatype == "BYTES":
            tensor.contents.bytes_contents.extend(text.encode() for text in array.ravel())
        else:
            tensor.contents.fp32_contents.extend(array.ravel())

    answer = complete(inference_service.model_infer(message, GrpcCaller(key)))

    check(
        slug,
        {
            output.name: unpacked(raw, output.datatype).reshape(output.shape)
            for output, raw in zip(answer.outputs, answer.raw_output_contents, strict=True)
        },
    )


def test_the_numbers_of_users_are_the_models_own_tensors(ask):
    """By their type: ids are texts. Negative control: the same id as a text."""
    asked = {"name": "user", "shape": [1]}

    own = ask("POST", "foods/infer", {"inputs": [{**asked, "datatype": "INT64", "data": [1]}]}).json()
    refused = ask("POST", "foods/infer", {"inputs": [{**asked, "datatype": "BYTES", "data": ["1"]}]})

    assert [(one["name"], one["data"]) for one in own["outputs"]] == [("scores", [0, 0, 0, 0, 9])]
    assert (refused.status_code, refused.json()["code"]) == (404, "unknown_user")


def test_metadata_and_configuration_describe_items_and_answers(ask):
    def described(slug):
        metadata = ask("GET", slug).json()
        return [
            [(one["name"], one["datatype"], one["shape"]) for one in metadata[side]]
            for side in ("inputs", "outputs")
        ]

    assert described("foods") == [
        [("user", "BYTES", [-1]), ("exclude", "BYTES", [-1])],
        [("items", "BYTES", [-1]), ("scores", "BYTES", [-1]), ("fallback", "BOOL", [-1])],
    ]
    assert described("offers") == [
        [("user", "BYTES", [-1]), ("candidates", "BYTES", [-1])],
        [("indices", "BYTES", [-1]), ("scores", "BYTES", [-1])],
    ]
    assert described("people") == [
        [("age", "FP32", [-1]), ("city", "BYTES", [-1])],
        [("label", "BYTES", [-1]), ("confidence", "FP64", [-1]), ("scores", "FP64", [-1, 2])],
    ]
    assert described("bills")[1] == [("value", "FP64", [-1])]
    assert [one["name"] for one in ask("GET", "bills/config").json()["input"]] == ["food", "drinks", "tip"]


@pytest.mark.parametrize(
    ("slug", "inputs", "status", "code", "said"),
    [
        ("foods", {"user": ["ann", "zoe"]}, 404, "unknown_user", "no user 'zoe'"),
        ("foods", {"user": ["ann"], "exclude": ["jam"]}, 400, "invalid_item", "`exclude[0]` must be JSON"),
        ("foods", {"user": ["ann"], "exclude": ["[]", "[]"]}, 400, "invalid_item", "a list for each of the 1 users; it has 2"),
        ("offers", {"user": ['{"likes":'], "candidates": ["[]"]}, 400, "invalid_item", "`users[0]` must be JSON"),
        ("offers", {"user": ['{"likes":""}'], "candidates": ["[]"]}, 400, "invalid_item", "at least one candidate"),
        ("people", {"age": [np.inf], "city": [""]}, 400, "invalid_item", "infinite"),
        ("complete", {"age": [np.nan], "city": [""]}, 400, "wrong_dtype", "NaN"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_over_http_and_grpc(ask, key, slug, inputs, status, code, said):
    kinds = {"age": ("FP32", np.float32)}
    tensors = {name: np.array(rows, kinds.get(name, ("", object))[1]) for name, rows in inputs.items()}
    types = {name: kinds.get(name, ("BYTES",))[0] for name in inputs}
    text, data = in_binary({name: (types[name], tensor) for name, tensor in tensors.items()})
    head = json.dumps(text).encode()
    message = pb.ModelInferRequest(model_name=slug)
    for name, tensor in tensors.items():
        message.inputs.add(name=name, datatype=types[name], shape=tensor.shape)
        message.raw_input_contents.append(packed(tensor, types[name]))

    refused = ask("POST", f"{slug}/infer", head + data, **{"Inference-Header-Content-Length": str(len(head))})
    with pytest.raises(Exception) as raised:
        complete(inference_service.model_infer(message, GrpcCaller(key)))

    assert (refused.status_code, orjson.loads(refused.content)["code"]) == (status, code)
    assert said in refused.json()["error"]
    refusal = refusal_for(raised.value)
    expected = StatusCode.NOT_FOUND if status == 404 else StatusCode.INVALID_ARGUMENT
    assert (refusal.code, refusal.error_code) == (expected, code)
