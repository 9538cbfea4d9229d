"""NaN, infinities and missing values through every door, with and without the serving setting."""

import json

import numpy as np
import pytest

from inference.doors.grpc import inference_service, predictor_service
from inference.doors.grpc.generated import open_inference_pb2 as oip_pb
from inference.doors.grpc.generated import predictor_pb2
from inference.doors.oip.door import request_named
from inference.engine.errors import OutputNotText
from inference.engine.loop import complete
from inference.serving import runtime
from inference.tensors.errors import WrongDtype
from registry.access.keys import admit, ring
from registry.catalogue.services import change_serving
from tests.support.factories import a_key, an_actor
from tests.support.live_models import put_live
from tests.support.onnx_models import missing_as_zero, text_codes
from tests.support.wire import a_holding, in_binary, packed, received

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.support.routes")]
NAN, INF = float("nan"), float("inf")
ROW = np.array([[1, NAN, 2, 0]], np.float32)  # answered [1, 0, 2, 0]
REST, OIP = "/api/v1/models/gappy/predict", "/v2/models/gappy/infer"


@pytest.fixture(autouse=True)
def served(transactional_db, tmp_path):
    ring.clear()
    version = put_live("gappy", missing_as_zero(tmp_path / "m.onnx"))
    runtime.start()
    yield version
    runtime.stop()


@pytest.fixture
def allow(served):
    def allow(is_on=True):
        change_serving(version=served, changes={"allow_non_finite": is_on}, reason="gaps", by=an_actor())
        runtime.started().refresh()

    return allow


@pytest.fixture
def key():
    return a_key()[1]


@pytest.fixture
def post(client, key):
    def post(url, body, content_type="application/json", **headers):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {key}", **headers}
        return client.generic("POST", url, data, content_type, headers=headers)

    return post


def _oip_json(data, datatype="FP32"):
    return {"inputs": [{"name": "x", "datatype": datatype, "shape": [1, 4], "data": data}]}


def _binary(row=ROW):
    text, binary = in_binary({"x": ("FP32", row)})
    header = json.dumps(text).encode()
    return header + binary, {"Inference-Header-Content-Length": str(len(header))}


GAPS = {
    "inputs": (REST, {"inputs": {"x": [[1, None, 2.0, 0]]}}),
    "instances": (REST, {"instances": [[1, None, 2.0, 0]]}),
    "features": (REST, {"features": [1, None, 2.0, 0]}),
    "data": (REST, {"data": [None, 1, 2.0, 0]}),
    "oip": (OIP, _oip_json([1, None, 2.0, 0])),
    "oip-nested": (OIP, _oip_json([[1, None, 2.0, 0]], "FP64")),
    "by-number": ("/api/v1/models/gappy/versions/1/predict", {"features": [1, None, 2.0, 0]}),
    "dry-run": (f"{REST}?dry_run=1", {"features": [1, None, 2.0, 0]}),
}


@pytest.mark.parametrize(("url", "body"), GAPS.values(), ids=GAPS)
def test_null_in_json_is_nan_while_the_setting_is_on(post, allow, url, body):
    refused = post(url, body)
    allow()
    answered = post(url, body)
    allow(is_on=False)
    again = post(url, body)

    for answer in (refused, again):
        assert answer.status_code in {400, 422}
        assert answer.json()["code"] == "wrong_dtype"
        assert "serving setting `allow_non_finite`" in answer.content.decode()
    assert answered.status_code == 200
    if "dry_run" not in url:
        written = '"prediction":0.0,"confidence":0.0' if "data" in body else "1.0,0.0,2.0,0.0"
        assert written in answered.content.decode()


@pytest.mark.parametrize("is_on", [False, True])
def test_null_is_no_integer_whatever_the_setting(post, allow, is_on):
    allow(is_on)

    refused = post(OIP, _oip_json([1, None, 2, 0], "INT32"))

    assert (refused.status_code, refused.json()["code"]) == (400, "wrong_dtype")
    assert "holds null" in refused.json()["error"]


@pytest.mark.parametrize("url", [REST, OIP])
def test_binary_carries_the_bits(post, allow, url):
    body, length = _binary()
    octets = "application/octet-stream"
    refused = post(url, body, octets, **length)
    allow()
    answered = post(url, body, octets, **length)

    assert (refused.status_code in {400, 422}, refused.json()["code"]) == (True, "wrong_dtype")
    assert answered.status_code == 200


def test_what_the_model_makes_of_infinity_is_told_as_ever(post, allow):
    allow()
    body, length = _binary(np.array([[INF, 0, 0, 0]], np.float32))

    in_json = post(OIP, body, **length)

    assert in_json.json()["code"] == "invalid_output"


class _Caller:
    """A caller of the gRPC services, without the connection."""

    within_s = cancellation = None

    def __init__(self, key):
        self.by = admit(key).principal
        self.metadata = {"x-model": "gappy"}
        self.holding = a_holding()

    def ask(self, name, version):
        return request_named(self.by, name, version, self.cancellation)

    def set_request_id(self, request_id): ...


def _raw():
    tensor = oip_pb.ModelInferRequest.InferInputTensor(name="x", datatype="FP32", shape=[1, 4])
    return oip_pb.ModelInferRequest(model_name="gappy", inputs=[tensor], raw_input_contents=[ROW.tobytes()])


def _typed():
    contents = oip_pb.InferTensorContents(fp32_contents=ROW.ravel())
    tensor = oip_pb.ModelInferRequest.InferInputTensor(
        name="x", datatype="FP32", shape=[1, 4], contents=contents
    )
    return oip_pb.ModelInferRequest(model_name="gappy", inputs=[tensor])


def _floats(answer):
    return np.frombuffer(answer.raw_output_contents[0], np.float32).tolist()


OVER_GRPC = {
    "raw": (inference_service.model_infer, _raw(), _floats),
    "typed": (inference_service.model_infer, _typed(), _floats),
    "predictor": (
        predictor_service.predict_features,
        predictor_pb2.FeaturesRequest(features=ROW.ravel()),
        lambda answer: list(answer.outputs),
    ),
    "model-service": (
        predictor_service.predict,
        predictor_pb2.PredictRequest(input=ROW.ravel(), shape=[1, 4]),
        lambda answer: list(answer.output),
    ),
    "batch": (
        predictor_service.batch_predict,
        predictor_pb2.BatchPredictRequest(requests=[predictor_pb2.PredictRequest(input=ROW.ravel())]),
        lambda answer: list(answer.responses[0].output),
    ),
}


@pytest.mark.parametrize(("call", "message", "read"), OVER_GRPC.values(), ids=OVER_GRPC)
def test_grpc_carries_the_bits(key, allow, call, message, read):
    caller = _Caller(key)
    with pytest.raises(WrongDtype, match="serving setting `allow_non_finite`"):
        complete(call(message, caller))
    allow()

    assert read(complete(call(message, caller))) == [1, 0, 2, 0]


RAW = np.array([[b"\xff\xfe"], [b"a\xff"], ["é".encode()], [b""]], object)
CODES = {b"\xff\xfe": 1, b"a\xff": 2, "é".encode(): 3, b"": 4}


@pytest.fixture
def codes(served, tmp_path):
    put_live("codes", text_codes(tmp_path / "codes.onnx", CODES))
    runtime.started().refresh()


def _texts_over_grpc(is_raw, output):
    tensor = oip_pb.ModelInferRequest.InferInputTensor(name="x", datatype="BYTES", shape=RAW.shape)
    message = oip_pb.ModelInferRequest(
        model_name="codes",
        inputs=[tensor],
        outputs=[oip_pb.ModelInferRequest.InferRequestedOutputTensor(name=output)],
    )
    if is_raw:
        message.raw_input_contents.append(packed(RAW, "BYTES"))
    else:
        message.inputs[0].contents.bytes_contents.extend(RAW.ravel().tolist())
    return message


@pytest.mark.parametrize("is_raw", [True, False], ids=["raw", "typed"])
def test_bytes_that_are_no_text_reach_the_model_over_grpc(key, codes, is_raw):
    caller = _Caller(key)

    answer = complete(inference_service.model_infer(_texts_over_grpc(is_raw, "code"), caller))

    assert np.frombuffer(answer.raw_output_contents[0], np.int64).tolist() == [1, 2, 3, 4]
    with pytest.raises(OutputNotText):
        complete(inference_service.model_infer(_texts_over_grpc(is_raw, "text"), caller))


@pytest.mark.parametrize(
    ("output", "is_binary", "wanted"),
    [
        ("code", True, None),
        ("code", False, None),
        ("text", True, "output_not_text"),
        ("text", False, "output_not_text"),
    ],
)
def test_bytes_that_are_no_text_reach_the_model_in_binary(post, codes, output, is_binary, wanted):
    outputs = [{"name": output, "parameters": {"binary_data": is_binary}}]
    text, binary = in_binary({"x": ("BYTES", RAW)}, outputs=outputs)
    header = json.dumps(text).encode()

    for url in ("/v2/models/codes/infer", "/api/v1/models/codes/predict"):
        answer = post(
            url,
            header + binary,
            "application/octet-stream",
            **{"Inference-Header-Content-Length": str(len(header))},
        )
        if wanted is None:
            _, tensors = received(answer.headers, answer.content)
            assert tensors["code"].ravel().tolist() == [1, 2, 3, 4]
        else:
            assert (answer.status_code in {400, 422}, answer.json()["code"]) == (True, wanted)


def test_json_is_text(post, codes):
    body = b'{"inputs": {"x": [["\xff"]]}}'

    refused = post("/api/v1/models/codes/predict", body)

    assert (refused.status_code, refused.json()["code"]) == (400, "bad_body")


def test_the_settings_are_looked_up_no_more_often_than_before(post, allow, django_assert_num_queries):
    allow()
    body = {"features": [1, None, 2.0, 0]}
    post(REST, body)

    with django_assert_num_queries(0):
        assert post(REST, body).status_code == 200
